"""saq: a worker of coroutines that block on a list."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from saq import Queue, Worker

from benchmarks.jobs.common import CONTENT, Done, in_parallel, tell, the_task


async def main() -> None:
    url, count, concurrency = the_task()
    queue = Queue.from_url(url)
    await queue.connect()
    published = await in_parallel(
        lambda: queue.enqueue("noop", content=CONTENT, ttl=-1), count, concurrency
    )
    done = Done(count)

    async def noop(context: dict[str, Any], *, content: str) -> None:
        done.one()

    worker = Worker(queue, functions=[("noop", noop)], concurrency=concurrency)
    started = time.perf_counter()
    working = asyncio.ensure_future(worker.start())
    await done.all.wait()
    await worker.stop()
    await asyncio.wait([working])
    await queue.disconnect()
    tell("saq redis", published, count / (done.at - started))


asyncio.run(main())
