"""Event streams: server-sent events and JSON lines, resumed and ended."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx

import supersoniq
from supersoniq.adapters import create_app
from supersoniq.core.log import CAPACITY

Serving = Callable[..., AbstractAsyncContextManager[str]]
Frame = dict[str, str]


class Stream:
    """Frames of a stream, as they come."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.aiter_lines()

    async def line(self) -> str:
        return await asyncio.wait_for(anext(self._lines), 20)

    async def frame(self) -> Frame:
        """The next server-sent event that is more than a comment."""
        frame: Frame = {}
        while True:
            line = await self.line()
            if line.startswith(":"):
                continue
            if not line:
                if "data" in frame:
                    return frame
                continue
            name, _, value = line.partition(": ")
            frame[name] = value

    async def ends(self) -> bool:
        async for _ in self._lines:
            pass
        return True


@asynccontextmanager
async def listening(
    client: httpx.AsyncClient, path: str, accept: str = "text/event-stream", **headers: str
) -> AsyncIterator[Stream]:
    head = {"accept": accept, **{name.replace("_", "-"): headers[name] for name in headers}}
    async with client.stream("GET", path, headers=head) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == accept
        yield Stream(answer)


def test_server_sent_events(url: str, serving: Serving) -> None:
    async def main() -> None:
        async with (
            supersoniq.connect(url) as broker,
            serving(create_app(broker)) as address,
            httpx.AsyncClient(base_url=address, timeout=20) as client,
        ):
            await client.put("/queues/q")
            path = "/queues/q/events?kinds=published,leased&content=base64"
            async with listening(client, path) as one, listening(client, "/queues/q/events") as two:
                start = await one.frame()
                assert start["event"] == "start"
                assert start["retry"] == "1000"
                assert json.loads(start["data"]) == {"offset": int(start["id"]), "kind": "start"}
                assert (await two.frame())["event"] == "start"
                await client.post("/queues/q/messages", json={"content": "a\nb"})
                await client.post("/queues/q/leases")
                published = await one.frame()
                assert published["event"] == "published"
                event = json.loads(published["data"])
                assert event["offset"] == int(published["id"]) > int(start["id"])
                assert event["message"]["content_base64"] == "YQpi"
                assert event["message"]["status"] == "ready"
                assert (await one.frame())["event"] == "leased"
                other = json.loads((await two.frame())["data"])
                assert other["message"]["content"] == "a\nb"

    asyncio.run(main())


def test_json_lines_and_signs_of_life(url: str, serving: Serving) -> None:
    async def main() -> None:
        async with (
            supersoniq.connect(url) as broker,
            serving(create_app(broker, keep_alive=0.05)) as address,
            httpx.AsyncClient(base_url=address, timeout=20) as client,
        ):
            path = "/queues/default/events"
            async with listening(client, path, "application/x-ndjson") as stream:
                start = json.loads(await stream.line())
                assert start["kind"] == "start"
                alive = json.loads(await stream.line())
                assert alive == {"offset": start["offset"], "kind": "alive"}
                pretty = b'{\r\n  "a": 1\n}'
                body = {
                    "content_type": "application/json",
                    "content_base64": base64.b64encode(pretty).decode(),
                }
                await client.post("/messages", json=body)
                event: dict[str, Any] = alive
                while event["kind"] == "alive":
                    event = json.loads(await stream.line())
                assert event["kind"] == "published"
                assert event["message"]["content"] == {"a": 1}
            async with listening(client, path) as stream:
                assert (await stream.frame())["event"] == "start"
                while not (await stream.line()).startswith(": "):
                    pass

    asyncio.run(main())


