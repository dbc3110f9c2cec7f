"""The ``websockets`` client: work and broadcast, in JSON and MessagePack, with TLS and without."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from tests.adapters.sockets import Client, dial
from tests.clients.served import PATIENCE, Served

Dial = Callable[[], AbstractAsyncContextManager[Client]]


@pytest.fixture(params=["json", "msgpack"])
def call(request: pytest.FixtureRequest, server: Served) -> Dial:
    """Connects, and is welcomed."""
    tls = {"ssl": server.trust()} if server.secure else {}
    return lambda: dial(address(server), request.param, **tls)


def address(server: Served) -> str:
    return server.url.replace("http", "ws", 1) + "/ws"


def run(main: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_work_with_credit(call: Dial, server: Served) -> None:
    queue = server.new_queue()
    seen: list[int] = []

    async def work(one: Client) -> None:
        await one.done("subscribe", queue=queue, mode="work", credit=10)
        while len(seen) < 300:
            messages = (await one.next("deliver"))["messages"]
            assert len(messages) <= 10
            seen.extend(one.content(message) for message in messages)
            assert all(verdict["ok"] for verdict in await one.settle(messages, queue=queue))

    async def main() -> None:
        async with call() as one, call() as two, call() as publisher:
            workers = [asyncio.ensure_future(work(each)) for each in (one, two)]
            for start in range(0, 300, 50):
                messages = [{"content": n} for n in range(start, start + 50)]
                answer = await publisher.done("publish", queue=queue, messages=messages)
                assert len(answer["published"]) == 50
            await asyncio.wait(workers, return_when=asyncio.FIRST_COMPLETED)
            for worker in workers:
                worker.cancel()
            await asyncio.wait(workers)
        assert sorted(seen) == list(range(300))
        server.all_done(queue, 300)

    run(main)


def test_what_a_worker_held_is_the_next_ones_when_it_vanishes(call: Dial, server: Served) -> None:
    async def main() -> None:
        queue = server.new_queue()
        server.publish(queue, *range(20))
        async with call() as gone, call() as left:
            await gone.done("subscribe", queue=queue, mode="work", credit=20)
            held = await gone.take(20)
            assert await gone.settle(held[:5], queue=queue) == [{"ok": True}] * 5
            gone.cut()
            await left.done("subscribe", queue=queue, mode="work", credit=100)
            messages = await left.take(15)  # long before a lease of 30 s lapses
            assert [left.content(each) for each in messages] == list(range(5, 20))
            assert {each["attempt"] for each in messages} == {1}  # not counted
            assert await left.settle(messages, queue=queue) == [{"ok": True}] * 15
        server.all_done(queue, 20)

    run(main)


def test_broadcast_and_resume(call: Dial, server: Served) -> None:
    async def told(one: Client, count: int) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        while len(events) < count:
            events += (await one.next("event"))["events"]
        assert len(events) == count
        return events

    async def main() -> None:
        queue = server.new_queue()
        watch: dict[str, Any] = {"queue": queue, "mode": "broadcast"}
        async with call() as stays:
            await stays.done("subscribe", **watch)
            async with call() as leaves:
                assert (await leaves.done("subscribe", **watch))["missed"] is False
                server.publish(queue, *range(50))
                events = await told(leaves, 50)
            assert [stays.content(each["message"]) for each in await told(stays, 50)] == list(
                range(50)
            )
            server.publish(queue, *range(50, 80))
            async with call() as back:
                last = events[-1]["offset"]
                answer = await back.done("subscribe", **watch, since=last)
                assert (answer["offset"], answer["missed"]) == (last, False)
                server.publish(queue, 80)
                contents = [back.content(each["message"]) for each in await told(back, 31)]
                assert contents == list(range(50, 81))
                answer = await back.done("subscribe", **watch, since=1)
                assert answer["missed"] is True
            assert len(await told(stays, 31)) == 31

    run(main)


def test_contents_of_every_kind(call: Dial, server: Served) -> None:
    async def main() -> None:
        queue = server.new_queue()
        async with call() as one:
            contents: list[Any] = ["text é", {"a": [1, 2.5, None]}, "x" * 500_000]
            messages = [{"content": content} for content in contents]
            if not one.text:
                messages.append({"content": b"\x00\xff"})
            await one.done("publish", queue=queue, messages=messages)
            leased = server.http.post(f"/queues/{queue}/leases", json={"limit": 10}).json()
            assert [each.get("content") for each in leased[:3]] == contents
            assert [each["content_base64"] for each in leased[3:]] == ["AP8="] * (not one.text)
            verdicts = await one.settle(leased, queue=queue)  # a receipt of HTTP's
            assert verdicts == [{"ok": True}] * len(messages)

    run(main)


def test_errors_leave_the_connection_and_bad_frames_end_it(call: Dial, server: Served) -> None:
    async def main() -> None:
        async with call() as one:
            envelope = {"content": 1, "priority": "high"}
            problem = await one.refused("publish", messages=[envelope])
            assert problem["code"] == "invalid-argument"
            assert "priority" in problem["detail"]
            problem = await one.refused("subscribe", queue="none-such", mode="broadcast")
            assert problem["code"] == "queue-not-found"
            assert (await one.done("ping"))["type"] == "ok"
            await one.socket.send("[]" if one.text else b"\xc1")
            bye, code = await one.closed()
            assert bye is not None
            assert (bye["reason"], code) == ("bad-frame", 4400)

    run(main)


def test_the_handshake(server: Served) -> None:
    async def main() -> None:
        tls: dict[str, Any] = {"ssl": server.trust()} if server.secure else {}
        with pytest.raises(InvalidStatus) as refused:
            async with connect(address(server), **tls):
                pass
        assert refused.value.response.status_code == 400
        assert json.loads(refused.value.response.body)["code"] == "invalid-argument"
        offers = [Subprotocol("other"), Subprotocol("supersoniq.v1.json")]
        async with connect(address(server), subprotocols=offers, **tls) as one:
            assert one.subprotocol == "supersoniq.v1.json"
            assert not one.protocol.extensions  # compression was offered
            await asyncio.wait_for(await one.ping(), PATIENCE)
            await one.send(b"binary where text was agreed on")
            types = [json.loads(await one.recv())["type"] for _ in range(2)]
            assert types == ["welcome", "bye"]
            with pytest.raises(ConnectionClosed):
                await one.recv()
            assert one.close_code == 4400

    run(main)
