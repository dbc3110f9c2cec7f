"""SupersoniQ: ``publish`` from so many tasks, then ``run`` with a handler that does nothing.

Or, with a batch's size as the last argument, ``publish_many``, ``get_many`` and ``ack_many`` from
four tasks each.
"""

from __future__ import annotations

import asyncio
import sys
import time

import supersoniq
from benchmarks.jobs.common import CONTENT, Done, in_parallel, tell, the_task

TASKS = 4


async def main() -> None:
    url, count, concurrency = the_task()
    async with supersoniq.connect(url) as broker:
        queue = broker.queue()
        if len(sys.argv) > 4:
            published, consumed = await _batches(queue, count, int(sys.argv[4]))
        else:
            published = await in_parallel(lambda: queue.publish(CONTENT), count, concurrency)
            consumed = await _run(queue, count, concurrency)
        assert (await queue.stats()).acked == count
    tell("supersoniq redis", published, consumed)


async def _run(queue: supersoniq.Queue, count: int, concurrency: int) -> float:
    done, stop = Done(count), asyncio.Event()

    async def noop(delivery: supersoniq.Delivery) -> None:
        done.one()
        if not done.left:
            stop.set()

    started = time.perf_counter()
    await queue.run(noop, concurrency, stop=stop)
    # Until all are acknowledged, where the others' clocks stop when the last handler runs.
    return count / (time.perf_counter() - started)


async def _batches(queue: supersoniq.Queue, count: int, batch: int) -> tuple[float, float]:
    async def consume() -> None:
        await queue.ack_many(await queue.get_many(batch, 0))

    contents = [CONTENT] * batch
    published = await in_parallel(lambda: queue.publish_many(contents), count // batch, TASKS)
    consumed = await in_parallel(consume, count // batch, TASKS)
    return published * batch, consumed * batch


asyncio.run(main())
