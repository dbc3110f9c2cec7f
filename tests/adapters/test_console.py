"""The console's files over HTTP. What the page does is tried in a browser, in tests/console."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

import supersoniq
from supersoniq.adapters import create_app
from supersoniq.adapters.console.pages import _files
from supersoniq.core.errors import InvalidSetting
from tests.auth import tokens

KINDS = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


def get(path: str, *, root: str = "", method: str = "GET", **options: Any) -> httpx.Response:
    """The answer to one request, of an app that is mounted somewhere, with or without tokens."""
    headers = options.pop("headers", {})

    async def main() -> httpx.Response:
        async with supersoniq.connect("memory://") as broker:
            app: Any = create_app(broker, **options)
            if root:
                app = Starlette(routes=[Mount(root, app)])
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, root + path, headers=headers)

    return asyncio.run(main())


@pytest.mark.parametrize("root", ["", "/queue", "/a/b"])
def test_every_file_is_there_wherever_the_app_is(root: str) -> None:
    for name, file in _files().items():
        path = "/console" if name == "index.html" else f"/console/{name}"
        answer = get(path, root=root, auth=tokens.verifier())  # and nobody has to show a token
        assert answer.status_code == 200
        assert answer.content == file.body
        assert answer.headers["content-type"] == KINDS[name.rpartition(".")[2]]
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_every_part_that_is_asked_for_exists() -> None:
    found = _files()
    page = found["index.html"].body.decode()
    links = re.findall(r'(?:src|href)="([^"#]+)"', page)
    assert {"console/main.js", "console/base.css", "console/icon.svg"} <= set(links)
    assert all(link.removeprefix("console/") in found for link in links if "openapi" not in link)
    for name, file in found.items():
        folder = name.rpartition("/")[0]
        for part in re.findall(r'from "(.+?)"', file.body.decode()):
            assert part.startswith("./"), f"{name} wants {part}"
            assert f"{folder}/{part[2:]}".lstrip("/") in found, f"{name} wants {part}"


def test_nothing_comes_from_elsewhere_and_nothing_becomes_markup() -> None:
    answer = get("/console")
    policy = answer.headers["content-security-policy"].split("; ")
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in str(policy)
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|style=|https?://", answer.text)
    for name, file in _files().items():
        if name.endswith(".js"):
            source = file.body.decode()
            assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", source)
            assert not re.search(r"\beval\(|new Function|DOMParser", source)


def test_what_a_browser_has_is_not_sent_again() -> None:
    first = get("/console/main.js")
    tag = first.headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = get("/console/main.js", headers={"if-none-match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
        assert "content-length" not in again.headers
        assert "content-security-policy" in again.headers
    assert get("/console/main.js", headers={"if-none-match": '"other"'}).status_code == 200
    head = get("/console/main.js", method="HEAD")
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) == len(first.content)


@pytest.mark.parametrize(
    "path",
    [
        "/console/none.js",
        "/console/pages.py",
        "/console/client/none.js",
        "/console/client/index.html",
        "/console/client/",
        "/console/static/index.html",
        "/console/..%2fpages.py",
        "/console/%2e%2e%2fpages.py",
        "/console/client/..%2f..%2fpages.py",
        "/console/%00",
        "/console/client%2findex.js",
    ],
)
def test_there_is_nothing_else(path: str) -> None:
    assert get(path).status_code == 404


def test_a_slash_too_many() -> None:
    answer = get("/console/", root="/queue")
    assert (answer.status_code, answer.headers["location"]) == (308, "/queue/console")


def test_it_is_only_to_be_read() -> None:
    assert get("/console", method="POST").status_code == 405


def test_an_app_without_one() -> None:
    assert get("/", root="/queue").json()["links"]["console"] == "/queue/console"
    for path in ("/console", "/console/", "/console/main.js"):
        assert get(path, console=False).status_code == 404
    assert "console" not in json.dumps(get("/", console=False).json())
    with pytest.raises(InvalidSetting, match="console"):
        get("/", console="no")
