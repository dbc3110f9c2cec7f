"""Finding what stands at a path, in one look.

Starlette tries its routes one after the other, which takes longer than publishing a message. The
paths here are few and regular: their number of segments and the first of them tell which of the
others are parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from starlette.routing import Route, Router
from starlette.types import Lifespan

from supersoniq.adapters.asgi import Receive, Scope, Send
from supersoniq.adapters.http.endpoint import Endpoint

__all__ = ["Paths"]


class Paths(Router):
    """A router that finds its first routes at once, and any that were added in Starlette's way.

    Args:
        endpoints: by path, with parameters as ``{name}``.
        lifespan: as in Starlette.
    """

    def __init__(self, endpoints: Mapping[str, Endpoint], lifespan: Lifespan[Any]) -> None:
        routes = [Route(path, endpoint, name=path) for path, endpoint in endpoints.items()]
        super().__init__(routes, redirect_slashes=False, lifespan=lifespan)
        self._slots: dict[tuple[int, str], list[tuple[int, str]]] = {}
        self._found: dict[tuple[str, ...], Endpoint] = {}
        for path, endpoint in endpoints.items():
            parts = path.split("/")[1:]
            slots = [(n, part[1:-1]) for n, part in enumerate(parts) if part.startswith("{")]
            kind = (len(parts), parts[0])
            assert self._slots.setdefault(kind, slots) == slots, f"{path} is like no other"
            for n, _ in slots:
                parts[n] = ""
            self._found[tuple(parts)] = endpoint

    def find(self, path: str) -> tuple[Endpoint, dict[str, str]] | None:
        """What stands there, and the parameters in the path. O(length)."""
        parts = path.split("/")[1:]
        slots = self._slots.get((len(parts), parts[0])) if parts else None
        if slots is None:
            return None
        values: dict[str, str] = {}
        for n, name in slots:
            value = values[name] = parts[n]
            if not value:
                return None
            parts[n] = ""
        endpoint = self._found.get(tuple(parts))
        return None if endpoint is None else (endpoint, values)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        raw: bytes = scope.get("raw_path") or b""
        plain = not raw or raw == scope["path"].encode()
        if not plain:
            scope = _whole(scope, unquote(raw.decode("latin-1")))
        if scope["type"] == "http":
            found = self.find(_below(scope))
            if found is not None and not plain and b"%2f" in raw.lower():
                # An encoded slash is part of a name, never a border between two; no name has one.
                await self.default(scope, receive, send)
                return
            if found is not None:
                endpoint, scope["path_params"] = found
                await endpoint(scope, receive, send)
                return
        await super().__call__(scope, receive, send)


def _whole(scope: Scope, path: str) -> Scope:
    """The scope with its whole path, if a host has cut off the prefix without a word of it.

    ASGI has the prefix in ``root_path``, and in ``path`` as well. Litestar has it in neither, and
    puts a slash at the end; only ``raw_path`` is as the client wrote it.
    """
    given = str(scope["path"]).rstrip("/")
    root = path.rstrip("/").removesuffix(given)
    if not root or "?" in root or root + given != path.rstrip("/"):
        return scope
    root += scope.get("root_path", "")
    return {**scope, "root_path": root, "path": path if given else f"{root}/"}


def _below(scope: Scope) -> str:
    """The path below the one that the app is mounted at."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path[len(root) :] if root and path.startswith(f"{root}/") else path
