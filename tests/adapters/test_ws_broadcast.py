"""Broadcast over WebSocket: every event to every subscriber, resumed, held up by nobody."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

import supersoniq
from supersoniq.core.log import CAPACITY
from tests import steady
from tests.adapters.sockets import Client, dial, served


async def events(client: Client, count: int) -> list[dict[str, Any]]:
    """So many events, from as many frames as it takes."""
    found: list[dict[str, Any]] = []
    while len(found) < count:
        found += (await client.next("event"))["events"]
    assert len(found) == count
    return found


@pytest.mark.parametrize("protocol", ["json", "msgpack"])
def test_everybody_is_told_everything(url: str, protocol: str) -> None:
    async def main() -> None:
        async with (
            supersoniq.connect(url) as broker,
            served(broker) as address,
            dial(address, protocol) as one,
            dial(address, protocol) as two,
            dial(address, protocol) as three,
        ):
            clients = (one, two, three)
            offsets = []
            for client in clients:
                told = await client.done("subscribe", mode="broadcast")
                assert told["missed"] is False
                offsets.append(told["offset"])
            await one.done("publish", messages=[{"content": n} for n in range(100)])
            await broker.queue().publish("from elsewhere")
            for client, offset in zip(clients, offsets, strict=True):
                heard = await events(client, 101)
                messages = [each["message"] for each in heard]
                contents = [client.content(each) for each in messages]
                assert contents == [*range(100), "from elsewhere"]
                assert {each["kind"] for each in heard} == {"published"}
                assert {each["status"] for each in messages} == {"ready"}
                order = [each["offset"] for each in heard]
                assert order == sorted(set(order))
                assert order[0] > offset
            assert (await broker.queue().stats()).ready == 101  # nothing was taken
            await two.done("unsubscribe", subscription=1)
            await broker.queue().publish("more")
            await events(one, 1)
            assert await two.quiet()

    steady.run(main())


def test_other_kinds_and_work_beside_it(url: str) -> None:
    async def main() -> None:
        async with (
            supersoniq.connect(url) as broker,
            served(broker) as address,
            dial(address) as client,
        ):
            kinds = ["leased", "acked"]
            await client.done("subscribe", mode="broadcast", kinds=kinds, content="base64")
            await client.done("subscribe", mode="work", credit=1)
            await client.done("publish", messages=[{"content": "x"}])
            await client.settle(await client.take(1))
            leased, acked = await events(client, 2)
            assert (leased["kind"], acked["kind"]) == ("leased", "acked")
            assert leased["message"]["content_base64"] == "eA=="
            problem = await client.refused("credit", subscription=1, credit=5)
            assert problem["data"]["field"] == "subscription"
            bad: list[tuple[str, Any]]
            bad = [("kinds", ["gap"]), ("kinds", []), ("since", -1), ("credit", 1)]
            for field, value in bad:
                problem = await client.refused("subscribe", mode="broadcast", **{field: value})
                assert problem["data"]["field"] == field
            problem = await client.refused("subscribe", mode="broadcast", queue="nowhere")
            assert problem["code"] == "queue-not-found"

    steady.run(main())


def test_resuming_says_whether_anything_was_missed(url: str) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker, served(broker) as address:
            queue = broker.queue()
            async with dial(address) as client:
                start = (await client.done("subscribe", mode="broadcast"))["offset"]
                await queue.publish("a")
                last = (await events(client, 1))[0]["offset"]
            await queue.publish_many(["b", "c"])
            for since, contents in ((start, "abc"), (last, "bc")):
                async with dial(address) as client:
                    told = await client.done("subscribe", mode="broadcast", since=since)
                    assert (told["missed"], told["offset"]) == (False, since)
                    heard = await events(client, len(contents))
                    assert [each["message"]["content"] for each in heard] == list(contents)
                    newest = heard[-1]["offset"]
            async with dial(address) as client:
                told = await client.done("subscribe", mode="broadcast", since=newest)
                assert told["missed"] is False
                assert await client.quiet()
                # From before anything is kept, and from another store's future.
                told = await client.done("subscribe", mode="broadcast", since=0)
                assert told["missed"] is True
                assert len(await events(client, 3)) == 3
                told = await client.done("subscribe", mode="broadcast", since=2**60)
                assert (told["missed"], told["offset"]) == (True, newest)
                # Of acks nothing was recorded until now.
                kinds = ["acked"]
                told = await client.done("subscribe", mode="broadcast", since=newest, kinds=kinds)
                assert told["missed"] is True

    steady.run(main())


def test_a_deleted_queue_ends_its_subscription_and_nothing_else(url: str) -> None:
    async def main() -> None:
        async with (
            supersoniq.connect(url) as broker,
            served(broker) as address,
            dial(address) as client,
        ):
            await client.done("publish", queue="q", messages=[{"content": 1}])
            told = await client.done("subscribe", queue="q", mode="broadcast")
            await broker.delete_queue("q")
            error = await client.next("error")
            assert error["subscription"] == told["subscription"]
            assert error["problem"]["code"] == "queue-not-found"
            assert "id" not in error
            await client.refused("unsubscribe", subscription=told["subscription"])
            await client.done("ping")

    steady.run(main())


async def deaf(address: str) -> Any:
    """A client that will read next to nothing."""
    host, port = address.removeprefix("ws://").removesuffix("/ws").split(":")
    plug = socket.socket()
    plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plug.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plug, (host, int(port)))
    names = [Subprotocol("supersoniq.v1.json")]
    return await connect(
        address, sock=plug, subprotocols=names, compression=None, max_queue=1, close_timeout=0.1
    )


def test_a_slow_reader_is_cut_and_nobody_else_notices(url: str) -> None:
    async def main() -> None:
        async with (
            supersoniq.connect(url) as broker,
            served(broker, send_timeout=0.5) as address,
            dial(address, max_size=None) as reader,
        ):
            queue = broker.queue()
            await queue.publish("leased by the deaf one")
            slow = Client(await deaf(address), text=True)
            await slow.done("subscribe", mode="work", credit=1)
            await slow.take(1)
            await slow.done("subscribe", mode="broadcast")
            await reader.done("subscribe", mode="broadcast")
            tasks = len(asyncio.all_tasks())
            slow.socket.transport.pause_reading()
            total = 0
            for _ in range(40):
                await queue.publish_many(["x" * 200_000] * 2)
                total += len(await events(reader, 2))  # in time, each
            for _ in range(500):
                await asyncio.sleep(0.01)
                if len(asyncio.all_tasks()) < tasks and not (await queue.stats()).leased:
                    break
            assert len(asyncio.all_tasks()) < tasks  # it is gone, and its lease is back
            stats = await queue.stats()
            assert (stats.leased, stats.released) == (0, 1)
            assert total == 80
            await reader.done("ping")
            slow.cut()

    steady.run(main())


@pytest.mark.parametrize("url", ["memory://"])
def test_a_cut_reader_learns_why_if_it_reads_again(url: str) -> None:
    async def main() -> None:
        async with (
            supersoniq.connect(url) as broker,
            served(broker, send_timeout=0.3) as address,
        ):
            slow = Client(await deaf(address), text=True)
            await slow.done("subscribe", mode="broadcast")
            transport: Any = slow.socket.transport
            transport.pause_reading()
            for _ in range(20):
                await broker.queue().publish("x" * 500_000)
            await asyncio.sleep(0.8)  # cut, and the farewell still waits
            transport.resume_reading()
            bye, code = await slow.closed()
            assert (bye or {}).get("reason") == "slow-reader"
            assert code == 4429

    steady.run(main())


@pytest.mark.parametrize("url", ["memory://"])
def test_who_falls_behind_is_told_of_the_gap(url: str) -> None:
    async def main() -> None:
        async with (
            supersoniq.connect(url) as broker,
            served(broker, max_outbox=1000) as address,
        ):
            queue = broker.queue()
            slow = Client(await deaf(address), text=True)
            await slow.done("subscribe", mode="broadcast")
            transport: Any = slow.socket.transport
            transport.pause_reading()
            await queue.publish_many(["x" * 100_000] * 50)
            await asyncio.sleep(0.05)
            for _ in range(2):
                await queue.publish_many(["y"] * (CAPACITY // 2 + 1))
            transport.resume_reading()
            kinds: list[str] = []
            while "gap" not in kinds:
                kinds += [each["kind"] for each in (await slow.next("event"))["events"]]
            heard = await events_after(slow, "last", queue)
            assert heard
            slow.cut()

    steady.run(main())


async def events_after(client: Client, content: str, queue: supersoniq.Queue) -> bool:
    """Whether what is published now is still heard."""
    await queue.publish(content)
    while True:
        told = (await client.next("event"))["events"]
        if told[-1]["message"]["content"] == content:
            return True
