"""What waits to be sent.

Nobody who makes frames may run ahead of the reader at the other end: whoever has one waits for
``room`` first. So what waits here is bounded by ``limit`` and one frame of each who waits. A frame
that is not taken within the deadline means that the reader is to be cut.

Many connections that read nothing may not have that much each: as what waits for all of them grows,
an outbox is full with a quarter of what is left, though never below ``SMALL``.
"""

from __future__ import annotations

import asyncio
from collections import deque

from supersoniq.adapters.asgi import Send
from supersoniq.adapters.http.answers import SMALL, Backlog
from supersoniq.adapters.http.deadlines import Deadlines

__all__ = ["Outbox"]

MOST = 1000
"""Frames that may wait, whatever their size."""


class Outbox:
    """Frames to be sent, in their order.

    Args:
        send: ASGI's.
        text: whether frames go as text.
        limit: bytes that may wait.
        deadline: within which each frame must be taken.
        backlog: of all outboxes.
    """

    def __init__(
        self, send: Send, text: bool, limit: int, deadline: Deadlines, backlog: Backlog
    ) -> None:
        self._send = send
        self._text = text
        self._limit = limit
        self._deadline = deadline
        self._backlog = backlog
        self._frames: deque[bytes] = deque()
        self._size = 0
        self._filled = asyncio.Event()
        self._roomy = asyncio.Event()
        self._empty = asyncio.Event()
        self._broken = False

    def put(self, frame: bytes) -> None:
        """Have a frame sent. Whoever may put many waits for ``room`` before each."""
        if self._broken:
            return
        self._frames.append(frame)
        self._size += len(frame)
        self._backlog.size += len(frame)
        self._filled.set()

    @property
    def full(self) -> bool:
        """Whether nothing more should be put here now."""
        if self._size < SMALL:
            return self._size >= self._limit or len(self._frames) >= MOST
        most = min(self._limit, self._backlog.share())
        return self._size >= most or len(self._frames) >= MOST

    async def room(self) -> None:
        """Wait until it is not full; at once if it is not."""
        while self.full:
            self._roomy.clear()
            await self._roomy.wait()

    async def run(self) -> None:
        """Send, for ever.

        Raises:
            TimeoutError: a frame was not taken in time.
            Exception: whatever ``send`` raises when there is nobody left.
        """
        try:
            while True:
                while self._frames:
                    frame = self._frames[0]
                    await self._deadline.within(self.send(frame))
                    self._frames.popleft()
                    self._size -= len(frame)
                    self._backlog.size -= len(frame)
                    if not self.full:
                        self._roomy.set()
                self._empty.set()
                self._filled.clear()
                await self._filled.wait()
        finally:
            self.close()

    def close(self) -> None:
        """Nothing is sent any more, and nothing waits."""
        self._broken = True
        self._empty.set()
        self._backlog.size -= self._size
        self._size = 0
        self._frames.clear()

    async def flushed(self) -> None:
        """Wait until all is sent, or nothing more can be."""
        while self._frames and not self._broken:
            self._empty.clear()
            await self._empty.wait()

    async def send(self, frame: bytes) -> None:
        """Send one frame past all that wait."""
        if self._text:
            await self._send({"type": "websocket.send", "text": frame.decode()})
        else:
            await self._send({"type": "websocket.send", "bytes": frame})
