"""Leasing and settling over HTTP; nobody who leaves takes a message along."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import pytest

import supersoniq
from supersoniq.adapters import create_app

Visit = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
Serving = Callable[..., AbstractAsyncContextManager[str]]


def test_lease_and_settle(visit: Visit) -> None:
    async def main() -> None:
        async with visit() as client:
            await client.put("/queues/q", json={"keep_done": 60})
            for n in range(5):
                await client.post("/queues/q/messages", json={"content": n, "priority": n})
            answer = await client.post("/queues/q/leases", json={"limit": 10, "lease": 5})
            leases = answer.json()
            assert [each["content"] for each in leases] == [4, 3, 2, 1, 0]
            for each in leases:
                assert (each["status"], each["deliveries"], each["attempt"]) == ("leased", 1, 1)
                assert 0 < each["deadline"] - each["created_at"] < 10_000
            assert len({each["receipt"] for each in leases}) == 5
            wanted: list[dict[str, Any]] = [
                {"outcome": "ack"},
                {"outcome": "nack", "delay": 0, "reason": "try again"},
                {"outcome": "release", "delay": 60},
                {"outcome": "reject", "reason": "cannot"},
                {"outcome": "extend", "duration": 60},
            ]
            for settlement, each in zip(wanted, leases, strict=True):
                settlement["receipt"] = each["receipt"]
            verdicts = (await client.post("/queues/q/settlements", json=wanted)).json()
            assert all(verdict["ok"] for verdict in verdicts)
            assert verdicts[4]["deadline"] > leases[4]["deadline"]

            async def see(n: int) -> dict[str, Any]:
                path = f"/queues/q/messages/{leases[n]['id']}"
                found: dict[str, Any] = (await client.get(path)).json()
                return found

            seen = [await see(n) for n in range(5)]
            statuses = [each["status"] for each in seen]
            assert statuses == ["done", "ready", "scheduled", "dead", "leased"]
            assert [each["deliveries"] for each in seen] == [1, 1, 0, 1, 1]
            assert seen[1]["reason"] == "try again"
            assert seen[3]["reason"] == "rejected: cannot"

            # The same outcome again is answered as before, another one is refused.
            again = (await client.post("/queues/q/settlements", json=wanted[:1])).json()
            assert again == [{"ok": True}]
            other = [{"receipt": leases[0]["receipt"], "outcome": "nack"}]
            (verdict,) = (await client.post("/queues/q/settlements", json=other)).json()
            assert verdict["problem"]["code"] == "lease-lost"
            elsewhere = [{"receipt": leases[4]["receipt"], "outcome": "ack"}]
            (verdict,) = (await client.post("/queues/other/settlements", json=elsewhere)).json()
            assert verdict["problem"]["code"] == "lease-lost"

    asyncio.run(main())


def test_recipients(visit: Visit) -> None:
    async def main() -> None:
        async with visit() as client:
            for name in ("ada", None, "bob"):
                await client.post("/queues/q/messages", json={"content": name, "recipient": name})
            asked = {"limit": 10, "recipient": "ada"}
            leases = (await client.post("/queues/q/leases", json=asked)).json()
            assert [each["content"] for each in leases] == ["ada", None]
            assert (await client.post("/queues/q/leases", json={"limit": 10})).json() == []

    asyncio.run(main())


def test_a_long_poll_is_woken_or_ends_with_nothing(visit: Visit) -> None:
    async def main() -> None:
        async with visit() as client:
            loop = asyncio.get_running_loop()
            begun = loop.time()
            answer = await client.post("/queues/unknown/leases", json={"wait": 0.2})
            assert answer.json() == []
            assert 0.19 < loop.time() - begun < 5
            assert (await client.get("/queues")).json() == ["default"]  # leasing makes no queue

            polls = [
                asyncio.ensure_future(client.post("/queues/q/leases", json={"wait": 30}))
                for _ in range(3)
            ]
            await asyncio.sleep(0.05)
            begun = loop.time()
            await client.post("/queues/q/messages", json=[{"content": n} for n in range(3)])
            got = [answer.json() for answer in await asyncio.gather(*polls)]
            assert loop.time() - begun < 10
            assert sorted(each["content"] for (each,) in got) == [0, 1, 2]

    asyncio.run(main())


def test_an_answer_has_a_largest_size(visit: Visit) -> None:
    async def main() -> None:
        async with visit(max_answer=100) as client:
            for size in (60, 30, 20, 200, 1):
                await client.post("/queues/q/messages", content=b"x" * size)
            for expected in (2, 1, 1, 1):
                leases = (await client.post("/queues/q/leases", json={"limit": 10})).json()
                assert len(leases) == expected
                assert all(each["attempt"] == 1 for each in leases)
            stats = (await client.get("/queues/q/stats")).json()
            assert stats["leased"] == 5

            seen: list[str] = []
            path = "/queues/q/messages?limit=2"
            pages = 0
            while path:
                answer = await client.get(path)
                seen += [each["id"] for each in answer.json()]
                path = answer.links.get("next", {}).get("url", "")
                pages += 1
            assert len(set(seen)) == len(seen) == 5
            assert pages == 4  # 60 30, 20, 200, 1: the page before the last was full

    asyncio.run(main())


async def waiting(broker: supersoniq.Broker, count: int) -> None:
    """Until so many wait for messages; when none does, nothing is leased for them any more."""
    async with asyncio.timeout(20):
        rooms = broker.engine._rooms
        while sum(len(room._waiters) for room in rooms.values()) != count or (  # noqa: ASYNC110
            rooms and not count
        ):
            await asyncio.sleep(0.002)


async def settled(queue: supersoniq.Queue) -> supersoniq.QueueStats:
    """The figures once nothing is leased."""
    async with asyncio.timeout(20):
        while (stats := await queue.stats()).leased:  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.01)
    return stats


def test_a_client_that_leaves_a_long_poll_takes_nothing(url: str, serving: Serving) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker, serving(create_app(broker)) as address:
            queue = broker.queue("q")
            host, port = address.removeprefix("http://").split(":")
            body = b'{"wait": 30, "limit": 5}'
            for _ in range(5):
                clients = [socket.create_connection((host, int(port))) for _ in range(10)]
                for client in clients:
                    client.sendall(
                        b"POST /queues/q/leases HTTP/1.1\r\nhost: x\r\n"
                        b"content-type: application/json\r\n"
                        b"content-length: %d\r\n\r\n%s" % (len(body), body)
                    )
                await waiting(broker, 10)
                for client in clients:
                    client.close()
                # Right into the farewell: the server has not even seen it.
                await queue.publish_many(["a", "b", "c"])
                await waiting(broker, 0)
                stats = await settled(queue)
                assert (stats.leased, stats.ready) == (0, 3)
                for delivery in await queue.get_many(100, 0):
                    assert delivery.deliveries == 1
                    await delivery.ack()

    asyncio.run(main())


def test_what_cannot_be_sent_is_released_uncounted(url: str) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            app = create_app(broker)
            queue = broker.queue("q")
            await queue.publish("x")
            for error in (OSError("gone"), asyncio.CancelledError()):
                body = json.dumps({"wait": 1}).encode()
                received = iter([{"type": "http.request", "body": body}])

                async def receive(received: Any = received) -> Any:
                    for message in received:
                        return message
                    await asyncio.Event().wait()

                async def send(message: Any, error: BaseException = error) -> None:
                    raise error

                scope = {
                    "type": "http",
                    "method": "POST",
                    "path": "/queues/q/leases",
                    "root_path": "",
                    "query_string": b"",
                    "headers": [],
                }
                with pytest.raises(type(error)):
                    await app(scope, receive, send)
                stats = await settled(queue)
                assert (stats.leased, stats.ready) == (0, 1)
            delivery = await queue.get(0)
            assert delivery is not None
            assert delivery.deliveries == 1

    asyncio.run(main())


def test_a_cancelled_long_poll_takes_nothing(visit: Visit) -> None:
    async def main() -> None:
        async with visit() as client:
            for _ in range(20):
                poll = asyncio.ensure_future(client.post("/queues/q/leases", json={"wait": 30}))
                await asyncio.sleep(0.005)
                publishing = asyncio.ensure_future(
                    client.post("/queues/q/messages", json={"content": 1})
                )
                await asyncio.sleep(0)
                poll.cancel()
                await asyncio.gather(publishing, poll, return_exceptions=True)
            await asyncio.sleep(0.05)
            stats = (await client.get("/queues/q/stats")).json()
            assert stats["leased"] in (0, stats["published"] - stats["ready"])
            assert stats["published"] == 20

    asyncio.run(main())
