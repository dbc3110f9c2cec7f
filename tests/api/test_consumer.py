"""run(): concurrency, failing handlers, and draining in every way it can be stopped."""

from __future__ import annotations

import asyncio
import logging

import pytest

import supersoniq


def test_handlers_run_side_by_side_and_no_more_than_asked(url: str) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            queue = broker.queue("q")
            await queue.publish_many(list(range(30)))
            busy = most = done = 0
            stop = asyncio.Event()

            async def handler(delivery: supersoniq.Delivery) -> None:
                nonlocal busy, most, done
                busy += 1
                most = max(most, busy)
                await asyncio.sleep(0.005)
                busy -= 1
                done += 1
                if done == 30:
                    stop.set()

            await asyncio.wait_for(queue.run(handler, 5, stop=stop), 60)
            assert most == 5
            assert (await queue.stats()).acked == 30

    asyncio.run(main())


def test_a_failing_handler_is_nacked_and_the_rest_goes_on(
    url: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            queue = broker.queue("q", max_deliveries=2, backoff=0)
            await queue.publish_many(["good", "bad", "good"])
            stop = asyncio.Event()
            seen: list[str] = []

            async def handler(delivery: supersoniq.Delivery) -> None:
                seen.append(delivery.text())
                if len(seen) == 4:
                    stop.set()
                if delivery.text() == "bad":
                    raise ValueError("cannot")

            with caplog.at_level(logging.ERROR, "supersoniq"):
                await asyncio.wait_for(queue.run(handler, stop=stop), 60)
            stats = await queue.stats()
            assert (stats.acked, stats.dead) == (2, 1)
            assert [each.name for each in caplog.records].count("supersoniq") == 2
            (dead,) = await queue.browse("dead")
            assert dead.reason == "max_deliveries: ValueError: cannot"

    asyncio.run(main())


@pytest.mark.parametrize("way", ["stop", "cancel", "close"])
def test_stopping_lets_handlers_finish_and_leases_nothing_more(url: str, way: str) -> None:
    async def main() -> None:
        broker = await supersoniq.connect(url).open()
        queue = broker.queue("q")
        await queue.publish_many(list(range(10)))
        started = asyncio.Event()
        finished: list[int] = []
        stop = asyncio.Event()

        async def handler(delivery: supersoniq.Delivery) -> None:
            started.set()
            await asyncio.sleep(0.05)
            finished.append(delivery.json())

        running = asyncio.ensure_future(queue.run(handler, 2, stop=stop))
        await started.wait()
        await asyncio.sleep(0)
        if way == "stop":
            stop.set()
        elif way == "cancel":
            running.cancel()
        else:
            await broker.close()
        results = await asyncio.gather(running, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError) == (way == "cancel")
        assert finished == [0, 1]
        if way != "close":
            stats = await queue.stats()
            assert (stats.acked, stats.ready, stats.leased) == (2, 8, 0)
        await broker.close()

    asyncio.run(main())


def test_what_does_not_finish_in_its_grace_is_released_uncounted(url: str) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            queue = broker.queue("q")
            published = await queue.publish("long")
            stop = asyncio.Event()

            async def handler(delivery: supersoniq.Delivery) -> None:
                stop.set()
                await asyncio.sleep(60)

            await asyncio.wait_for(queue.run(handler, grace=0.02, stop=stop), 30)
            message = await queue.message(published.id)
            assert (message.status, message.deliveries) == ("ready", 0)

    asyncio.run(main())


def test_cancelling_the_drain_still_ends_every_handler(url: str) -> None:
    """At whatever step of the event loop that happens."""

    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            queue = broker.queue("q")
            await queue.publish("long")
            for steps in range(1, 9):
                started = asyncio.Event()
                ended = asyncio.Event()

                async def handler(
                    delivery: supersoniq.Delivery,
                    started: asyncio.Event = started,
                    ended: asyncio.Event = ended,
                ) -> None:
                    started.set()
                    try:
                        await asyncio.sleep(60)
                    finally:
                        ended.set()

                running = asyncio.ensure_future(queue.run(handler))
                await started.wait()
                running.cancel()
                for _ in range(steps):
                    await asyncio.sleep(0)
                running.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await running
                assert ended.is_set(), steps
            stats = await queue.stats()
            assert (stats.ready, stats.leased, stats.released) == (1, 0, 8)

    asyncio.run(main())


def test_receive_ends_when_the_broker_closes(url: str) -> None:
    async def main() -> None:
        broker = await supersoniq.connect(url).open()
        queue = broker.queue("q")
        await queue.publish_many(["a", "b"])
        both = asyncio.Event()

        async def consume() -> None:
            async for delivery in queue.receive():
                async with delivery:
                    if delivery.text() == "b":
                        both.set()

        task = asyncio.ensure_future(consume())
        await asyncio.wait_for(both.wait(), 30)
        await broker.close()
        await asyncio.wait_for(task, 30)

    asyncio.run(main())


def test_leaving_receive_releases_what_was_fetched_ahead(url: str) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            queue = broker.queue("q")
            await queue.publish_many(list(range(5)))
            deliveries = queue.receive(prefetch=5)
            async for delivery in deliveries:
                await delivery.ack()
                break
            await deliveries.aclose()
            stats = await queue.stats()
            assert (stats.acked, stats.ready, stats.released) == (1, 4, 4)

    asyncio.run(main())


def test_bad_arguments(url: str) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            queue = broker.queue("q")

            async def handler(delivery: supersoniq.Delivery) -> None: ...

            with pytest.raises(supersoniq.InvalidArgument):
                await queue.run(handler, 0)
            with pytest.raises(supersoniq.InvalidArgument):
                await queue.run("handler")  # type: ignore[arg-type]  # on purpose
            with pytest.raises(supersoniq.InvalidArgument):
                queue.receive(0)

    asyncio.run(main())
