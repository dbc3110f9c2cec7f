"""The waiting room: consumers of one kind, and the one who looks on their behalf.

Consumers that ask alike (same queue, recipient and lease) stand in line here. One ``Take`` asks for
as many messages as all of them want; what it gives is handed out from the front. Where nothing is
left, nobody looks again until the backend stirs or the clock reaches the instant at which it said
that something will change. So a waiting consumer costs nothing, a message wakes just
the one who gets it, and a hundred waiters make one call.

**Nothing is lost on the way.** A consumer that stopped waiting while its message was under way, by
time-out or cancellation, never sees it; the message is then released at once, uncounted.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from supersoniq.core.errors import RateLimited
from supersoniq.core.messages import Lease
from supersoniq.core.ops import AnyOp, Take, Taken

__all__ = ["Batch", "RoomKey", "WaitingRoom"]

MOST = 10_000
"""Messages in one ``Take``."""
MOST_BYTES = 16 * 1024 * 1024
"""Bytes in one ``Take``, where those who wait have a bound: together they are not to have more."""


class Batch(msgspec.Struct, frozen=True, gc=False):
    """Leases, as a consumer gets them."""

    leases: list[Lease]
    length: int
    """Of the leases, in milliseconds."""
    since: float
    """When they were asked for, on the event loop's clock: they last from then at the least."""


class RoomKey(NamedTuple):
    """What the consumers of one room have in common."""

    queue: str
    recipient: str | None
    duration: int | None
    bounded: bool = False
    """Whether each says how many bytes it takes."""


class Looker(Protocol):
    """Who looks for messages on a room's behalf: the engine."""

    def submit(
        self, op: AnyOp, done: Callable[[Any], None], failed: Callable[[Exception], None]
    ) -> None:
        """Carry out an operation and call back."""

    def release_soon(self, leases: Sequence[Lease]) -> None:
        """Give leases back, uncounted."""

    def listen(self, queue: str, stir: Callable[[], None]) -> Callable[[], None]:
        """Have a function called when something may have become ready; gives what ends it."""


class _Waiter(NamedTuple):
    limit: int
    max_bytes: int | None
    once: int | None
    """Wants to know now: gets an empty batch rather than wait, after the look of this number."""
    future: asyncio.Future[Batch]


_NONE = Batch([], 0, 0.0)


class WaitingRoom:
    """Where the consumers of one kind wait.

    Args:
        engine: what carries out operations.
        key: what they ask for.
        empty: called when the room is empty and does nothing any more.
    """

    def __init__(
        self, engine: Looker, key: RoomKey, empty: Callable[[RoomKey, WaitingRoom], None]
    ) -> None:
        self._engine = engine
        self._key = key
        self._empty = empty
        self._loop = asyncio.get_running_loop()
        self._waiters: deque[_Waiter] = deque()
        self._looking = False
        self._looks = 0
        self._again = False
        self._asked = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._not_before = 0.0
        """On the event loop's clock: the store has asked for a pause until then."""
        self._deaf = engine.listen(key.queue, self._look)

    async def take(self, limit: int, wait: float | None, max_bytes: int | None = None) -> Batch:
        """Up to ``limit`` leases as soon as there is one; none after ``wait`` seconds.

        With ``max_bytes``, which all of a bounded room have, it gives no more once it has so many.

        Raises:
            SupersoniqError: looking failed.
        """
        pause = self._not_before - self._loop.time()
        if wait == 0 and pause > 0:
            raise RateLimited(round(pause, 3))
        # The look that is under way may have seen the queue before now; the next one has not.
        once = self._looks + 1 if wait == 0 else None
        waiter = _Waiter(limit, max_bytes, once, self._loop.create_future())
        self._waiters.append(waiter)
        timeout = None
        if wait:
            timeout = self._loop.call_later(wait, self._give_up, waiter)
        self._look()
        try:
            return await waiter.future
        except asyncio.CancelledError:
            if waiter.future.done() and not waiter.future.cancelled():
                if waiter.future.exception() is None:
                    self._engine.release_soon(waiter.future.result().leases)
            else:
                waiter.future.cancel()
                self._leave(waiter)
            raise
        finally:
            if timeout is not None:
                timeout.cancel()

    def fail(self, error: Exception) -> None:
        """Send everybody away with an error."""
        while self._waiters:
            future = self._waiters.popleft().future
            if not future.done():
                future.set_exception(error)
        self._shut()

    def _look(self) -> None:
        """Look for messages, unless somebody is already looking: then once more afterwards."""
        if self._looking:
            self._again = True
            return
        if not self._waiters:
            self._shut()
            return
        if self._loop.time() < self._not_before:
            return
        self._looking, self._again = True, False
        self._looks += 1
        self._asked = self._loop.time()
        wanted = self._waiters[0].limit
        if len(self._waiters) > 1:
            wanted = min(sum(waiter.limit for waiter in self._waiters), MOST)
        room = None
        if self._key.bounded:
            room = min(sum(waiter.max_bytes or 0 for waiter in self._waiters), MOST_BYTES)
        op = Take(self._key.queue, wanted, self._key.recipient, self._key.duration, room)
        self._engine.submit(op, self._got, self._failed)

    def _got(self, taken: Taken) -> None:
        self._looking = False
        leases = taken.leases
        given = 0
        while self._waiters and given < len(leases):
            waiter = self._waiters.popleft()
            if waiter.future.done():
                continue
            share = leases[given : given + waiter.limit]
            if waiter.max_bytes is not None:
                share = _up_to(share, waiter.max_bytes)
            given += len(share)
            waiter.future.set_result(Batch(share, taken.length, self._asked))
        if given < len(leases):
            self._engine.release_soon(leases[given:])
        more = bool(leases) and given == len(leases)
        if not more:
            self._dismiss()
        if self._again or (more and self._waiters):
            self._look()
            return
        if not self._waiters:
            self._shut()
        elif taken.wake_in is not None:
            self._wake_after(taken.wake_in / 1000)

    def _dismiss(self) -> None:
        """Nothing is left: send away those who only wanted to know."""
        for waiter in [w for w in self._waiters if w.once is not None and w.once <= self._looks]:
            self._waiters.remove(waiter)
            if not waiter.future.done():
                waiter.future.set_result(_NONE)

    def _failed(self, error: Exception) -> None:
        self._looking = False
        if not isinstance(error, RateLimited):
            self.fail(error)
            return
        # Who can wait is not sent away, but looks again when it may.
        for waiter in [each for each in self._waiters if each.once is not None]:
            self._waiters.remove(waiter)
            if not waiter.future.done():
                waiter.future.set_exception(error)
        self._not_before = self._loop.time() + error.retry_after
        if self._waiters:
            self._wake_after(error.retry_after)
        else:
            self._shut()

    def _wake_after(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        # A store's clock counts whole milliseconds: a hair too early would mean to look twice.
        self._timer = self._loop.call_later(seconds + 0.0005, self._look)

    def _give_up(self, waiter: _Waiter) -> None:
        if not waiter.future.done():
            waiter.future.set_result(_NONE)
            self._leave(waiter)

    def _leave(self, waiter: _Waiter) -> None:
        try:
            self._waiters.remove(waiter)
        except ValueError:
            return
        if not self._waiters and not self._looking:
            self._shut()

    def _shut(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._deaf()
        self._empty(self._key, self)


def _up_to(leases: list[Lease], size: int) -> list[Lease]:
    """The first of them that together have so many bytes."""
    for count, lease in enumerate(leases, 1):
        size -= len(lease.record.content)
        if size <= 0:
            return leases[:count]
    return leases
