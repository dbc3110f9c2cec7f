"""Uploads as a server would hand them to the app, each piece when it is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from supersoniq.adapters.http.app import App
from supersoniq.backends.memory import MemoryBackend
from supersoniq.core.ops import AnyOp, Publish
from supersoniq.port import Result

__all__ = ["KIB", "Slow", "Upload", "turns"]

KIB = 1024


async def turns(count: int = 20) -> None:
    """Let others work."""
    for _ in range(count):
        await asyncio.sleep(0)


class Upload:
    """A body that is read when the app wants it, a piece at a time.

    Args:
        app: where to.
        size: of the body.
        told: whether its content-length is.
        port: of the client, by which connections are told apart.
        piece: bytes of a piece.
        path: of the request.
        kind: the body's media type.
        version: of HTTP.
    """

    def __init__(
        self,
        app: App,
        size: int,
        *,
        told: bool = True,
        port: int = 1,
        piece: int = 16 * KIB,
        path: str = "/messages",
        kind: str = "x/y",
        version: str = "1.1",
    ) -> None:
        self.status = 0
        self.asked = 0
        """How often the app has asked for more."""
        self.left = size
        self.going = asyncio.Event()
        """Cleared, nothing comes."""
        self.going.set()
        self.gone = asyncio.Event()
        self._piece = piece
        headers = [(b"content-type", kind.encode())]
        if told:
            headers.append((b"content-length", b"%d" % size))
        scope = {"type": "http", "http_version": version, "method": "POST", "path": path,
                 "root_path": "", "query_string": b"", "headers": headers,
                 "client": ("127.0.0.1", port)}  # fmt: skip
        self.task = asyncio.ensure_future(app(scope, self._receive, self._hear))

    async def _receive(self) -> dict[str, Any]:
        self.asked += 1
        if not self.left:
            await self.gone.wait()
        waits = [asyncio.ensure_future(each.wait()) for each in (self.going, self.gone)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
        if self.gone.is_set():
            return {"type": "http.disconnect"}
        size = min(self.left, self._piece)
        self.left -= size
        return {"type": "http.request", "body": b"x" * size, "more_body": self.left > 0}

    async def _hear(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]

    async def answer(self) -> int:
        """The status."""
        await asyncio.wait_for(self.task, 10)
        return self.status


class Slow(MemoryBackend):
    """A store that answers publishes when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.direct = None
        self.may = asyncio.Event()

    async def execute(self, batch: Sequence[AnyOp]) -> list[Result]:
        if any(isinstance(op, Publish) for op in batch):
            await self.may.wait()
        return await super().execute(batch)
