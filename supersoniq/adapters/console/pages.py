"""The files of the console, over HTTP.

All of them are read once. A browser keeps them and asks each time whether they are still the same
(RFC 9110, section 13.1.2), so a new version of the program is never shown half.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

from supersoniq.adapters.http.described import Gives, described
from supersoniq.adapters.http.exchange import Exchange, Reply
from supersoniq.adapters.http.problems import Refusal

__all__ = ["moved", "page", "part"]

PAGE = "index.html"
KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
"""Nothing from elsewhere, no script in the page, no text that becomes markup, no frame around it:
what a message says is shown, whatever it says."""
FIELDS = [
    (b"cache-control", b"no-cache"),
    (b"content-security-policy", POLICY.encode()),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
]


class File(NamedTuple):
    """One of them."""

    body: bytes
    kind: str
    etag: str


@cache
def _files() -> dict[str, File]:
    """By their paths below ``static``."""
    return dict(_below(files("supersoniq.adapters.console") / "static", ""))


def _below(folder: Traversable, prefix: str) -> list[tuple[str, File]]:
    found: list[tuple[str, File]] = []
    for each in folder.iterdir():
        if each.is_dir():
            found += _below(each, f"{prefix}{each.name}/")
            continue
        kind = KINDS.get(each.name[each.name.rfind(".") :])
        if kind is not None:
            body = each.read_bytes()
            etag = f'"{hashlib.sha256(body).hexdigest()[:20]}"'
            found.append((prefix + each.name, File(body, kind, etag)))
    return found


@described(query=None, gives={200: Gives("The page.", {"text/html": str})}, store=False)
async def page(exchange: Exchange) -> Reply:
    """``GET /console``: the page."""
    return _given(exchange, PAGE)


@described(query=None, gives={200: Gives("A part of it.", {"text/css": str})}, store=False)
async def part(exchange: Exchange) -> Reply:
    """``GET /console/{file}``, ``GET /console/client/{file}``: what the page is made of."""
    found = exchange.scope["path_params"]
    folder = "client/" if "client" in found else ""
    return _given(exchange, folder + found.get("client", found.get("file", "")))


@described(query=None, gives={308: Gives("The page.", always=["Location"])}, store=False)
async def moved(exchange: Exchange) -> Reply:
    """``GET /console/``: where the page is, whose links are relative to it."""
    return Reply(308, fields=[(b"location", exchange.address("/console"))])


def _given(exchange: Exchange, name: str) -> Reply:
    found = _files().get(name)
    if found is None:
        raise Refusal(404, f"the console has no file {name[:100]!r}")
    fields = [*FIELDS, (b"etag", found.etag.encode())]
    known = exchange.header(b"if-none-match")
    if known is not None and (known.strip() == "*" or found.etag in _tags(known)):
        return Reply(304, fields=fields)
    return Reply(200, found.body, found.kind, fields)


def _tags(known: str) -> list[str]:
    return [tag.strip().removeprefix("W/") for tag in known.split(",")]
