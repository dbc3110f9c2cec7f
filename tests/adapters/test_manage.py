"""Queues and messages: looking, configuring, pausing, purging, redriving."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import httpx

import supersoniq
from supersoniq.adapters import create_app

Visit = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


def test_queues(visit: Visit) -> None:
    async def main() -> None:
        async with visit() as client:
            made = await client.put("/queues/q", json={"lease": 5, "backoff": {"initial": 2}})
            assert made.status_code == 201
            assert made.headers["location"] == "/queues/q"
            described = (await client.get("/queues/q")).json()
            assert described == made.json()
            assert described["queue"] == "q"
            assert described["policy"]["lease"] == 5
            assert described["policy"]["max_deliveries"] == 10
            assert described["stats"] == (await client.get("/queues/q/stats")).json()
            changed = await client.put("/queues/q", json={"max_deliveries": 3})
            assert changed.status_code == 200
            assert changed.json()["policy"] == {**described["policy"], "max_deliveries": 3}
            assert (await client.put("/queues/q")).json() == changed.json()
            assert (await client.get("/queues")).json() == ["default", "q"]
            everything = (await client.get("/stats")).json()
            assert everything["q"] == {**described["stats"], "oldest_ready": None}
            await client.post("/queues/q/messages", json={"content": 1})
            (message,) = (await client.get("/queues/q/messages")).json()
            everything = (await client.get("/stats")).json()
            assert everything["q"]["oldest_ready"] == message["available_at"]
            deleted = await client.delete("/queues/q")
            assert (deleted.status_code, deleted.content) == (204, b"")
            assert (await client.get("/queues/q")).status_code == 404

    asyncio.run(main())


def test_browsing(visit: Visit) -> None:
    async def main() -> None:
        async with visit() as client:
            await client.post("/queues/q/messages", json=[{"content": n} for n in range(5)])
            leased = (await client.post("/queues/q/leases", json={"limit": 2})).json()
            ready = await client.get("/queues/q/messages", params={"status": "ready"})
            assert [each["content"] for each in ready.json()] == [2, 3, 4]
            assert "next" not in ready.links
            first = await client.get("/queues/q/messages", params={"limit": 2})
            assert [each["id"] for each in first.json()] == [each["id"] for each in leased]
            assert "receipt" not in first.json()[0]
            second = await client.get(first.links["next"]["url"])
            assert [each["content"] for each in second.json()] == [2, 3]
            after = await client.get("/queues/q/messages", params={"after": leased[1]["id"]})
            assert [each["content"] for each in after.json()] == [2, 3, 4]
            assert (await client.get("/queues/q/stats")).json()["leased"] == 2

    asyncio.run(main())


def test_cancelling_and_explaining(visit: Visit) -> None:
    async def main() -> None:
        async with visit() as client:
            for queue in ("/queues/q", ""):
                posted = await client.post(f"{queue}/messages", json={"content": 1, "delay": 60})
                path = posted.headers["location"]
                told = (await client.get(f"{path}/explanation")).json()
                assert told["id"] == posted.json()["id"]
                assert told["queue"] == ("q" if queue else "default")
                assert "scheduled" in told["explanation"]
                assert (await client.delete(path)).status_code == 204
                assert (await client.get(path)).json()["code"] == "message-not-found"
                assert (await client.delete(path)).status_code == 404
            posted = await client.post("/queues/q/messages", json={"content": 1})
            await client.post("/queues/q/leases")
            refused = await client.delete(posted.headers["location"])
            assert refused.status_code == 409
            assert refused.json()["code"] == "message-leased"
            assert refused.json()["retry"] is True

    asyncio.run(main())


def test_pausing(visit: Visit) -> None:
    async def main() -> None:
        async with visit() as client:
            await client.post("/queues/q/messages", json={"content": 1})
            paused = (await client.post("/queues/q/pause")).json()
            assert paused == {"queue": "q", "paused": True, "paused_until": None}
            assert (await client.post("/queues/q/leases", json={})).json() == []
            resumed = (await client.post("/queues/q/resume")).json()
            assert resumed == {"queue": "q", "paused": False, "paused_until": None}
            for body in ({"duration": 60}, {"until": int((time.time() + 60) * 1000)}):
                paused = (await client.post("/queues/q/pause", json=body)).json()
                assert 50_000 < paused["paused_until"] - time.time() * 1000 < 70_000
            # A long poll is woken when the pause ends.
            await client.post("/queues/q/pause", json={"duration": 0.1})
            leased = await client.post("/queues/q/leases", json={"wait": 10})
            assert len(leased.json()) == 1

    asyncio.run(main())


def test_purging_and_redriving(visit: Visit) -> None:
    async def main() -> None:
        async with visit() as client:
            await client.post("/queues/q/messages", json=[{"content": n} for n in range(4)])
            leases = (await client.post("/queues/q/leases", json={"limit": 3})).json()
            rejections = [{"receipt": e["receipt"], "outcome": "reject"} for e in leases]
            await client.post("/queues/q/settlements", json=rejections)
            purged = await client.post("/queues/q/purge", json={"status": "ready"})
            assert purged.json() == {"queue": "q", "purged": 1}
            one = await client.post("/queues/q/redrive", json={"ids": [leases[2]["id"]]})
            assert one.json() == {"queue": "q", "redriven": 1}
            again = await client.post("/queues/q/redrive", json={"ids": [leases[2]["id"]]})
            assert (again.status_code, again.json()["code"]) == (409, "illegal-move")
            limited = await client.post("/queues/q/redrive", json={"limit": 1})
            assert limited.json()["redriven"] == 1
            assert (await client.post("/queues/q/redrive")).json()["redriven"] == 1
            assert (await client.post("/queues/q/purge")).json()["purged"] == 3

    asyncio.run(main())


def test_about(visit: Visit) -> None:
    async def main() -> None:
        async with visit() as client:
            front = (await client.get("/")).json()
            assert front["name"] == "supersoniq"
            assert front["version"] == supersoniq.__version__
            for link in front["links"].values():
                if "{" not in link:
                    answer = await client.get(link)
                    status = 426 if link == "/ws" else 200
                    assert (
                        answer.status_code == status or answer.headers["allow"] == "OPTIONS, POST"
                    )
            head = await client.head("/queues")
            assert (head.status_code, head.content) == (200, b"")
            assert int(head.headers["content-length"]) == len((await client.get("/queues")).content)
            options = await client.request("OPTIONS", "/queues/q")
            assert options.status_code == 204
            assert options.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PUT"

    asyncio.run(main())


def test_health(url: str) -> None:
    async def main() -> None:
        broker = supersoniq.connect(url)
        app = create_app(broker)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:

            async def ready() -> int:
                assert (await client.get("/health/live")).status_code == 200
                return (await client.get("/health/ready")).status_code

            assert await ready() == 503
            closed = await client.post("/messages", json={"content": 1})
            assert (closed.status_code, closed.json()["code"]) == (503, "closed")
            assert closed.json()["retry"] is True
            async with broker:
                assert await ready() == 200
                app.drain()
                assert await ready() == 503
                poll = await client.post("/queues/q/leases", json={"wait": 30})
                assert poll.json() == []
            assert await ready() == 503

    asyncio.run(main())
