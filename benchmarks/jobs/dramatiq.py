"""dramatiq: a worker of threads."""

from __future__ import annotations

import time

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.jobs.common import CONTENT, noop, tell, the_task


def main() -> None:
    url, count, concurrency = the_task()
    broker = RedisBroker(url=url)
    actor = dramatiq.actor(noop, broker=broker)
    started = time.perf_counter()
    for _ in range(count):
        actor.send(CONTENT)
    published = time.perf_counter() - started
    worker = dramatiq.Worker(broker, worker_threads=concurrency)
    started = time.perf_counter()
    worker.start()
    broker.join(actor.queue_name, interval=10)
    consumed = time.perf_counter() - started
    worker.stop()
    tell("dramatiq redis", count / published, count / consumed)


main()
