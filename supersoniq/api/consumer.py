"""Consuming: an iterator of deliveries, and a runner of handlers that drains when it is stopped."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable

from supersoniq.api.delivery import Delivery
from supersoniq.api.engine import Engine
from supersoniq.api.waiting import Batch
from supersoniq.core.errors import BackendUnavailable, Closed, LeaseLost, OutcomeUnknown
from supersoniq.core.messages import Lease

__all__ = ["Handler", "Leaser", "Runner", "receive"]

log = logging.getLogger("supersoniq")

Leaser = Callable[[int], Awaitable[Batch]]
"""Waits for up to so many leases."""
Handler = Callable[[Delivery], Awaitable[object]]
PATIENCE = 5.0
"""Longest pause, in seconds, between attempts while the store is out of reach."""


async def receive(engine: Engine, lease: Leaser, prefetch: int) -> AsyncGenerator[Delivery, None]:
    """Deliveries as they come, until the broker closes.

    What is fetched ahead and never handed out is released, uncounted, when the iterator ends.
    """
    ahead: deque[tuple[Lease, int, float]] = deque()

    def give_back() -> None:
        if ahead:
            engine.release_soon([held for held, _, _ in ahead])
            ahead.clear()

    loop = asyncio.get_running_loop()
    stopped = engine.on_close(give_back)
    try:
        while not engine.closing:
            if not ahead:
                try:
                    batch = await lease(prefetch)
                except Closed:
                    return
                ahead.extend((held, batch.length, batch.since) for held in batch.leases)
            held, length, since = ahead.popleft()
            if loop.time() < since + length / 1000:
                yield Delivery(engine, held, length, since)
    finally:
        stopped()
        give_back()


class Runner:
    """Runs a handler on deliveries, several at a time.

    A delivery is acknowledged when its handler returns, and nacked when it raises. ``stop`` (or
    cancelling ``run``, or closing the broker) drains: nothing more is leased, handlers get the
    grace time to finish, and what is not finished then is cancelled and released, uncounted.

    A handler that has returned makes room before its acknowledgement is answered, so that this and
    the next look for messages go out in one batch: half the trips to a store that is elsewhere.

    Args:
        engine: what carries out operations.
        lease: where deliveries come from.
        handler: called with each delivery.
        concurrency: handlers at the same time, 1 or more.
        grace: seconds that running handlers get when it stops.
        stop: the event that stops it; its own if there is none.
    """

    def __init__(
        self,
        engine: Engine,
        lease: Leaser,
        handler: Handler,
        *,
        concurrency: int,
        grace: float,
        stop: asyncio.Event | None = None,
    ) -> None:
        self._engine = engine
        self._lease = lease
        self._handler = handler
        self._concurrency = concurrency
        self._grace = grace
        self._stopping = stop if stop is not None else asyncio.Event()
        self._finished = asyncio.Event()
        self._freed = asyncio.Event()
        self._busy: set[asyncio.Task[None]] = set()
        self._settling = 0
        """How many of these have returned and wait for their verdict. Where a store is slow to give
        it, no more than as many as may work make room."""

    def stop(self) -> None:
        """Begin to drain. Safe to call more than once."""
        self._stopping.set()

    async def run(self) -> None:
        """Work until stopped, then drain."""
        undo = self._engine.on_close(self._farewell)
        taking = asyncio.ensure_future(self._take_all())
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({taking, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._stopping.set()
            stopping.cancel()
            taking.cancel()
            try:
                await self._drain(taking)
            finally:
                undo()
                self._finished.set()
        if not taking.cancelled() and (error := taking.exception()) is not None:
            raise error

    async def _take_all(self) -> None:
        pause, loop = 0.05, asyncio.get_running_loop()
        while not self._stopping.is_set():
            room = self._concurrency - len(self._busy) + min(self._settling, self._concurrency)
            if room <= 0:
                self._freed.clear()
                await self._freed.wait()
                continue
            try:
                batch = await self._lease(room)
            except Closed:
                return
            except (BackendUnavailable, OutcomeUnknown) as error:
                log.warning("no messages: %s; trying again in %.2g s", error, pause)
                await asyncio.sleep(pause)
                pause = min(2 * pause, PATIENCE)
                continue
            pause = 0.05
            for held in batch.leases:
                delivery = Delivery(self._engine, held, batch.length, batch.since)
                task = loop.create_task(self._handle(delivery))
                self._busy.add(task)
                task.add_done_callback(self._free)

    def _free(self, task: asyncio.Task[None]) -> None:
        self._busy.discard(task)
        self._freed.set()

    async def _handle(self, delivery: Delivery) -> None:
        worked = False
        try:
            async with delivery:
                try:
                    await self._handler(delivery)
                finally:
                    worked = True
                    self._settling += 1
                    self._freed.set()
        except LeaseLost as error:
            log.warning("%r: %s", delivery, error)
        except Exception:
            log.exception("%r: its handler failed", delivery)
        finally:
            self._settling -= worked

    async def _drain(self, taking: asyncio.Task[None]) -> None:
        try:
            await asyncio.gather(taking, return_exceptions=True)
            if self._busy:
                await asyncio.wait(self._busy, timeout=self._grace)
        finally:
            # Also when draining itself is cancelled: no handler may outlive its runner.
            left = [taking, *self._busy]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def _farewell(self) -> None:
        self.stop()
        await self._finished.wait()
