"""arq: a worker that polls every half second, unless it is told to do so more often."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker, func

from benchmarks.jobs.common import CONTENT, Done, in_parallel, tell, the_task


async def main() -> None:
    url, count, concurrency = the_task()
    settings = RedisSettings.from_dsn(url)
    pool = await create_pool(settings)
    published = await in_parallel(lambda: pool.enqueue_job("noop", CONTENT), count, concurrency)
    done = Done(count)

    async def noop(context: dict[Any, Any], content: str) -> None:
        done.one()

    options = {"poll_delay": float(sys.argv[4])} if len(sys.argv) > 4 else {}
    worker = Worker(
        functions=[func(noop, name="noop")], redis_settings=settings, max_jobs=concurrency,
        burst=True, keep_result=0, handle_signals=False, **options,
    )  # fmt: skip
    started = time.perf_counter()
    await worker.async_run()
    await worker.close()
    await pool.aclose()
    tell("arq redis", published, count / (done.at - started))


asyncio.run(main())
