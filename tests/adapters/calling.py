"""Calling an ASGI app with requests exactly as given, one after the other in one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote_to_bytes, urlsplit

T = TypeVar("T")
PATIENCE = 20
"""Seconds after which a call hangs."""


class Answer(NamedTuple):
    """What came back."""

    status: int
    fields: list[tuple[str, str]]
    body: bytes


class Caller:
    """An app in an event loop of its own, which a test without one can call.

    Args:
        app: any ASGI app; nothing it raises is caught.
    """

    def __init__(self, app: Any) -> None:
        self.app = app
        self._runner = asyncio.Runner()

    def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do something in the loop."""

        async def do() -> T:
            async with asyncio.timeout(PATIENCE):
                return await work()

        return self._runner.run(do())

    def close(self) -> None:
        """Close the loop."""
        self._runner.close()

    def call(
        self, method: str, url: str, fields: list[tuple[str, str]] | None = None, body: bytes = b""
    ) -> Answer:
        """Make a request. A client of an endless stream leaves after its first piece."""
        parts = urlsplit(url)
        raw = parts.path.encode("latin-1")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote_to_bytes(raw).decode("utf-8", "replace"),
            "raw_path": raw,
            "root_path": "",
            "query_string": parts.query.encode("latin-1"),
            "headers": [
                (name.lower().encode(), value.encode("latin-1")) for name, value in fields or ()
            ],
            "client": ("127.0.0.1", 1),
            "server": ("test", 80),
        }
        told: list[Any] = []
        asked = False

        async def work() -> None:
            over = asyncio.Event()

            async def receive() -> Any:
                nonlocal asked
                if not asked:
                    asked = True
                    return {"type": "http.request", "body": body}
                await over.wait()
                return {"type": "http.disconnect"}

            async def send(message: Any) -> None:
                told.append(message)
                if message["type"] == "http.response.body":
                    over.set()

            await self.app(scope, receive, send)

        self.run(work)
        start, *pieces = told
        assert start["type"] == "http.response.start"
        assert pieces
        got = [(name.decode(), value.decode("latin-1")) for name, value in start["headers"]]
        return Answer(start["status"], got, b"".join(piece.get("body", b"") for piece in pieces))
