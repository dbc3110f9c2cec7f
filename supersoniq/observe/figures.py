"""The store's own figures, asked for seldom enough that nobody can do harm by asking.

Whoever asks within a second gets what the last one got, and all who ask at the same time wait for
one answer. Where the answer takes long (thousands of queues), the next question waits for twenty
times as long: telling figures never takes more than a twentieth of a store's time.

How long the oldest ready message has been waiting is not among a store's counters: it is looked up,
which passes over the messages before it that are not ready. So that is done more seldom if it takes
long: for a hundredth of the time at most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import Generic, TypeVar

import msgspec

from supersoniq.api.engine import Engine
from supersoniq.core.errors import QueueNotFound
from supersoniq.core.messages import Message
from supersoniq.core.ops import Browse, Queues, QueueStats, Stats
from supersoniq.core.states import Status

__all__ = ["Figures", "Kept", "Known", "oldest_ready"]

FRESH = 1.0
"""Seconds for which an answer is good."""
TOGETHER = 50
"""Queues that are asked for at the same time."""
T = TypeVar("T")


class Known(msgspec.Struct, frozen=True):
    """What is known of a store's queues."""

    stats: Mapping[str, QueueStats]
    """By name."""
    oldest: Mapping[str, int]
    """Since when the oldest ready message has been ready, in milliseconds since the epoch, by name;
    of queues that have one."""
    asked: float
    """When the store was asked for its queues, in seconds of ``time.monotonic``."""


class Figures:
    """A store's figures.

    Args:
        engine: gives what carries out operations: not a caller's, but the store's own.
    """

    def __init__(self, engine: Callable[[], Engine]) -> None:
        self._engine = engine
        self._stats = Kept(self._ask_stats, 20)
        self._oldest = Kept(self._ask_oldest, 100)

    async def stats(self) -> Mapping[str, QueueStats]:
        """What the store's counters say of each queue, by name.

        Raises:
            SupersoniqError: the store does not answer.
        """
        return await self._stats.get()

    async def known(self) -> Known:
        """The figures of every queue, up to a second old, or older where asking takes long.

        Raises:
            SupersoniqError: the store does not answer.
        """
        stats = await self._stats.get()
        asked = self._stats.asked
        return Known(stats, await self._oldest.get(), asked)

    async def _ask_stats(self) -> dict[str, QueueStats]:
        engine = self._engine()
        names: list[str] = await engine.call(Queues())
        found: dict[str, QueueStats] = {}
        for start in range(0, len(names), TOGETHER):
            asked = names[start : start + TOGETHER]
            answers = await asyncio.gather(
                *(engine.call(Stats(name)) for name in asked), return_exceptions=True
            )
            for name, answer in zip(asked, answers, strict=True):
                if isinstance(answer, QueueStats):
                    found[name] = answer
                elif not isinstance(answer, QueueNotFound):  # deleted meanwhile
                    raise answer
            await asyncio.sleep(0)
        return found

    async def _ask_oldest(self) -> dict[str, int]:
        engine = self._engine()
        found: dict[str, int] = {}
        for number, (name, stats) in enumerate((await self._stats.get()).items()):
            if number % TOGETHER == 0:
                await asyncio.sleep(0)  # a store that never waits must not keep others waiting
            since = await oldest_ready(engine, stats)
            if since is not None:
                found[name] = since
        return found


async def oldest_ready(engine: Engine, stats: QueueStats) -> int | None:
    """Since when a queue's oldest ready message is ready; ``None`` if there is none.

    The oldest is that which was published first. O(n) in the messages before it, which are not
    ready.

    Args:
        engine: what carries out operations.
        stats: the queue's figures.

    Returns:
        Milliseconds since the epoch.
    """
    if not stats.ready:
        return None
    try:
        found: list[Message] = await engine.call(Browse(stats.queue, Status.READY, None, 1))
    except QueueNotFound:
        return None
    return found[0].available_at if found else None


class Kept(Generic[T]):
    """An answer that is kept for a while.

    Args:
        ask: gives a new one.
        times: how many times as long as asking took it is kept, if that is more than ``FRESH``.
    """

    def __init__(self, ask: Callable[[], Awaitable[T]], times: int) -> None:
        self._ask = ask
        self._times = times
        self.asked = 0.0
        """When the answer that is kept was asked for."""
        self._until = 0.0
        self._answer: T | None = None
        self._asking: asyncio.Future[T] | None = None

    async def get(self) -> T:
        """The answer."""
        if self._answer is not None and monotonic() < self._until:
            return self._answer
        asking = self._asking
        loop = asyncio.get_running_loop()
        if asking is None or asking.done() or asking.get_loop() is not loop:
            asking = self._asking = loop.create_task(self._renew())
            asking.add_done_callback(_heard)
        # Whoever leaves does not take the answer away from the others.
        return await asyncio.shield(asking)

    async def _renew(self) -> T:
        begun = monotonic()
        self._answer = answer = await self._ask()
        self.asked, ended = begun, monotonic()
        self._until = ended + max(FRESH, self._times * (ended - begun))
        return answer


def _heard(asking: asyncio.Future[T]) -> None:
    """Take notice of an error even if all who asked have left."""
    if not asking.cancelled():
        asking.exception()
