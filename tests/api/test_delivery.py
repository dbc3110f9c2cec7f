"""async with delivery: acks, nacks, releases, extends, and tells when the lease was lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

import supersoniq
from supersoniq.api.broker import Broker
from supersoniq.backends.memory import MemoryBackend
from supersoniq.core.ops import AnyOp
from supersoniq.port import Result


async def one(broker: supersoniq.Broker, **policy: float) -> supersoniq.Delivery:
    queue = broker.queue("q", **policy)
    await queue.publish("work")
    delivery = await queue.get()
    assert delivery is not None
    return delivery


def test_the_end_of_the_block_acks(url: str) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            async with await one(broker) as delivery:
                assert delivery.text() == "work"
            assert delivery.settled == "ack"
            assert (await broker.queue("q").stats()).acked == 1

    asyncio.run(main())


def test_an_exception_nacks_with_its_reason_and_goes_on(url: str) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            delivery = await one(broker, backoff=60)
            with pytest.raises(ZeroDivisionError):
                async with delivery:
                    raise ZeroDivisionError("by zero")
            message = await broker.queue("q").message(delivery.id)
            assert message.status == "scheduled"
            assert message.reason == "ZeroDivisionError: by zero"

    asyncio.run(main())


def test_an_endless_reason_is_cut(url: str) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            delivery = await one(broker)
            with pytest.raises(ValueError):
                async with delivery:
                    raise ValueError("\udfff" + "x" * 100_000)
            reason = (await broker.queue("q").message(delivery.id)).reason
            assert reason is not None
            assert len(reason) == 1000

    asyncio.run(main())


def test_cancelling_the_block_releases_uncounted(url: str) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            delivery = await one(broker)

            async def work() -> None:
                async with delivery:
                    await asyncio.sleep(60)

            task = asyncio.ensure_future(work())
            await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            message = await broker.queue("q").message(delivery.id)
            assert (message.status, message.deliveries) == ("ready", 0)

    asyncio.run(main())


def test_what_was_settled_by_hand_stays_so(url: str) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            async with await one(broker) as delivery:
                await delivery.reject("no")
            stats = await broker.queue("q").stats()
            assert (stats.dead, stats.acked) == (1, 0)

    asyncio.run(main())


def test_long_work_keeps_its_lease(url: str) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            # Two thirds of the lease are what a busy machine may stand still without it being lost.
            async with await one(broker, lease=3) as delivery:
                for _ in range(2):
                    before = delivery.deadline
                    while delivery.deadline == before:  # noqa: ASYNC110  # nobody tells
                        await asyncio.sleep(0.01)
                    assert not delivery.lost
            stats = await broker.queue("q").stats()
            assert (stats.acked, stats.lapsed) == (1, 0)

    asyncio.run(main())


def test_a_lost_lease_ends_the_block(url: str) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            delivery = await one(broker, lease=0.15)
            reached: list[str] = []

            async def work() -> None:
                async with delivery:
                    await broker.delete_queue("q")  # the cruellest way to lose a lease
                    await asyncio.sleep(60)
                    reached.append("the end")

            with pytest.raises(supersoniq.LeaseLost):
                await work()
            assert delivery.lost
            assert not reached
            task = asyncio.current_task()
            assert task is not None
            assert task.cancelling() == 0, "its own cancellation leaked out of the block"

    asyncio.run(main())


def test_a_cancellation_from_outside_wins_over_a_lost_lease(url: str) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            delivery = await one(broker, lease=0.15)

            async def work() -> None:
                async with delivery:
                    try:
                        await broker.delete_queue("q")
                        await asyncio.sleep(60)
                    finally:
                        me = asyncio.current_task()
                        assert me is not None
                        me.cancel()
                        await asyncio.sleep(0)

            with pytest.raises(asyncio.CancelledError):
                await asyncio.ensure_future(work())

    asyncio.run(main())


def test_settling_late_raises_and_changes_nothing(url: str) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            delivery = await one(broker, lease=0.1)
            await asyncio.sleep(0.12)
            with pytest.raises(supersoniq.LeaseLost):
                await delivery.ack()
            message = await broker.queue("q").message(delivery.id)
            assert (message.status, message.deliveries) == ("ready", 1)

    asyncio.run(main())


def test_bad_arguments_change_nothing(url: str) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            delivery = await one(broker)
            before = await broker.queue("q").stats()
            for call in (
                delivery.nack(delay=-1),
                delivery.nack(reason="x" * 1001),
                delivery.release(delay=float("nan")),
                delivery.extend(0.05),
                delivery.extend(13 * 3600),
            ):
                with pytest.raises(supersoniq.InvalidArgument):
                    await call
            assert await broker.queue("q").stats() == before
            await delivery.ack()

    asyncio.run(main())


def test_ack_many_gives_each_its_verdict(url: str) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            queue = broker.queue("q")
            await queue.publish_many(["a", "b", "c"])
            deliveries = await queue.get_many(3)
            await deliveries[1].release()
            verdicts = await queue.ack_many(deliveries)
            assert [type(v) for v in verdicts] == [type(None), supersoniq.LeaseLost, type(None)]
            assert (await queue.stats()).acked == 2

    asyncio.run(main())


@pytest.mark.parametrize("many", [False, True])
def test_an_extension_that_an_ack_overtakes_is_no_lost_lease(many: bool) -> None:
    """The store may carry out what is under way together in any order."""

    class Reordering(MemoryBackend):
        """Every ack before every extension, answered in the order of asking."""

        def __init__(self) -> None:
            super().__init__()
            self.direct = None

        async def execute(self, batch: Sequence[AnyOp]) -> list[Result]:
            await asyncio.sleep(0.06)
            later = [op for op in batch if "extend" in repr(op)]
            done = {id(op): op for op in [*(op for op in batch if op not in later), *later]}
            results = dict(zip(done, await super().execute(list(done.values())), strict=True))
            return [results[id(op)] for op in batch]

    async def main() -> None:
        async with Broker(Reordering()) as broker:
            queue = broker.queue("q")
            await queue.publish("work")
            delivery = await queue.get()
            assert delivery is not None
            async with delivery:
                # Both are under way at once, the extension first.
                busy = asyncio.ensure_future(queue.stats())
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                extension = asyncio.ensure_future(delivery._keep())
                await asyncio.sleep(0)
                await (queue.ack_many([delivery]) if many else delivery.ack())
                await busy
                await extension
                assert not delivery.lost
            assert (await queue.stats()).acked == 1

    asyncio.run(main())
