"""taskiq on a stream of Redis, which is its broker that acknowledges."""

from __future__ import annotations

import asyncio
import time

from taskiq.api import run_receiver_task
from taskiq_redis import RedisStreamBroker

from benchmarks.jobs.common import CONTENT, Done, in_parallel, tell, the_task


async def main() -> None:
    url, count, concurrency = the_task()
    broker = RedisStreamBroker(url)
    done = Done(count)

    async def noop(content: str) -> None:
        done.one()

    task = broker.task(task_name="noop")(noop)
    await broker.startup()
    published = await in_parallel(lambda: task.kiq(CONTENT), count, concurrency)
    started = time.perf_counter()
    working = asyncio.ensure_future(run_receiver_task(broker, max_async_tasks=concurrency))
    await done.all.wait()
    working.cancel()
    await asyncio.wait([working])
    await broker.shutdown()
    tell("taskiq taskiq-redis redis", published, count / (done.at - started))


asyncio.run(main())
