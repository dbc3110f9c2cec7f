"""What a face's check works with: a broker on one store, with real time, nearly."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from supersoniq.api.broker import Broker
from supersoniq.api.delivery import Delivery
from supersoniq.api.queue import Queue
from supersoniq.clock import Clock
from supersoniq.core.ops import AnyOp
from supersoniq.port import Backend, Capabilities, Result, Stir
from supersoniq.testing.conformance.trial import that
from supersoniq.testing.harness import Harness

__all__ = ["AwakeClock", "FaceTrial", "LateBackend"]

T = TypeVar("T")
TICK, LONGEST = 0.005, 0.05
"""Seconds between two looks at the time, and for how many at most a look counts."""


class AwakeClock(Clock):
    """Real time, but for what the process stands still.

    Checks hold leases of a fraction of a second, and a busy machine lets a process stand still for
    longer than that. It shall lose no lease by it.
    """

    def __init__(self) -> None:
        self._now = time.time()
        self._looked = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Go, by the running loop."""
        loop = asyncio.get_running_loop()
        self._looked = loop.time()
        self._timer = loop.call_later(TICK, self._tick, loop)

    def stop(self) -> None:
        """Stand still."""
        if self._timer is not None:
            self._timer.cancel()

    def now(self) -> int:
        """Milliseconds since the Unix epoch."""
        return int(self._now * 1000)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        looked, self._looked = self._looked, loop.time()
        self._now += min(self._looked - looked, LONGEST)
        self._timer = loop.call_later(TICK, self._tick, loop)


class LateBackend(Backend):
    """A backend of a harness that is opened when its broker is."""

    def __init__(self, harness: Harness, clock: Clock) -> None:
        self._harness = harness
        self._clock = clock
        self._real: Backend

    async def open(self) -> None:
        """Have the harness open one."""
        self._real = await self._harness.backend(self._clock)
        self.capabilities = self._real.capabilities
        self.direct = self._real.direct

    async def close(self) -> None:
        """Close it."""
        await self._real.close()

    async def execute(self, batch: Sequence[AnyOp]) -> list[Result]:
        """Have it execute the batch."""
        return await self._real.execute(batch)

    def listen(self, queue: str, stir: Stir) -> Callable[[], None]:
        """Listen to it."""
        return self._real.listen(queue, stir)


class FaceTrial:
    """One check's store.

    Args:
        harness: a fresh one.
    """

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.broker: Broker
        """Open."""
        self._brokers: list[Broker] = []
        self._clock = AwakeClock()

    @property
    def can(self) -> Capabilities:
        """What the store claims."""
        return self.broker.backend.capabilities

    def connect(self) -> Broker:
        """One more broker on the store, not open yet."""
        made = Broker(LateBackend(self.harness, self._clock))
        self._brokers.append(made)
        return made

    async def open(self) -> None:
        """Open the first broker."""
        self._clock.start()
        self.broker = await self.connect().open()

    async def finish(self) -> None:
        """Close everything, whatever happened."""
        try:
            for broker in self._brokers:
                await broker.close()
        finally:
            self._clock.stop()
            await self.harness.close()

    def queue(self, name: str = "q", **policy: Any) -> Queue:
        """A queue of the first broker."""
        return self.broker.queue(name, **policy)

    async def one(self, queue: Queue, wait: float = 15, **options: Any) -> Delivery:
        """The next delivery, which must come within ``wait`` seconds."""
        delivery = await queue.get(wait=wait, **options)
        that(delivery is not None, f"nothing came within {wait} s")
        assert delivery is not None
        return delivery

    async def within(self, seconds: float, what: str, call: Awaitable[T]) -> T:
        """What the call gives, which must be there within so many seconds."""
        begun = time.monotonic()
        result = await asyncio.wait_for(call, 30)
        took = time.monotonic() - begun
        that(took <= seconds, f"{what} took {took:.2f} s, not at most {seconds} s")
        return result
