"""Room that many want: those who wait for some get it in their turn.

**Nobody overtakes.** As soon as one waits, all others that want some do as well, and what gets free
is kept until there is enough for the next one. **Connections take turns**, and each keeps its own
order: a thousand that wait on one of them hold a single one on another for no longer than it takes
to let in one of each. What is larger than all room comes alone.

Whoever was let in can finish without any more room: there is nothing in which two could wait for
each other. But it may take its time, and so those who have room are looked at while others wait.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Hashable

__all__ = ["GLANCE", "Turns"]

GLANCE = 0.25
"""Seconds between two looks at those who have room, while others wait for it."""


class Turns(ABC):
    """Room, and who waits for some."""

    __slots__ = ("_looking", "_waiting")

    def __init__(self) -> None:
        self._waiting: dict[Hashable, deque[tuple[asyncio.Future[None], int]]] = {}
        """By client, whose turn is next first. None is empty."""
        self._looking = False

    @property
    def waiting(self) -> bool:
        """Whether anybody waits."""
        return bool(self._waiting)

    @abstractmethod
    def fits(self, size: int) -> bool:
        """Whether there is room for so many bytes, whoever else may wait for it."""

    @abstractmethod
    def take(self, size: int) -> None:
        """Count so many bytes more; or fewer."""

    @abstractmethod
    def look(self, now: float) -> None:
        """See whether somebody has room for too long: others wait. ``now`` is the loop's time."""

    def enter(self, size: int) -> bool:
        """Take so many bytes, unless others wait for them."""
        if self._waiting or not self.fits(size):
            return False
        self.take(size)
        return True

    def leave(self, size: int) -> None:
        """Give so many bytes back; whoever waits for them has them."""
        self.take(-size)
        while self._waiting:
            client, queue = next(iter(self._waiting.items()))
            turn, wanted = queue[0]
            if not turn.done():
                if not self.fits(wanted):
                    return
                self.take(wanted)
                turn.set_result(None)
            queue.popleft()
            del self._waiting[client]
            if queue:
                self._waiting[client] = queue

    async def turn(self, size: int, client: Hashable) -> None:
        """Wait for so many bytes, and take them."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.setdefault(client, deque()).append((turn, size))
        if not self._looking:
            self._looking = True
            loop.call_later(GLANCE, self._glance, loop)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self.leave(0)  # those behind it need not wait for what it wanted
            else:
                self.leave(size)
            raise

    def _glance(self, loop: asyncio.AbstractEventLoop) -> None:
        self._looking = bool(self._waiting)
        if self._looking:
            self.look(loop.time())
            loop.call_later(GLANCE, self._glance, loop)