def test_resuming(url: str, serving: Serving) -> None:
    async def main() -> None:
        async with (
            supersoniq.connect(url) as broker,
            serving(create_app(broker)) as address,
            httpx.AsyncClient(base_url=address, timeout=20) as client,
        ):
            path = "/queues/default/events"
            async with listening(client, path) as stream:
                last = (await stream.frame())["id"]
                await client.post("/messages", json={"content": 1})
                first = (await stream.frame())["id"]
            await client.post("/messages", json=[{"content": 2}, {"content": 3}])
            for since, contents in ((last, [1, 2, 3]), (first, [2, 3])):
                # A browser repeats its old query; where it is comes from the header.
                async with listening(client, f"{path}?since=0", last_event_id=since) as stream:
                    assert (await stream.frame())["id"] == since
                    for content in contents:
                        event = json.loads((await stream.frame())["data"])
                        assert event["message"]["content"] == content
            async with listening(client, f"{path}?since={first}") as stream:
                assert (await stream.frame())["id"] == first
                assert json.loads((await stream.frame())["data"])["message"]["content"] == 2
            for bad in ("x", "-1", "1" * 20, "٣"):
                head = {"last-event-id": bad.encode()}
                answer = await client.get(path, headers=head)  # type: ignore[arg-type]  # raw bytes
                assert answer.status_code == 400
                assert answer.json()["data"]["field"] == "Last-Event-ID"

    asyncio.run(main())


def test_resuming_too_late_is_told_by_a_gap(url: str, serving: Serving) -> None:
    async def main() -> None:
        async with (
            supersoniq.connect(url) as broker,
            serving(create_app(broker)) as address,
            httpx.AsyncClient(base_url=address, timeout=20) as client,
        ):
            path = "/queues/default/events"
            async with listening(client, path) as stream:
                start = (await stream.frame())["id"]
            await broker.queue().publish_many(["x"] * 10_000)
            await broker.queue().publish_many(["x"] * (CAPACITY - 10_000 + 1))
            async with listening(client, path, last_event_id=start) as stream:
                first, gap = await stream.frame(), await stream.frame()
                assert (first["event"], gap["event"]) == ("start", "gap")
                # Where it really starts; and who is cut off between these two comes back as before.
                assert json.loads(first["data"])["offset"] == int(gap["id"])
                assert first["id"] == start
                assert json.loads(gap["data"])["message"] is None
                assert (await stream.frame())["event"] == "published"

    asyncio.run(main())


def test_a_deleted_queue_and_a_closed_broker_end_the_stream(url: str, serving: Serving) -> None:
    async def main() -> None:
        broker = await supersoniq.connect(url).open()
        async with (
            serving(create_app(broker)) as address,
            httpx.AsyncClient(base_url=address, timeout=20) as client,
        ):
            await client.put("/queues/q")
            async with listening(client, "/queues/q/events") as stream:
                await stream.frame()
                await client.post("/queues/q/messages", json={"content": 1})
                assert (await stream.frame())["event"] == "published"
            async with listening(client, "/queues/default/events") as stream:
                await stream.frame()
                await broker.close()
                assert await asyncio.wait_for(stream.ends(), 20)
            answer = await client.get("/queues/default/events")
            assert (answer.status_code, answer.json()["code"]) == (503, "closed")

    asyncio.run(main())


def test_a_queue_deleted_under_its_watcher(url: str, serving: Serving) -> None:
    async def main() -> None:
        async with (
            supersoniq.connect(url) as broker,
            serving(create_app(broker, keep_alive=0.1)) as address,
            httpx.AsyncClient(base_url=address, timeout=20) as client,
        ):
            await client.put("/queues/q")
            async with listening(client, "/queues/q/events") as stream:
                await stream.frame()
                await client.delete("/queues/q")
                frame = await stream.frame()
                assert frame["event"] == "error"
                problem = json.loads(frame["data"])["problem"]
                assert problem["code"] == "queue-not-found"
                assert await stream.ends()

    asyncio.run(main())


def test_head_does_not_stream(url: str, serving: Serving) -> None:
    async def main() -> None:
        async with (
            supersoniq.connect(url) as broker,
            serving(create_app(broker)) as address,
            httpx.AsyncClient(base_url=address, timeout=20) as client,
        ):
            answer = await client.head("/queues/default/events")
            assert answer.headers["content-type"] == "text/event-stream"

    asyncio.run(main())
