"""RQ, one job at a time in its ``SimpleWorker``: the usual worker forks for each job."""

from __future__ import annotations

import time

from redis import Redis
from rq import Queue, SimpleWorker

from benchmarks.jobs.common import CONTENT, tell, the_task


def main() -> None:
    url, count, _ = the_task()
    connection = Redis.from_url(url)
    queue = Queue(connection=connection)
    started = time.perf_counter()
    for _ in range(count):
        queue.enqueue("benchmarks.jobs.common.noop", CONTENT, result_ttl=0)
    published = time.perf_counter() - started
    worker = SimpleWorker([queue], connection=connection)
    started = time.perf_counter()
    worker.work(burst=True, logging_level="CRITICAL")
    tell("rq redis", count / published, count / (time.perf_counter() - started))


main()
