"""The memory that frames take which wait to be taken, of all WebSockets together.

One connection is bounded by its outbox. But who opens a thousand and reads none of them could have
that much a thousand times. So what waits is counted, and as it grows an outbox is full with a
quarter of what is left, though never below ``SMALL``. A frame that is larger than that and finds no
room is not made: what was leased for it is released, an event stays in the store, and both are
asked for again when there is room.

Who reads nothing keeps that room for as long as ``send_timeout``. Where others wait for it, a third
of that has to do: then whoever has taken nothing for longest is cut.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from supersoniq.adapters.http.answers import SMALL

__all__ = ["Backlog"]

GLANCE = 0.25
"""Seconds between two looks at the room, of one who waits for it."""


class Holder(Protocol):
    """Whose reader holds room: an outbox."""

    def hurry(self) -> None:
        """Others wait, and its reader has taken nothing for too long."""


class Backlog:
    """Frames that wait to be taken.

    Args:
        limit: bytes that they may have, about.
        patience: seconds after which a reader that takes nothing is cut if others wait for room.
    """

    __slots__ = ("_holders", "_waiting", "limit", "patience", "size")

    def __init__(self, limit: int, patience: float) -> None:
        self.limit = limit
        self.patience = patience
        self.size = 0
        """Bytes that wait now."""
        self._holders: dict[Holder, float] = {}
        self._waiting: dict[asyncio.Future[None], int] = {}

    def share(self, most: int) -> int:
        """Bytes that may wait for one of them now, ``most`` at most."""
        return min(most, max(SMALL, (self.limit - self.size) // 4))

    def fits(self, size: int) -> bool:
        """Whether there is room for a frame of so many bytes."""
        return size <= SMALL or not self.size or self.size + size <= self.limit

    def taken(self, size: int) -> None:
        """So many bytes wait no more."""
        self.size -= size
        if not self._waiting:
            return
        # Only those are woken for whom there is room together: each will read what it then sends.
        room = self.limit - self.size
        for turn, wanted in self._waiting.items():
            if wanted > room and self.size:
                return
            if not turn.done():
                turn.set_result(None)
            room -= wanted

    async def vacancy(self, size: int) -> None:
        """Wait until there is room for a frame of so many bytes; at once if there is."""
        loop = asyncio.get_running_loop()
        while not self.fits(size):
            turn = loop.create_future()
            self._waiting[turn] = size
            try:
                while not turn.done() and not self.fits(size):
                    # Who was woken before may have found nothing to send, and so nobody is told.
                    await asyncio.wait((turn,), timeout=GLANCE)
                    self._hurry(loop.time())
            finally:
                del self._waiting[turn]

    def holds(self, holder: Holder) -> None:
        """It holds more than a little, and its reader has taken something just now, or begins."""
        self._holders.pop(holder, None)
        self._holders[holder] = asyncio.get_running_loop().time()

    def rests(self, holder: Holder) -> None:
        """It holds little."""
        self._holders.pop(holder, None)

    def _hurry(self, now: float) -> None:
        """Cut the one that has taken nothing for longest, if that is too long."""
        for holder, since in self._holders.items():
            if now - since >= self.patience:
                del self._holders[holder]
                holder.hurry()
            return
