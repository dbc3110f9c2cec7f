"""The SQLite backend, at both durabilities, against the ways in which one else keeps a queue there.

Every caller is a task that publishes, gets and acks, over and over, on a queue of 1,000 (or 30,000)
messages; a figure is round trips per second of wall time. FULL survives power loss (``disk``),
NORMAL the death of the process (``os``).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

import supersoniq
from benchmarks import peers
from benchmarks.harness import CONTENT, Case, Goal, Plan, Row, absent, compare

UNIT = "round trips/s"


def rows(plan: Plan) -> Iterator[Row]:
    """The results of this subject."""
    seconds = plan.pick(1000, 400, 20) / 1000
    depth = plan.pick(1000, 1000, 20)
    many = plan.pick(100, 100, 5)
    yield from _against_others(plan, many, depth, seconds)
    yield from _deep(plan, plan.pick(30_000, 30_000, 100), seconds)
    short = plan._replace(rounds=min(plan.rounds, 3))
    for callers in (1, 10, 100, 1000) if plan.scale < 2 else (1, 3):
        yield compare(
            short,
            Row(f"{callers} callers" if callers > 1 else "1 caller", "FULL / NORMAL", UNIT, "", []),
            Case("FULL", _ours("full", callers, depth, seconds)),
            Case("NORMAL", _ours("normal", callers, depth, seconds)),
        )


def _against_others(plan: Plan, many: int, depth: int, seconds: float) -> Iterator[Row]:
    ours = Case("SupersoniQ", _ours("full", many, depth, seconds))
    row = Row(f"{many} callers, both", "FULL", UNIT, ours.name, [], goal=Goal(15))
    aiosqlite = peers.find("aiosqlite")
    if aiosqlite is None:
        yield absent(row, "aiosqlite")
    else:
        other = _their_table(aiosqlite, many, depth, seconds)
        yield compare(plan, row, ours, Case("aiosqlite, a transaction each", other))
    row = Row(f"{many} callers against its 1", "FULL", UNIT, ours.name, [], goal=Goal(20))
    persistqueue = peers.find("persistqueue")
    if persistqueue is None:
        yield absent(row, "persist-queue")
    else:
        other = _their_file(peers.persist_queue, persistqueue, depth, seconds)
        yield compare(plan, row, ours, Case("persist-queue SQLiteAckQueue", other))


def _deep(plan: Plan, depth: int, seconds: float) -> Iterator[Row]:
    ours = Case("SupersoniQ", _ours("normal", 1, depth, seconds))
    row = Row(f"1 caller, {depth:,} queued", "NORMAL", UNIT, ours.name, [], goal=Goal(25))
    litequeue = peers.find("litequeue")
    if litequeue is None:
        yield absent(row, "litequeue")
    else:
        other = _their_file(peers.litequeue, litequeue, depth, seconds)
        yield compare(plan, row, ours, Case("litequeue", other))
    row = Row(f"1 caller, {depth:,} queued", "FULL", UNIT, ours.name, [])
    row.note = "litequeue has no FULL"
    yield compare(plan, row, Case("SupersoniQ", _ours("full", 1, depth, seconds)), None)


def _ours(synchronous: str, callers: int, depth: int, seconds: float) -> Callable[[], float]:
    def measure() -> float:
        with TemporaryDirectory() as folder:
            return asyncio.run(_measure_ours(folder, synchronous, callers, depth, seconds))

    return measure


async def _measure_ours(
    folder: str, synchronous: str, callers: int, depth: int, seconds: float
) -> float:
    async with supersoniq.connect(f"sqlite:///{folder}/q.db", synchronous=synchronous) as broker:
        queue = broker.queue()
        await fill(queue, depth)

        async def round_trip() -> None:
            await queue.publish(CONTENT)
            delivery = await queue.get()
            assert delivery is not None
            await delivery.ack()

        return await rate(round_trip, callers, seconds)


async def fill(queue: supersoniq.Queue, depth: int) -> None:
    """Publish so many messages."""
    for start in range(0, depth, 1000):
        await queue.publish_many([CONTENT] * min(1000, depth - start))


async def rate(round_trip: Callable[[], Awaitable[None]], callers: int, seconds: float) -> float:
    """Round trips per second of so many tasks."""
    done = 0
    started = time.perf_counter()

    async def call() -> None:
        nonlocal done
        while time.perf_counter() < started + seconds:
            await round_trip()
            done += 1

    await asyncio.gather(*(call() for _ in range(callers)))
    return done / (time.perf_counter() - started)


def _their_table(
    module: ModuleType, callers: int, depth: int, seconds: float
) -> Callable[[], float]:
    async def run(folder: str) -> float:
        async with peers.LeaseTable(module, Path(folder) / "q.db", "FULL") as table:
            await table.fill(depth)
            return await rate(table.round_trip, callers, seconds)

    def measure() -> float:
        with TemporaryDirectory() as folder:
            return asyncio.run(run(folder))

    return measure


def _their_file(
    run: Callable[[ModuleType, Path, int, float], float],
    module: ModuleType,
    depth: int,
    seconds: float,
) -> Callable[[], float]:
    def measure() -> float:
        with TemporaryDirectory() as folder:
            return run(module, Path(folder) / "q.db", depth, seconds)

    return measure
