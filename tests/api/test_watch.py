"""Watching: every watcher sees every event, resumes, and is told of gaps."""

from __future__ import annotations

import asyncio

import pytest

import supersoniq
from supersoniq import EventKind
from supersoniq.core import log


def test_every_watcher_sees_every_message_from_its_start_on(url: str) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            queue = broker.queue("q")
            await queue.publish("before")
            async with queue.watch() as one, queue.watch() as two:
                await queue.publish("first")
                delivery = await queue.get()  # a watcher does not care who consumes
                assert delivery is not None
                await delivery.ack()
                await queue.publish("second")
                for watch in (one, two):
                    texts = []
                    for _ in range(2):
                        event = await watch.next(30)
                        assert event is not None
                        assert event.message is not None
                        assert event.kind is EventKind.PUBLISHED
                        texts.append(event.message.text())
                    assert texts == ["first", "second"]
                    assert await watch.next(0) is None

    asyncio.run(main())


def test_a_waiting_watcher_is_woken(url: str) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            queue = broker.queue("q")
            async with queue.watch() as watch:
                waiting = asyncio.ensure_future(watch.next(30))
                await asyncio.sleep(0.01)
                assert not waiting.done()
                await queue.publish("now")
                event = await asyncio.wait_for(waiting, 30)
                assert event is not None

    asyncio.run(main())


def test_every_move_can_be_watched(url: str) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            queue = broker.queue("q", max_deliveries=1, keep_done=60)
            kinds = [kind for kind in EventKind if kind is not EventKind.GAP]
            async with queue.watch(kinds=kinds) as watch:
                await queue.publish("a", delay=0.001)
                delivery = await queue.get(30)
                assert delivery is not None
                await delivery.extend(40)
                await delivery.release()
                delivery = await queue.get(30)
                assert delivery is not None
                await delivery.nack(reason="no")
                await queue.redrive()
                delivery = await queue.get(30)
                assert delivery is not None
                await delivery.reject()
                await queue.redrive(delivery.id)
                delivery = await queue.get(30)
                assert delivery is not None
                await delivery.ack()
                published = await queue.publish("b")
                await queue.cancel(published.id)
                await queue.publish("c")
                await queue.purge()
                seen = []
                while (event := await watch.next(0)) is not None:
                    seen.append(str(event.kind))
                    assert event.message is not None
            assert seen == [
                "published", "due", "leased", "extended", "released", "leased", "nacked",
                "redriven", "leased", "rejected", "redriven", "leased", "acked",
                "published", "cancelled", "published", "purged",
            ]  # fmt: skip

    asyncio.run(main())


def test_resuming_after_an_offset_misses_nothing(url: str) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            queue = broker.queue("q")
            async with queue.watch() as watch:
                await queue.publish("a")
                event = await watch.next(30)
                assert event is not None
            await queue.publish("b")
            async with queue.watch(since=event.offset) as again:
                event = await again.next(30)
                assert event is not None
                assert event.message is not None
                assert event.message.text() == "b"

    asyncio.run(main())


@pytest.mark.parametrize("since", [0, 1, 2**62])
def test_resuming_from_elsewhere_is_told_of_the_gap(url: str, since: int) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            queue = broker.queue("q")
            await queue.publish("a")
            async with queue.watch(since=since) as watch:
                event = await watch.next(30)
                assert event is not None
                assert event.kind is EventKind.GAP
                assert event.message is None
                await queue.publish("b")
                event = await watch.next(30)
                assert event is not None
                assert event.kind is EventKind.PUBLISHED

    asyncio.run(main())


def test_a_watcher_that_falls_behind_holds_nobody_up_and_is_told(
    url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            queue = broker.queue("q")
            async with queue.watch() as watch:
                batch = [b""] * 5000
                for _ in range(log.CAPACITY // 5000 + 1):
                    await queue.publish_many(batch)
                event = await watch.next(30)
                assert event is not None
                assert event.kind is EventKind.GAP
                count = 0
                while (event := await watch.next(0)) is not None:
                    assert event.kind is EventKind.PUBLISHED
                    count += 1
                assert count == log.CAPACITY

    asyncio.run(main())


def test_large_contents_that_fill_the_log_are_told_as_a_gap(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "CAPACITY_BYTES", 100_000)

    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            queue = broker.queue("q")
            async with queue.watch() as watch:
                for size in (5_000, 30_000, 30_000, 45_000):
                    await queue.publish(b"x" * size)
                event = await watch.next(30)
                assert event is not None
                assert event.kind is EventKind.GAP
                told = []
                while (event := await watch.next(0)) is not None:
                    assert event.message is not None
                    told.append(len(event.message.content))
                assert told == [30_000, 45_000]

    asyncio.run(main())


def test_a_watch_ends_when_the_broker_closes(url: str) -> None:
    async def main() -> None:
        broker = await supersoniq.connect(url).open()
        watch = broker.queue("q").watch()

        async def follow() -> int:
            return len([event async for event in watch])

        task = asyncio.ensure_future(follow())
        await asyncio.sleep(0.01)
        await broker.close()
        assert await asyncio.wait_for(task, 30) == 0

    asyncio.run(main())


@pytest.mark.parametrize("kinds", [[], ["gap"], ["PUBLISHED"], [7]])
def test_unknown_kinds_are_refused(url: str, kinds: list[str]) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            with pytest.raises(supersoniq.InvalidArgument):
                broker.queue("q").watch(kinds=kinds)
            with pytest.raises(supersoniq.InvalidArgument):
                broker.queue("q").watch(since=-1)

    asyncio.run(main())
