"""The memory that frames take which wait to be taken, of all WebSockets together.

One connection is bounded by its outbox. But who opens a thousand and reads none of them could have
that much a thousand times. So there is a common room, and as it fills up an outbox is full with a
quarter of what is left, though never below ``SMALL``: what small frames make an outbox hold
(``OWN``) is not counted, and they wait for nobody.

A larger frame that finds no room is not made: what was leased for it is released, an event stays in
the store. It waits for its **place** in turn (``turns.py``), and what it needs is set aside for it
until it was looked for once more: it is sent then, or somebody else has it.

Who reads nothing keeps that room for as long as ``send_timeout``. Where others wait for it, a third
of that has to do: then whoever has taken nothing for longest is cut, and a place that was not used
is given up.
"""

from __future__ import annotations

import asyncio
from typing import Protocol, Self

from supersoniq.adapters.http.answers import SMALL
from supersoniq.adapters.http.turns import Client, Turns

__all__ = ["OWN", "Backlog", "Place"]

OWN = 2 * SMALL
"""Bytes of an outbox that are no part of the common room, unless it holds more: less than ``SMALL``
did not make it full, and one more small frame was put there."""


class Holder(Protocol):
    """Whose reader holds room: an outbox; or who has a place."""

    def hurry(self) -> None:
        """Others wait, and nothing has become of it for too long."""


class Backlog(Turns):
    """Frames that wait to be taken, where they are many or large.

    Args:
        limit: bytes that they may have, about.
        patience: seconds after which a reader that takes nothing is cut if others wait for room.
    """

    __slots__ = ("_holders", "limit", "patience", "size")

    def __init__(self, limit: int, patience: float) -> None:
        super().__init__()
        self.limit = limit
        self.patience = patience
        self.size = 0
        """Bytes that wait now, and that are set aside."""
        self._holders: dict[Holder, float] = {}
        """Since when each has taken nothing, the longest first."""

    def share(self, most: int) -> int:
        """Bytes that may wait for one of them now, ``most`` at most."""
        left = 0 if self._waiting else self.limit - self.size
        return min(most, max(SMALL, left // 4))

    def frame(self, most: int) -> int:
        """Bytes of a frame that need not wait for its place, ``most`` at most."""
        return most if self.admits(most) else SMALL

    def admits(self, size: int, place: Place | None = None) -> bool:
        """Whether a frame of so many bytes may be made now, in its place if it has one."""
        if size <= SMALL or (place is not None and size <= place.size):
            return True
        return not self._waiting and self.fits(size)

    async def place(self, size: int, client: Client) -> Place:
        """Wait until a frame of so many bytes may be made: a ``with`` block looks for it once more.

        Args:
            size: bytes of it.
            client: whose turn it is.
        """
        if not self.enter(size):
            await self.turn(size, client)
        return Place(self, size)

    def fits(self, size: int) -> bool:
        return not self.size or self.size + size <= self.limit

    def take(self, size: int) -> None:
        self.size += size

    def holds(self, holder: Holder) -> None:
        """It holds more than its own, and its reader has taken something just now, or begins."""
        self._holders.pop(holder, None)
        self._holders[holder] = asyncio.get_running_loop().time()

    def rests(self, holder: Holder) -> None:
        """It holds no more than its own."""
        self._holders.pop(holder, None)

    def look(self, now: float) -> None:
        """Cut the one that has taken nothing for longest, if that is too long."""
        for holder, since in self._holders.items():
            if now - since >= self.patience:
                del self._holders[holder]
                holder.hurry()
            return


class Place:
    """Room that is set aside for one frame, until the end of a ``with`` block.

    Args:
        of: where.
        size: bytes of it.
    """

    __slots__ = ("_of", "size")

    def __init__(self, of: Backlog, size: int) -> None:
        self.size = size
        """Bytes of it; 0 once it was given up."""
        self._of = of

    def __enter__(self) -> Self:
        self._of.holds(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._of.rests(self)
        self.hurry()

    def hurry(self) -> None:
        """Give it up."""
        size, self.size = self.size, 0
        self._of.leave(size)
