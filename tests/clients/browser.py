"""Chromium for tests, and a wire between it and a server that can be cut."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Playwright

__all__ = ["CHROMIUM", "FLAGS", "Wire", "browsing"]

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def browsing(tools: Playwright, *flags: str) -> Iterator[Browser]:
    """A browser, until the block ends."""
    browser = tools.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags])
    try:
        yield browser
    finally:
        browser.close()


class Wire:
    """Carries what goes between a client and a server, on a thread of its own, until it is cut.

    Args:
        port: the server's.
    """

    def __init__(self, port: int) -> None:
        self.plain = False
        """Whether WebSocket handshakes are refused, as a proxy may."""
        self.down = False
        """Whether new connections are cut at once."""
        self._to = port
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,))
        self._thread.start()
        started.wait(30)
        self.url = f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Cut all connections there are."""
        self._loop.call_soon_threadsafe(self._abort)

    def close(self) -> None:
        """Cut them, and take no more."""
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(30)

    def _abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def _run(self, started: threading.Event) -> None:
        self._loop.run_until_complete(self._serve(started))
        self._loop.close()

    async def _serve(self, started: threading.Event) -> None:
        self._over = asyncio.Event()
        server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port: int = server.sockets[0].getsockname()[1]
        started.set()
        await self._over.wait()
        server.close()
        self._abort()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.down:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        both = {writer, back}
        self._writers |= both
        try:
            await asyncio.gather(self._pipe(reader, back, writer), self._pipe(there, writer))
        finally:
            for each in both:
                each.transport.abort()
            self._writers -= both

    async def _pipe(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answer: asyncio.StreamWriter | None = None,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if answer and self.plain and b"pgrade: websocket" in data:
                    answer.write(
                        b"HTTP/1.1 403 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                    )
                    await answer.drain()
                    break
                writer.write(data)
                await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()
