"""How soon a waiting consumer has its message, and what waiting costs.

Latency runs from just before ``publish`` is called to when ``get`` has returned, so on SQLite it
holds the commit. The consumer in another process waits on the same file; both read the same
monotonic clock. Messages come at uneven gaps, so that nothing can be in step with them. The idle
consumer is a process of its own that asks the system for its CPU time.
"""

from __future__ import annotations

import asyncio
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from statistics import median, quantiles
from tempfile import TemporaryDirectory

import supersoniq
from benchmarks.harness import ROOT, Goal, Plan, Row, child, single


def rows(plan: Plan) -> Iterator[Row]:
    """The results of this subject."""
    count = plan.pick(1000, 300, 20)
    yield from single(
        plan,
        lambda: _figures(asyncio.run(_in_process(count))),
        _pair("in process, memory", "memory", 50),
    )
    count = plan.pick(200, 60, 4)
    for synchronous in ("full", "normal"):
        yield from single(
            plan,
            lambda chosen=synchronous: _figures(_across(chosen, count)),  # type: ignore[misc]
            _pair("other process, SQLite", synchronous.upper(), 5000),
        )
    seconds = plan.pick(100, 30, 3) / 10
    for url, durability in (("memory://", "memory"), ("sqlite:///{}/q.db", "FULL")):
        row = Row("idle consumer", durability, "% CPU", "SupersoniQ", [])
        row.goal = Goal(0.2, at_least=False)
        row.note = f"of one core, over {seconds:g} s"
        yield from single(
            plan._replace(rounds=min(plan.rounds, 3)),
            lambda url=url: {"idle": _idle_cpu(url, seconds)},  # type: ignore[misc]
            {"idle": row},
        )


def _pair(subject: str, durability: str, goal: float) -> dict[str, Row]:
    return {
        name: Row(
            f"wake-up, {subject}, {name}",
            durability,
            "us",
            "SupersoniQ",
            [],
            goal=Goal(goal, at_least=False) if name == "median" else None,
        )
        for name in ("median", "p99")
    }


def _figures(seconds: list[float]) -> dict[str, float]:
    micro = [value * 1e6 for value in seconds]
    return {"median": median(micro), "p99": quantiles(micro, n=100, method="inclusive")[98]}


async def _in_process(count: int) -> list[float]:
    latencies: list[float] = []
    async with supersoniq.connect("memory://") as broker:
        queue = broker.queue()
        sent = 0.0

        async def consume() -> None:
            for _ in range(count + 10):
                delivery = await queue.get()
                latencies.append(time.perf_counter() - sent)
                assert delivery is not None
                await delivery.ack()

        consumer = asyncio.ensure_future(consume())
        for _ in range(count + 10):
            await asyncio.sleep(random.uniform(0.0005, 0.0015))
            sent = time.perf_counter()
            await queue.publish(b"")
        await consumer
    return latencies[10:]


def _across(synchronous: str, count: int) -> list[float]:
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/q.db"
        code = (
            f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
            f"from benchmarks import wakeup; wakeup.consume({url!r}, {synchronous!r}, {count})"
        )
        with subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
        ) as consumer:
            assert consumer.stdout is not None
            consumer.stdout.readline()  # it waits
            asyncio.run(_produce(url, synchronous, count))
            return [float(line) for line in consumer.stdout]


async def _produce(url: str, synchronous: str, count: int) -> None:
    async with supersoniq.connect(url, synchronous=synchronous) as broker:
        queue = broker.queue()
        for _ in range(count):
            await asyncio.sleep(random.uniform(0.005, 0.03))
            await queue.publish(str(time.perf_counter()))


def consume(url: str, synchronous: str, count: int) -> None:
    """Be the consumer in the other process: print how long each message took."""
    asyncio.run(_consume(url, synchronous, count))


async def _consume(url: str, synchronous: str, count: int) -> None:
    async with supersoniq.connect(url, synchronous=synchronous) as broker:
        queue = broker.queue()
        await queue.stats()
        print("ready", flush=True)
        latencies = []
        for _ in range(count):
            delivery = await queue.get()
            assert delivery is not None
            latencies.append(time.perf_counter() - float(delivery.text()))
            await delivery.ack()
        print("\n".join(map(str, latencies)))


def _idle_cpu(url: str, seconds: float) -> float:
    with TemporaryDirectory() as folder:
        where = url.format(folder)
        return float(child(f"from benchmarks import wakeup; wakeup.idle({where!r}, {seconds})"))


def idle(url: str, seconds: float) -> None:
    """Print the CPU share of a consumer that waits in vain, in this fresh process."""
    asyncio.run(_idle(url, seconds))


async def _idle(url: str, seconds: float) -> None:
    async with supersoniq.connect(url) as broker:
        consumer = asyncio.ensure_future(broker.queue().get())
        await asyncio.sleep(0.5)
        before = resource.getrusage(resource.RUSAGE_SELF)
        await asyncio.sleep(seconds)
        after = resource.getrusage(resource.RUSAGE_SELF)
        consumer.cancel()
        used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        print(100 * used / seconds)
