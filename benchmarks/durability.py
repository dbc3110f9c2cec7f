"""What each durability setting costs: ``python -m benchmarks.durability``.

Publishes through the whole API, in turns, so that what else the machine does hits all settings
alike: one caller that waits for each, a hundred callers at once, and batches of a hundred. Redis'
own processor time and memory for each message stand beside it. docs/scaling.md has the figures.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import supersoniq
from supersoniq.api.broker import Broker
from tests.backends.redis_server import RedisServer
from tests.ports import free_port

ROUNDS = 5
CONTENT = b"x" * 500


class Way(NamedTuple):
    """How messages are kept."""

    name: str
    url: str
    server: RedisServer | None


async def one_caller(broker: Broker, count: int) -> None:
    for _ in range(count):
        await broker.queue("one").publish(CONTENT)


async def hundred_callers(broker: Broker, count: int) -> None:
    queue = broker.queue("hundred")

    async def caller() -> None:
        for _ in range(count // 100):
            await queue.publish(CONTENT)

    async with asyncio.TaskGroup() as group:
        for _ in range(100):
            group.create_task(caller())


async def batches(broker: Broker, count: int) -> None:
    for _ in range(count // 100):
        await broker.queue("batches").publish_many([CONTENT] * 100)


SHAPES = {"one caller": (one_caller, 200), "100 callers": (hundred_callers, 3000),
          "batches of 100": (batches, 10_000)}  # fmt: skip


@asynccontextmanager
async def opened(way: Way) -> AsyncIterator[Broker]:
    options = {"min_replicas": 1} if "replicas" in way.name else {}
    async with supersoniq.connect(way.url, **options) as broker:
        yield broker


def used(server: RedisServer) -> tuple[float, int]:
    """Processor seconds and bytes."""
    with server.client() as client:
        cpu, memory = client.info("cpu"), client.info("memory")
    return cpu["used_cpu_user"] + cpu["used_cpu_sys"], memory["used_memory"]


async def measure(ways: list[Way]) -> None:
    rates: dict[tuple[str, str], list[float]] = {}
    costs: dict[tuple[str, str], list[float]] = {}
    sizes: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for way in ways:
            async with opened(way) as broker:
                for shape, (work, count) in SHAPES.items():
                    before = used(way.server) if way.server else (0.0, 0)
                    begun = time.perf_counter()
                    await work(broker, count)
                    rates.setdefault((way.name, shape), []).append(
                        count / (time.perf_counter() - begun)
                    )
                    if way.server:
                        after = used(way.server)
                        costs.setdefault((way.name, shape), []).append(
                            (after[0] - before[0]) / count * 1e6
                        )
                        sizes.setdefault(shape, []).append((after[1] - before[1]) / count)
                for name in await broker.queues():
                    await broker.delete_queue(name)
    for way in ways:
        cells = []
        for shape in SHAPES:
            cost = costs.get((way.name, shape))
            beside = f" ({statistics.median(cost):.1f} us of Redis)" if cost else ""
            cells.append(f"{statistics.median(rates[way.name, shape]):,.0f}/s{beside}")
        print(f"| {way.name} | {' | '.join(cells)} |")
    print(f"bytes a message of {len(CONTENT)}: {statistics.median(sizes['batches of 100']):.0f}")


def main() -> None:
    """Measure them all."""
    always = ("--appendonly", "yes", "--appendfsync", "always")
    with (
        tempfile.TemporaryDirectory() as folder,
        RedisServer() as none,
        RedisServer("--appendonly", "yes") as everysec,
        RedisServer(*always) as synced,
        RedisServer(port=free_port()) as first,
        RedisServer("--replicaof", "127.0.0.1", str(first.port)),
    ):
        with first.client() as client:
            assert client.wait(1, 20_000) == 1
        file = f"sqlite:///{folder}"
        ways = [
            Way("memory", "memory://", None),
            Way("SQLite, NORMAL", f"{file}/n.db?synchronous=normal", None),
            Way("SQLite, FULL", f"{file}/f.db", None),
            Way("Redis, no file", none.url, none),
            Way("Redis, everysec", everysec.url, everysec),
            Way("Redis, always", synced.url, synced),
            Way("Redis, min_replicas=1", first.url, first),
        ]
        asyncio.run(measure(ways))


if __name__ == "__main__":
    main()
