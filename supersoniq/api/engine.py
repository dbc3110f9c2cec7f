"""The engine: one backend, and what all faces need around it.

Every call goes through here as an operation. A backend that never waits (``direct``) is called at
once; any other gets batches from the coalescer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Protocol

from supersoniq.api.coalescer import Coalescer
from supersoniq.api.keeping import Rounds
from supersoniq.api.observer import UNTOLD, Observer, observed, observed_direct, telling
from supersoniq.api.waiting import Batch, RoomKey, WaitingRoom
from supersoniq.core.errors import Closed, SupersoniqError
from supersoniq.core.messages import Lease
from supersoniq.core.ops import AnyOp, Outcome, Settle, Settlement, Take, Taken
from supersoniq.port import Backend

__all__ = ["Engine"]

log = logging.getLogger("supersoniq")


Working = Callable[[Any], AbstractContextManager[None]]


class Held(Protocol):
    """A delivery, as far as the engine knows it."""

    lease: Lease

    @property
    def time_left(self) -> float:
        """Seconds for which its lease can be trusted."""


class Engine:
    """Carries out operations on one backend.

    Args:
        backend: an open backend. The engine does not close it.
    """

    working: Working | None = None
    """Entered with a delivery as long as somebody works on it; ``None``: nobody wants to know."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.listen = backend.listen
        self.deletions = 0
        """Queues deleted through this engine; whoever declared one must then do so again."""
        self.direct = backend.direct
        """Carries out operations here and now, where the backend can; else ``None``. The hot
        calls look here themselves: a coroutine in between costs as much as the work."""
        self.time = asyncio.get_running_loop().time
        """The event loop's clock."""
        self._coalescer = Coalescer(backend.execute)
        self._rooms: dict[RoomKey, WaitingRoom] = {}
        self.rounds = Rounds()
        """When leases are extended."""
        self._called: tuple[Callable[..., None], ...] = ()
        """Whom to tell of what was called, where nothing is direct."""
        self._closing = False
        self._farewells: set[Callable[[], Awaitable[None] | None]] = set()
        self.held: set[Held] = set()
        """Deliveries that were neither settled nor seen to be lost. They enter themselves, and have
        it swept when they are more than ``sweep_at``."""
        self.sweep_at = 1024

    @property
    def closing(self) -> bool:
        """Whether ``close`` has begun: nothing is leased any more."""
        return self._closing

    def observe(self, observer: Observer) -> None:
        """Have somebody told of what is carried out, from now on."""
        self._coalescer.execute = observed(self._coalescer.execute, observer)
        if self.direct is not None:
            self.direct = observed_direct(self.direct, observer)
        else:
            self._called += telling((observer,), "called")

    async def call(self, op: AnyOp) -> Any:
        """Carry out an operation and give its result.

        Raises:
            SupersoniqError: as the operation says.
            Closed: the broker is closed.
        """
        if self.direct is not None:
            result = self.direct(op)
        else:
            result = await self._coalescer.submit(op)
        if self._called and op.__class__ not in UNTOLD:
            self._tell(op, result)
        return result

    def submit(
        self, op: AnyOp, done: Callable[[Any], None], failed: Callable[[Exception], None]
    ) -> None:
        """Carry out an operation and call back, at once where the backend is direct."""
        if self._called and op.__class__ not in UNTOLD:
            done = partial(self._tell_and, op, done)
        try:
            if self.direct is not None:
                result = self.direct(op)
            else:
                future = self._coalescer.submit(op)
                future.add_done_callback(lambda f: _report(f, done, failed))
                return
        except SupersoniqError as error:
            failed(error)
            return
        done(result)

    async def take(
        self,
        queue: str,
        limit: int,
        *,
        recipient: str | None = None,
        duration: int | None = None,
        wait: float | None = 0,
        max_bytes: int | None = None,
    ) -> Batch:
        """Lease up to ``limit`` messages as soon as there is one.

        Args:
            queue: the queue's name.
            limit: 1 or more.
            recipient: whose messages, beside the unaddressed ones.
            duration: of the leases in milliseconds; ``None``: the queue's.
            wait: seconds to wait for the first; ``None``: for ever; 0: not at all.
            max_bytes: of content, after which no more are given; ``None``: ``limit`` alone counts.

        Raises:
            Closed: the broker is or was closed meanwhile.
            SupersoniqError: looking failed.
        """
        batch = self.take_now(queue, limit, recipient, duration, max_bytes)
        if batch is not None and (batch.leases or wait == 0):
            return batch
        return await self.wait(queue, limit, recipient, duration, wait, max_bytes)

    def wait(
        self,
        queue: str,
        limit: int,
        recipient: str | None,
        duration: int | None,
        wait: float | None,
        max_bytes: int | None = None,
    ) -> Awaitable[Batch]:
        """Stand in line for what ``take`` gives: for who has just found nothing by ``take_now``.

        Raises:
            Closed: the broker is closed.
        """
        key = RoomKey(queue, recipient, duration, max_bytes is not None)
        room = self._rooms.get(key)
        if room is None:
            if self._closing:
                raise Closed("the broker")
            room = self._rooms[key] = WaitingRoom(self, key, self._drop)
        return room.take(limit, wait, max_bytes)

    def take_now(
        self,
        queue: str,
        limit: int,
        recipient: str | None,
        duration: int | None,
        max_bytes: int | None = None,
    ) -> Batch | None:
        """Lease what a direct backend has; ``None`` if it is not direct, or others wait in line.

        Raises:
            Closed: the broker is closed.
        """
        direct = self.direct
        # Making the key of a room takes longer than looking whether there is any.
        if direct is None:
            return None
        bounded = max_bytes is not None
        if self._rooms and RoomKey(queue, recipient, duration, bounded) in self._rooms:
            return None
        if self._closing:
            raise Closed("the broker")
        asked = self.time()
        taken: Taken = direct(Take(queue, limit, recipient, duration, max_bytes))
        return Batch(taken.leases, taken.length, asked)

    def lease_now(self, queue: str) -> tuple[Lease, int] | None:
        """Lease the next message of a direct backend, for the queue's lease; gives its length, too.

        ``None`` if there is none to be had in this way: then ask by ``take``, or ``wait``.
        """
        direct = self.direct
        if direct is None or self._closing:
            return None
        if self._rooms and RoomKey(queue, None, None) in self._rooms:
            return None
        return direct.lease(queue)

    def release_soon(self, leases: Sequence[Lease]) -> None:
        """Give leases back, uncounted, in the background; they would lapse otherwise."""
        queues: dict[str, list[Settlement]] = {}
        for lease in leases:
            settlement = Settlement(lease, Outcome.RELEASE)
            queues.setdefault(lease.queue, []).append(settlement)
        for queue, settlements in queues.items():
            self.settle_soon(queue, settlements)

    def settle_soon(self, queue: str, settlements: list[Settlement]) -> None:
        """Settle in the background, whatever comes of it."""
        self.submit(Settle(queue, settlements), _ignore, _grumble)

    def sweep(self) -> None:
        """Forget deliveries whose leases are over; called whenever ``sweep_at`` are held. O(n).

        Consumers that drop deliveries unsettled must not fill the memory.
        """
        self.held = {kept for kept in self.held if kept.time_left > 0}
        self.sweep_at = max(1024, 2 * len(self.held))

    def on_close(self, callback: Callable[[], Awaitable[None] | None]) -> Callable[[], None]:
        """Have a function called when closing begins, and what it gives awaited before going on.

        Gives what takes that back.
        """
        self._farewells.add(callback)
        return lambda: self._farewells.discard(callback)

    async def close(self) -> None:
        """Send waiters away with ``Closed``, give back what is held, finish what was submitted."""
        if self._closing:
            return
        self._closing = True
        goodbyes = [goodbye for callback in list(self._farewells) if (goodbye := callback())]
        for room in list(self._rooms.values()):
            room.fail(Closed("the broker"))
        await asyncio.gather(*goodbyes)
        held = [delivery.lease for delivery in self.held if delivery.time_left > 0]
        self.held.clear()
        self.release_soon(held)
        # What was under way may bring leases for those who were just sent away, to be released.
        for _ in range(3):
            await self._coalescer.drain()
            await asyncio.sleep(0)
        await self._coalescer.close()

    def _tell(self, op: AnyOp, result: Any) -> None:
        for called in self._called:
            called(op, result)

    def _tell_and(self, op: AnyOp, done: Callable[[Any], None], result: Any) -> None:
        self._tell(op, result)
        done(result)

    def _drop(self, key: RoomKey, room: WaitingRoom) -> None:
        if self._rooms.get(key) is room:
            del self._rooms[key]


def _report(
    future: asyncio.Future[Any], done: Callable[[Any], None], failed: Callable[[Exception], None]
) -> None:
    if future.cancelled():
        return
    error = future.exception()
    if isinstance(error, Exception):
        failed(error)
    else:
        done(future.result())


def _ignore(_result: object) -> None:
    """Take no notice."""


def _grumble(error: Exception) -> None:
    log.warning("leases could not be released and will lapse: %s", error)
