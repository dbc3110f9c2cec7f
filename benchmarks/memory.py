"""The memory backend against ``asyncio.PriorityQueue``, which has neither lease nor ack.

Two tasks each, a producer and a consumer, and priorities 0 to 3 on both sides. Everything happens
in one thread, so the clock is the process's own CPU time: other programs are not measured.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator
from pathlib import Path

import supersoniq
from benchmarks import peers
from benchmarks.harness import CONTENT, Case, Goal, Plan, Row, child, compare

BATCH = 100
_PAGE = 4096


def rows(plan: Plan) -> Iterator[Row]:
    """The results of this subject."""
    count = plan.pick(100_000, 20_000, 300)
    peer = Case("asyncio.PriorityQueue", lambda: peers.priority_queue(count))
    ours = Case("SupersoniQ", lambda: asyncio.run(one_at_a_time(count)))
    row = Row("one at a time", "memory", "messages/s", "", [], goal=Goal(0.8))
    yield compare(plan, row, ours, peer)
    ours = Case("SupersoniQ", lambda: asyncio.run(batches(count)))
    row = Row("batches of 100, against one at a time", "memory", "messages/s", "", [])
    row.goal = Goal(2.5)
    yield compare(plan, row, ours, peer)
    count = plan.pick(1_000_000, 100_000, 2_000)
    alone = plan._replace(rounds=min(plan.rounds, 3))
    row = Row(f"bytes a message, {count:,} queued", "memory", "bytes", "", [])
    row.goal = Goal(1.5, at_least=False)
    row.note = "RSS less the content objects"
    ours = Case("SupersoniQ", lambda: _footprint("ours", count))
    peer = Case("asyncio.PriorityQueue", lambda: _footprint("theirs", count))
    yield compare(alone, row, ours, peer)


async def one_at_a_time(count: int) -> float:
    """Publish, get and ack single messages; gives messages per second."""
    async with supersoniq.connect("memory://") as broker:
        queue = broker.queue()
        await queue.stats()

        async def produce() -> None:
            for n in range(count):
                await queue.publish(CONTENT, priority=n & 3)

        async def consume() -> None:
            for _ in range(count):
                delivery = await queue.get()
                assert delivery is not None
                await delivery.ack()

        started = time.process_time()
        await asyncio.gather(produce(), consume())
        return count / (time.process_time() - started)


async def batches(count: int) -> float:
    """The same with ``publish_many``, ``get_many`` and ``ack_many`` of 100."""
    async with supersoniq.connect("memory://") as broker:
        queue = broker.queue()
        await queue.stats()
        drafts = [supersoniq.Draft(CONTENT, priority=n & 3) for n in range(4)]
        items = [drafts[n & 3] for n in range(BATCH)]

        async def produce() -> None:
            for _ in range(count // BATCH):
                await queue.publish_many(items)

        async def consume() -> None:
            left = count // BATCH * BATCH
            while left:
                deliveries = await queue.get_many(BATCH)
                await queue.ack_many(deliveries)
                left -= len(deliveries)

        started = time.process_time()
        await asyncio.gather(produce(), consume())
        return count / (time.process_time() - started)


def _footprint(side: str, count: int) -> float:
    return float(child(f"from benchmarks import memory; memory.footprint({side!r}, {count})"))


def footprint(side: str, count: int) -> None:
    """Print what a queued message takes beside its content object, in this fresh process."""
    asyncio.run(_fill(side, count))


async def _fill(side: str, count: int) -> None:
    contents = [b"%256d" % n for n in range(count)]
    async with supersoniq.connect("memory://") as broker:
        queue = broker.queue()
        await queue.stats()
        gc.collect()
        before = _resident()
        if side == "ours":
            for start in range(0, count, 1000):
                await queue.publish_many(contents[start : start + 1000])
        else:
            kept = await peers.fill_priority_queue(contents)
            assert kept.qsize() == count
        gc.collect()
        print((_resident() - before) / count)


def _resident() -> int:
    """Bytes of memory that this process takes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE
