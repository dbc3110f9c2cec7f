"""Room that many want: those who wait for some get it in their turn.

**Nobody overtakes.** As soon as one waits, all others that want some do as well, and what gets free
is kept until there is enough for the next one. What is larger than all room comes alone.

**Addresses take turns**, the connections of one do as well, and each of those keeps its own order:
a thousand that wait at one of them hold a single one at another for no longer than it takes to let
in one of each.

Whoever was let in can finish without any more room: there is nothing in which two could wait for
each other. But it may take its time, and so those who have room are looked at while others wait.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Hashable

__all__ = ["GLANCE", "NOBODY", "Client", "Turns"]

Client = tuple[Hashable, Hashable]
"""Who waits: the address, and the connection."""
NOBODY: Client = None, None
"""Who is not known."""
Queue = deque[tuple[asyncio.Future[None], int]]

GLANCE = 0.25
"""Seconds between two looks at those who have room, while others wait for it."""


class Turns(ABC):
    """Room, and who waits for some."""

    __slots__ = ("_looking", "_waiting")

    def __init__(self) -> None:
        self._waiting: dict[Hashable, dict[Hashable, Queue]] = {}
        """By address and connection, whose turn is next first. None is empty."""
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
            address, connections = next(iter(self._waiting.items()))
            connection, queue = next(iter(connections.items()))
            turn, wanted = queue[0]
            if not turn.done():
                if not self.fits(wanted):
                    return
                self.take(wanted)
                turn.set_result(None)
            queue.popleft()
            del connections[connection], self._waiting[address]
            if queue:
                connections[connection] = queue
            if connections:
                self._waiting[address] = connections

    async def turn(self, size: int, client: Client) -> None:
        """Wait for so many bytes, and take them."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        address, connection = client
        connections = self._waiting.setdefault(address, {})
        connections.setdefault(connection, deque()).append((turn, size))
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
