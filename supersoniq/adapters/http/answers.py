"""The memory that large answers take, of all clients together.

One answer is bounded by ``max_answer``. But a client may ask for a hundred at the same time and
read none of them, and each would wait in memory for as long as ``send_timeout``. So what waits is
counted. Answers get smaller while there is much of it (pages, leases and batches may always end
early), each a quarter of what is left. Small ones are always given; one that holds a single large
message and finds no room is refused, and what was leased for it is released. Event streams cannot
be refused any more: they wait for room, and leave in the store what they would have told.

Reading is one at a time: what a store gives back is as large as its messages are, which nobody
knows before, and only what then fits is kept.
"""

from __future__ import annotations

import asyncio

from supersoniq.adapters.http.problems import Refusal

__all__ = ["SMALL", "Answers"]

SMALL = 64 * 1024
"""Bytes of content that every answer may have."""


class Answers:
    """Answers that wait to be taken.

    Args:
        limit: bytes that they may have together.
    """

    __slots__ = ("_lock", "_loop", "_waiting", "limit", "size")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0
        """Bytes that wait now."""
        self._lock: asyncio.Lock | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: list[asyncio.Future[None]] = []

    def taken(self, size: int) -> None:
        """So many bytes wait no more."""
        self.size -= size
        if self._waiting and size:
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                if not each.done():
                    each.set_result(None)

    def fits(self, size: int) -> bool:
        """Whether there is room for so many bytes more."""
        return size <= SMALL or not self.size or self.size + size <= self.limit

    async def vacancy(self, size: int) -> None:
        """Wait until there is. What waits is taken or cut within ``send_timeout``."""
        while not self.fits(size):
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn

    def room(self, most: int) -> int:
        """Bytes of content that an answer may have now, ``most`` at most."""
        return min(most, max(SMALL, (self.limit - self.size) // 4))

    def admit(self, size: int) -> None:
        """Look whether there is room for an answer with so many bytes of content.

        Raises:
            Refusal: there is none; a retry can find some.
        """
        if size > SMALL and self.size + size > self.limit:
            raise Refusal(503, "too many large answers wait for clients that do not read them")

    def reading(self) -> asyncio.Lock:
        """To be held while messages are read from a store and written as an answer."""
        loop = asyncio.get_running_loop()
        if self._lock is None or self._loop is not loop:
            self._lock, self._loop = asyncio.Lock(), loop
        return self._lock
