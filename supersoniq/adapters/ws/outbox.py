"""What waits to be sent.

Nobody who makes frames may run ahead of the reader at the other end: whoever has one waits for
``room`` first. So what waits here is bounded by ``limit`` and one frame of each who waits, and
together with all other outboxes by their ``backlog``, as soon as it is more than ``OWN``. A frame
that is not taken within the deadline means that the reader is to be cut.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from supersoniq.adapters.asgi import Send
from supersoniq.adapters.http.answers import SMALL
from supersoniq.adapters.http.backlog import OWN, Backlog, Place
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
        hurry: called if the reader takes nothing while others wait for its room.
    """

    def __init__(
        self,
        send: Send,
        text: bool,
        limit: int,
        deadline: Deadlines,
        backlog: Backlog,
        hurry: Callable[[], None],
    ) -> None:
        self._send = send
        self._text = text
        self._limit = limit
        self._deadline = deadline
        self.backlog = backlog
        self.hurry = hurry
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
        before = self._size
        self._size = size = before + len(frame)
        if size > OWN:
            if before > OWN:
                self.backlog.take(size - before)
            else:
                self.backlog.take(size)
                self.backlog.holds(self)
        self._filled.set()

    @property
    def full(self) -> bool:
        """Whether nothing more should be put here now."""
        if len(self._frames) >= MOST:
            return True
        if self._size < SMALL:
            return self._size >= self._limit
        return self._size >= self.backlog.share(self._limit)

    def takes(self, place: Place | None) -> bool:
        """Whether a frame should be put here now. One with a place has waited for its share."""
        if place is None:
            return not self.full
        return self._size < self._limit and len(self._frames) < MOST

    @property
    def space(self) -> int:
        """Bytes of content for which there is room, so that all that is asked for can be put."""
        return max(SMALL, (self.backlog.share(self._limit) - self._size) * 3 // 4)

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
                    await self._deadline.within(self._send_first())
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
        self._taken(self._size)
        self._frames.clear()

    async def flushed(self) -> None:
        """Wait until all is sent, or nothing more can be."""
        while self._size and not self._broken:
            self._empty.clear()
            await self._empty.wait()

    async def send(self, frame: bytes) -> None:
        """Send one frame past all that wait."""
        await self._send(self._message(frame))

    async def _send_first(self) -> None:
        """Send the frame that has waited longest; it counts until it is taken."""
        frame = self._frames.popleft()
        size, sent = len(frame), self._send(self._message(frame))
        del frame  # a text was made of it, and it may be large
        await sent
        if not self._broken:
            self._taken(size)

    def _taken(self, size: int) -> None:
        """So many bytes wait no more."""
        before = self._size
        self._size -= size
        if before <= OWN:
            return
        if self._size > OWN:
            self.backlog.holds(self)
            self.backlog.leave(size)
        else:
            self.backlog.rests(self)
            self.backlog.leave(before)

    def _message(self, frame: bytes) -> dict[str, Any]:
        if self._text:
            return {"type": "websocket.send", "text": frame.decode()}
        return {"type": "websocket.send", "bytes": frame}
