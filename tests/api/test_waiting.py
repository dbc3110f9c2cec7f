"""Waiting for messages: no message is lost on the way to a consumer that has gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

import supersoniq
from supersoniq.api.broker import Broker
from supersoniq.backends.memory import MemoryBackend
from supersoniq.core.messages import prepare
from supersoniq.core.ops import AnyOp, Publish, Take
from supersoniq.port import Backend, Result, Stir


class Slow(Backend):
    """Memory behind a coalescer, whose batches wait at a gate, after they were carried out."""

    def __init__(self) -> None:
        self.inner = MemoryBackend()
        self.capabilities = self.inner.capabilities
        self.gate = asyncio.Event()
        self.gate.set()
        self.takes = 0

    async def open(self) -> None:
        await self.inner.open()

    async def close(self) -> None:
        await self.inner.close()

    async def execute(self, batch: Sequence[AnyOp]) -> list[Result]:
        results = await self.inner.execute(batch)
        self.takes += sum(isinstance(op, Take) for op in batch)
        await self.gate.wait()
        return results

    def listen(self, queue: str, stir: Stir) -> Callable[[], None]:
        return self.inner.listen(queue, stir)


@asynccontextmanager
async def slow() -> AsyncIterator[tuple[Slow, supersoniq.Queue]]:
    store = Slow()
    async with Broker(store) as broker:
        queue = broker.queue("q")
        await queue.stats()
        yield store, queue


async def settled(turns: int = 5) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


def test_one_look_serves_all_who_wait_alike() -> None:
    async def main() -> None:
        async with slow() as (store, queue):
            getters = [asyncio.ensure_future(queue.get()) for _ in range(20)]
            await settled()
            before = store.takes
            await queue.publish_many([str(n) for n in range(20)])
            deliveries = await asyncio.gather(*getters)
            assert [d.text() for d in deliveries if d] == [str(n) for n in range(20)]
            assert store.takes - before <= 2

    asyncio.run(main())


def test_whoever_came_first_is_served_first() -> None:
    async def main() -> None:
        async with supersoniq.connect() as broker:
            queue = broker.queue("q")
            order: list[int] = []

            async def consumer(number: int) -> None:
                delivery = await queue.get()
                assert delivery is not None
                order.append(number)
                await delivery.ack()

            tasks = []
            for number in range(10):
                tasks.append(asyncio.ensure_future(consumer(number)))
                await settled()
            for n in range(10):
                await queue.publish(n)
            await asyncio.gather(*tasks)
            assert order == list(range(10))

    asyncio.run(main())


@pytest.mark.parametrize("how", ["cancel", "timeout"])
def test_a_message_under_way_to_a_consumer_that_has_gone_is_released(how: str) -> None:
    async def main() -> None:
        async with slow() as (store, queue):
            await queue.publish("precious")
            store.gate.clear()
            getter = asyncio.ensure_future(queue.get(0.02 if how == "timeout" else None))
            await settled()
            if how == "cancel":
                getter.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await getter
            else:
                assert await getter is None
            store.gate.set()
            delivery = await queue.get(30)
            assert delivery is not None, "the message is stuck with a consumer that has gone"
            assert delivery.attempt == 1, "a delivery that nobody saw was counted"

    asyncio.run(main())


def test_cancelling_at_any_step_loses_nothing() -> None:
    """Every step of the event loop between asking and having is a place to be cancelled."""

    async def main() -> None:
        for steps in range(12):
            async with slow() as (_, queue):
                getter = asyncio.ensure_future(queue.get())
                publisher = asyncio.ensure_future(queue.publish("precious"))
                await settled(steps)
                getter.cancel()
                result = (await asyncio.gather(getter, return_exceptions=True))[0]
                await publisher
                if isinstance(result, supersoniq.Delivery):
                    await result.ack()
                else:
                    delivery = await queue.get(30)
                    assert delivery is not None, f"lost when cancelled at step {steps}"
                    await delivery.ack()
                stats = await queue.stats()
                assert (stats.acked, stats.ready, stats.leased) == (1, 0, 0)

    asyncio.run(main())


def test_waiting_for_nothing_at_all() -> None:
    async def main() -> None:
        async with slow() as (_, queue):
            assert await queue.get(0) is None
            assert await queue.get_many(5, 0) == []
            assert await queue.get(0.01) is None
            with pytest.raises(supersoniq.InvalidArgument):
                await queue.get(-1)
            with pytest.raises(supersoniq.InvalidArgument):
                await queue.get_many(0)

    asyncio.run(main())


def test_closing_sends_waiters_away_and_releases_what_is_held() -> None:
    async def main() -> None:
        store = Slow()
        broker = await Broker(store).open()
        queue = broker.queue("q")
        await queue.publish_many(["held", "ahead", "ahead"])
        held = await queue.get()
        assert held is not None
        deliveries = queue.receive(prefetch=2)
        first = await anext(deliveries)
        assert first.text() == "ahead"
        waiter = asyncio.ensure_future(broker.queue("empty").get())
        await settled()
        machine = store.inner._machine.queues["q"]
        await broker.close()
        with pytest.raises(supersoniq.Closed):
            await waiter
        with pytest.raises(supersoniq.Closed):
            await queue.publish("late")
        # The machine outlives its backend's close only in this test's hands.
        stats = machine.stats(0)
        assert (stats.ready, stats.leased, stats.released) == (3, 0, 3)
        with pytest.raises(StopAsyncIteration):
            await anext(deliveries)

    asyncio.run(main())


def test_consumers_that_drop_deliveries_do_not_fill_the_memory() -> None:
    async def main() -> None:
        async with supersoniq.connect() as broker:
            queue = broker.queue("q", lease=0.1)
            await queue.publish_many([b""] * 5000)
            await queue.get_many(1000)
            await asyncio.sleep(0.15)
            await queue.get_many(5000)
            assert len(broker.engine.held) <= 5000

    asyncio.run(main())


def test_asking_once_is_answered_however_much_it_stirs() -> None:
    """A store that stirs at every look must not keep a caller who only wanted to know."""

    class Restless(Slow):
        def __init__(self) -> None:
            super().__init__()
            self.stirs: list[Stir] = []

        async def execute(self, batch: Sequence[AnyOp]) -> list[Result]:
            results = await super().execute(batch)
            for stir in self.stirs:
                stir()
            return results

        def listen(self, queue: str, stir: Stir) -> Callable[[], None]:
            self.stirs.append(stir)
            return lambda: None

    async def main() -> None:
        async with Broker(Restless()) as broker:
            assert await asyncio.wait_for(broker.queue("q").get(0), 30) is None

    asyncio.run(main())


def test_asking_once_sees_what_was_published_before() -> None:
    """Even if another look was already under way, and had seen nothing."""

    async def main() -> None:
        async with slow() as (store, queue):
            store.gate.clear()
            waiting = asyncio.ensure_future(queue.get(30))
            await settled()
            store.inner.apply(Publish("q", [prepare("there"), prepare("there")]))
            once = asyncio.ensure_future(queue.get(0))
            await settled()
            store.gate.set()
            assert await waiting is not None
            assert await once is not None, "it was told that there is nothing"

    asyncio.run(main())
