"""Where the time of a message goes: ``python benchmarks/steps.py``. Feeds ``PROFILE.md``.

Each step of a message's way through the memory backend is timed by itself, in CPU time, with the
collector off; medians of rounds that take all steps in turn. The steps of one call do not quite add
up to it: the rest is what lies between them.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

sys.path[0] = str(Path(__file__).resolve().parent.parent)

import supersoniq  # noqa: E402
from benchmarks.harness import CONTENT, machine  # noqa: E402
from supersoniq.api.delivery import Delivery  # noqa: E402
from supersoniq.backends.memory import MemoryBackend  # noqa: E402
from supersoniq.clock import SystemClock  # noqa: E402
from supersoniq.core import rules  # noqa: E402
from supersoniq.core.machine import Machine  # noqa: E402
from supersoniq.core.messages import Entry, Lease, Published, prepare  # noqa: E402
from supersoniq.core.ops import Configure, Outcome, Publish, Settle, Settlement, Take, Taken  # noqa: E402

COUNT, ROUNDS = 20_000, 9
NOW = 2_000_000_000_000


class Watch:
    """Collects nanoseconds a message, by step."""

    def __init__(self) -> None:
        self.figures: dict[str, list[float]] = {}

    async def step(self, name: str, work: Callable[[], Awaitable[object]]) -> None:
        """Do one round of a step."""
        gc.collect()
        gc.disable()
        started = time.process_time()
        await work()
        taken = time.process_time() - started
        gc.enable()
        self.figures.setdefault(name, []).append(taken / COUNT * 1e9)


async def calls(watch: Watch, size: int) -> None:
    """The whole calls, of single messages or in batches."""
    async with supersoniq.connect("memory://") as broker:
        queue = broker.queue()
        await queue.stats()
        contents = [CONTENT] * size
        held: list[Delivery | None] = []
        batches: list[list[Delivery]] = []

        async def publish() -> None:
            for _ in range(COUNT):
                await queue.publish(CONTENT)

        async def get() -> None:
            held.extend([await queue.get() for _ in range(COUNT)])

        async def ack() -> None:
            for delivery in held:
                assert delivery is not None
                await delivery.ack()
            held.clear()

        async def publish_many() -> None:
            for _ in range(COUNT // size):
                await queue.publish_many(contents)

        async def get_many() -> None:
            batches.extend([await queue.get_many(size) for _ in range(COUNT // size)])

        async def ack_many() -> None:
            for deliveries in batches:
                await queue.ack_many(deliveries)
            batches.clear()

        broker.engine.sweep_at = 10 * COUNT  # here all are held at once, which nobody does
        for work in (publish, get, ack) if size == 1 else (publish_many, get_many, ack_many):
            await watch.step(f"{work.__name__}, the whole call", work)


async def inside(watch: Watch, size: int) -> None:
    """What these calls are made of."""
    store = Machine(bytes(32))
    queue = store.make("q", NOW)
    entries: list[Entry] = [prepare(CONTENT)] * size
    times = range(COUNT // size)

    async def checks() -> None:
        for _ in range(COUNT):
            prepare(CONTENT, 0, 0, None, None, None, None, None, None)

    async def records() -> None:
        for _ in times:
            [rules.born(entry, n, NOW) for n, entry in enumerate(entries)]

    async def answers() -> None:
        for _ in times:
            [Published(n, False, "memory") for n in range(size)]

    async def publish() -> None:
        for _ in times:
            queue.publish(entries, NOW)

    taken: list[Taken] = []

    async def take() -> None:
        taken.extend([queue.take(size, None, None, NOW) for _ in times])

    verdicts = []

    async def settlements() -> None:
        ack = Outcome.ACK
        verdicts.extend([[Settlement(lease, ack) for lease in batch.leases] for batch in taken])

    async def settle() -> None:
        for batch in verdicts:
            queue.settle(batch, NOW)

    # One by one, the core has plain cases of its own.

    async def publish_one() -> None:
        for _ in times:
            queue.publish_one(entries[0], NOW)

    singles: list[tuple[Lease, int] | None] = []

    async def take_one() -> None:
        singles.extend([queue.take_one(NOW) for _ in times])

    async def ack_one() -> None:
        for single in singles:
            assert single is not None
            queue.ack_one(single[0], NOW)

    if size == 1:
        for work in (publish_one, take_one, ack_one):
            await watch.step(f"the core's {work.__name__}", work)
        await watch.step("  checks", checks)
        return
    steps = (checks, records, answers, publish, take, settlements, settle)
    for number, work in enumerate(steps):
        core = "the core's " if number in (3, 4, 6) else "  "
        await watch.step(f"{core}{work.__name__}", work)


async def around(watch: Watch) -> None:
    """What each call has around the core."""
    backend = MemoryBackend()
    await backend.open()
    clock = SystemClock()

    async def nothing() -> None:
        """Do nothing."""

    async def coroutine() -> None:
        for _ in range(COUNT):
            await nothing()

    async def read_clock() -> None:
        for _ in range(COUNT):
            clock.now()

    async def operations() -> None:
        for _ in range(COUNT):
            Publish("q", ()), Take("q"), Settle("q", ())

    async def dispatch() -> None:
        assert backend.direct is not None
        backend.direct(Configure("q"))
        for _ in range(COUNT):
            backend.direct.lease("q")

    for work in (coroutine, read_clock, operations, dispatch):
        await watch.step(work.__name__, work)
    await backend.close()


async def main() -> None:
    print(machine())
    for title, size in (("single messages", 1), ("batches of 100", 100)):
        watch = Watch()
        for _ in range(ROUNDS):
            await calls(watch, size)
            await inside(watch, size)
            if size == 1:
                await around(watch)
        print(f"\n{title}: nanoseconds a message, median (smallest)\n")
        for name, figures in watch.figures.items():
            print(f"{name:32} {median(figures):6.0f} ({min(figures):.0f})")


if __name__ == "__main__":
    asyncio.run(main())
