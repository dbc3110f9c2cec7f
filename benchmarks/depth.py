"""A deep queue against a shallow one: speed must not depend on what else is queued.

Two queues, one with a thousand messages and one with a million, take turns; round trips keep each
at its depth. The memory backend is measured in its own CPU time, SQLite in wall time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from tempfile import TemporaryDirectory

import supersoniq
from benchmarks.harness import CONTENT, Case, Goal, Plan, Row, compare
from benchmarks.sqlite import fill, rate

UNIT = "messages/s"
BATCH = 100


def rows(plan: Plan) -> Iterator[Row]:
    """The results of this subject."""
    shallow, deep = plan.pick(1000, 1000, 100), plan.pick(1_000_000, 100_000, 300)
    title = f"{deep:,} against {shallow:,} queued"
    with asyncio.Runner() as runner, TemporaryDirectory() as folder:
        count = plan.pick(30_000, 10_000, 200)
        pair = _Pair(runner, "memory://", "memory://", shallow, deep)
        for name, work in (("one at a time", _singles), ("batches of 100", _batches)):
            deep_one, shallow_one = pair.cases(_cpu(work, count))
            row = Row(f"memory, {title}, {name}", "memory", UNIT, "", [], goal=Goal(0.8))
            yield compare(plan, row, deep_one, shallow_one)
        pair.close()
        for synchronous, durability in (("full", "FULL"), ("normal", "NORMAL")):
            deep_url, shallow_url = (f"sqlite:///{folder}/{synchronous}-{n}.db" for n in (1, 2))
            pair = _Pair(runner, deep_url, shallow_url, shallow, deep, synchronous=synchronous)
            seconds = plan.pick(1000, 400, 20) / 1000
            callers = plan.pick(100, 100, 3)
            deep_one, shallow_one = pair.cases(_callers(callers, seconds))
            row = Row(f"SQLite, {title}, {callers} callers", durability, UNIT, "", [])
            row.goal = Goal(0.8)
            yield compare(plan, row, deep_one, shallow_one)
            deep_one, shallow_one = pair.cases(_wall(_batches, count))
            row = Row(f"SQLite, {title}, batches of 100", durability, UNIT, "", [], goal=Goal(0.8))
            yield compare(plan, row, deep_one, shallow_one)
            pair.close()


_Work = Callable[[supersoniq.Queue], Awaitable[float]]


class _Pair:
    """Two open stores of the same kind, one deep and one shallow."""

    def __init__(
        self,
        runner: asyncio.Runner,
        deep_url: str,
        shallow_url: str,
        shallow: int,
        deep: int,
        **options: str,
    ) -> None:
        self._runner = runner
        self._brokers = [supersoniq.connect(url, **options) for url in (deep_url, shallow_url)]
        self._queues: list[supersoniq.Queue] = []
        self._names = [f"{deep:,} queued", f"{shallow:,} queued"]
        runner.run(self._open((deep, shallow)))

    async def _open(self, depths: tuple[int, int]) -> None:
        for broker, depth in zip(self._brokers, depths, strict=True):
            await broker.open()
            queue = broker.queue()
            await fill(queue, depth)
            self._queues.append(queue)

    def cases(self, work: _Work) -> list[Case]:
        """The same work on the deep one and on the shallow one."""

        async def measure(queue: supersoniq.Queue) -> float:
            return await work(queue)

        return [
            Case(name, lambda queue=queue: self._runner.run(measure(queue)))  # type: ignore[misc]
            for name, queue in zip(self._names, self._queues, strict=True)
        ]

    def close(self) -> None:
        """Close both."""
        for broker in self._brokers:
            self._runner.run(broker.close())


async def _singles(queue: supersoniq.Queue, count: int) -> None:
    for _ in range(count):
        await queue.publish(CONTENT)
        delivery = await queue.get()
        assert delivery is not None
        await delivery.ack()


async def _batches(queue: supersoniq.Queue, count: int) -> None:
    contents = [CONTENT] * BATCH
    for _ in range(count // BATCH):
        await queue.publish_many(contents)
        await queue.ack_many(await queue.get_many(BATCH))


def _cpu(work: Callable[[supersoniq.Queue, int], Awaitable[None]], count: int) -> _Work:
    return _timed(work, count, time.process_time)


def _wall(work: Callable[[supersoniq.Queue, int], Awaitable[None]], count: int) -> _Work:
    return _timed(work, count, time.perf_counter)


def _timed(
    work: Callable[[supersoniq.Queue, int], Awaitable[None]], count: int, clock: Callable[[], float]
) -> _Work:
    async def measure(queue: supersoniq.Queue) -> float:
        started = clock()
        await work(queue, count)
        return count / (clock() - started)

    return measure


def _callers(callers: int, seconds: float) -> _Work:
    async def measure(queue: supersoniq.Queue) -> float:
        async def round_trip() -> None:
            await _singles(queue, 1)

        return await rate(round_trip, callers, seconds)

    return measure
