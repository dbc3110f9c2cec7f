"""Work over WebSocket: leasing within a credit, settling, and what comes of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

import supersoniq
from tests.adapters.sockets import Client, dial, served, until


def test_never_more_than_the_credit(url: str, protocol: str) -> None:
    async def main() -> None:
        async with (
            supersoniq.connect(url) as broker,
            served(broker) as address,
            dial(address, protocol) as client,
        ):
            queue = broker.queue("q")
            await queue.publish_many(list(range(100)))
            told = await client.done("subscribe", queue="q", mode="work", credit=7)
            number = told["subscription"]
            seen: list[int] = []
            held: list[dict[str, Any]] = []
            while len(seen) < 60:
                held += (await client.next("deliver"))["messages"]
                assert len(held) <= 7
                assert (await queue.stats()).leased <= 7
                half, held = held[: len(held) // 2 + 1], held[len(held) // 2 + 1 :]
                seen += [client.content(each) for each in half]
                assert all(each["ok"] for each in await client.settle(half, queue="q"))
            assert seen == sorted(seen)  # in order
            # Lowered: nothing more until it has come down; raised: at once.
            while len(held) < 7:
                held += (await client.next("deliver"))["messages"]
            await client.done("credit", subscription=number, credit=3)
            await client.settle(held[:4], queue="q")
            assert await client.quiet()
            await client.settle(held[4:5], queue="q")
            held = held[5:] + await client.take(1)
            await client.done("credit", subscription=number, credit=0)
            await client.settle(held, queue="q")
            assert await client.quiet()
            assert (await queue.stats()).leased == 0
            await client.done("credit", subscription=number, credit=2)
            held = await client.take(2)
            # Ended: no more comes, what is held can still be settled.
            await client.done("unsubscribe", subscription=number)
            assert all(each["ok"] for each in await client.settle(held, queue="q"))
            assert await client.quiet()
            assert (await queue.stats()).leased == 0
            problem = await client.refused("unsubscribe", subscription=number)
            assert problem["data"]["field"] == "subscription"

    asyncio.run(main())


def test_credit_that_becomes_less_while_it_waits(url: str) -> None:
    async def main() -> None:
        async with (
            supersoniq.connect(url) as broker,
            served(broker) as address,
            dial(address) as client,
        ):
            await client.done("subscribe", mode="work", credit=10)
            await asyncio.sleep(0.02)  # it waits, for ten
            await client.done("credit", subscription=1, credit=2)
            queue = broker.queue()
            await queue.publish_many(list(range(10)))
            assert [each["content"] for each in await client.take(2)] == [0, 1]
            assert await client.quiet()
            stats = await queue.stats()
            assert (stats.leased, stats.ready) == (2, 8)

    asyncio.run(main())


def test_every_outcome(url: str, protocol: str) -> None:
    async def main() -> None:
        async with (
            supersoniq.connect(url) as broker,
            served(broker) as address,
            dial(address, protocol) as client,
        ):
            queue = broker.queue(keep_done=60)
            await queue.publish_many(list(range(6)))
            await client.done("subscribe", mode="work", credit=6)
            messages = await client.take(6)
            assert [each["attempt"] for each in messages] == [1] * 6
            receipts = [each["receipt"] for each in messages]
            answer = await client.done(
                "settle",
                settlements=[
                    {"receipt": receipts[0], "outcome": "ack"},
                    {"receipt": receipts[1], "outcome": "nack", "delay": 60, "reason": "no"},
                    {"receipt": receipts[2], "outcome": "release", "delay": 60},
                    {"receipt": receipts[3], "outcome": "reject", "reason": "never"},
                    {"receipt": receipts[4], "outcome": "extend", "duration": 100},
                    {"receipt": receipts[5], "outcome": "ack", "delay": 1},
                    {"receipt": "nonsense", "outcome": "ack"},
                    {"receipt": receipts[0], "outcome": "ack"},
                    {"receipt": receipts[0], "outcome": "reject"},
                ],
            )
            verdicts = answer["verdicts"]
            assert [each["ok"] for each in verdicts] == [True] * 5 + [False, False, True, False]
            assert verdicts[4]["deadline"] >= messages[4]["deadline"] + 60_000
            codes = [each["problem"]["code"] for each in verdicts if not each["ok"]]
            assert codes == ["invalid-argument", "lease-lost", "lease-lost"]
            assert verdicts[5]["problem"]["data"]["field"] == "settlements[5].delay"
            stats = await queue.stats()
            assert (stats.acked, stats.scheduled, stats.dead, stats.leased) == (1, 2, 1, 2)
            # Four of six credits came back: what was extended is still held.
            await queue.publish_many(list(range(9)))
            await client.take(4)
            assert await client.quiet()

    asyncio.run(main())


def test_a_lapsed_delivery_counts_until_its_client_says_so(url: str) -> None:
    async def main() -> None:
        async with (
            supersoniq.connect(url) as broker,
            served(broker) as address,
            dial(address) as stuck,
            dial(address) as other,
        ):
            await broker.queue().publish_many(["a", "b"])
            await stuck.done("subscribe", mode="work", credit=1, lease=0.1)
            (mine,) = await stuck.take(1)
            await asyncio.sleep(0.15)
            await other.done("subscribe", mode="work", credit=1)
            (theirs,) = await other.take(1)
            assert (theirs["content"], theirs["attempt"]) == ("a", 2)
            assert await stuck.quiet()
            (verdict,) = await stuck.settle([mine])
            assert verdict["problem"]["code"] == "lease-lost"
            assert (await stuck.take(1))[0]["content"] == "b"

    asyncio.run(main())


def test_recipients(url: str) -> None:
    async def main() -> None:
        async with (
            supersoniq.connect(url) as broker,
            served(broker) as address,
            dial(address) as client,
        ):
            await client.done("subscribe", mode="work", credit=5, recipient="ada")
            await client.done("subscribe", mode="work", credit=5)
            drafts = [{"content": "hers", "recipient": "ada"}, {"content": "his", "recipient": "b"}]
            await client.done("publish", messages=drafts)
            frame = await client.next("deliver")
            assert (frame["subscription"], frame["messages"][0]["content"]) == (1, "hers")
            assert await client.quiet()

    asyncio.run(main())


@pytest.mark.parametrize("how", ["cut", "close", "task"])
def test_what_a_connection_held_comes_back_at_once_and_uncounted(url: str, how: str) -> None:
    async def main() -> None:
        async with (
            supersoniq.connect(url) as broker,
            served(broker) as address,
            dial(address) as other,
        ):
            queue = broker.queue(max_deliveries=1)
            await queue.publish_many(list(range(20)))
            async with dial(address) as client:
                await client.done("subscribe", mode="work", credit=12)
                held = await client.take(12)
                await client.settle(held[:2])
                await client.take(2)
                if how == "cut":
                    client.cut()
                elif how == "task":
                    task = asyncio.ensure_future(client.hear())
                    await asyncio.sleep(0)
                    task.cancel()

            async def back() -> bool:
                return (await queue.stats()).leased == 0

            await until(back)
            stats = await queue.stats()
            assert (stats.ready, stats.acked, stats.lapsed, stats.dead) == (18, 2, 0, 0)
            await other.done("subscribe", mode="work", credit=100)
            again = await other.take(18)
            assert [each["content"] for each in again] == list(range(2, 20))
            assert {each["attempt"] for each in again} == {1}

    asyncio.run(main())


def test_a_waiting_consumer_that_vanishes_takes_nothing_along(url: str) -> None:
    async def main() -> None:
        async with (
            supersoniq.connect(url) as broker,
            served(broker) as address,
        ):
            queue = broker.queue(max_deliveries=1)
            for _ in range(5):
                async with dial(address) as client:
                    await client.done("subscribe", mode="work", credit=5)
                    client.cut()
                    await queue.publish_many(["x"] * 3)

            async def back() -> bool:
                stats = await queue.stats()
                return stats.ready == 15 and not broker.engine._rooms

            await until(back)
            assert (await queue.stats()).dead == 0

    asyncio.run(main())


def test_fifty_connections_share_a_queue(url: str) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker, served(broker) as address:
            seen: Counter[int] = Counter()
            total = 2000
            finished = asyncio.Event()

            async def work(client: Client) -> None:
                await client.done("subscribe", queue="q", mode="work", credit=5)
                while True:
                    messages = (await client.next("deliver"))["messages"]
                    seen.update(client.content(each) for each in messages)
                    assert all(each["ok"] for each in await client.settle(messages, queue="q"))
                    if seen.total() >= total:
                        finished.set()

            async with asyncio.timeout(60):
                clients = [dial(address, ("json", "msgpack")[n % 2]) for n in range(50)]
                opened = [await each.__aenter__() for each in clients]
                tasks = [asyncio.ensure_future(work(each)) for each in opened]
                for n in range(0, total, 50):
                    batch = [{"content": k} for k in range(n, n + 50)]
                    async with dial(address) as publisher:
                        await publisher.done("publish", queue="q", messages=batch)
                await finished.wait()
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
                for each in clients:
                    await each.__aexit__(None, None, None)
            assert seen == Counter(range(total))

            async def settled() -> bool:
                return (await broker.queue("q").stats()).acked == total

            await until(settled)

    asyncio.run(main())
