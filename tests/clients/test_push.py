"""Server push: a thousand messages to everyone who holds the events, each as itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from tests.clients.served import PATIENCE, Served, needs
from tests.clients.watching import Seen, Wish, h2, nghttp, node

N = 1000
LINES = {"accept": "application/x-ndjson"}
Watch = Callable[[Served, Wish, Seen], Awaitable[None]]


@pytest.fixture(
    params=[
        pytest.param(nghttp, marks=needs("nghttp")),
        pytest.param(node, marks=needs("node")),
        h2,
    ],
    ids=lambda watch: watch.__name__,
)
def watch(request: pytest.FixtureRequest) -> Watch:
    found: Watch = request.param
    return found


@asynccontextmanager
async def watching(
    watch: Watch, server: Served, wish: Wish
) -> AsyncIterator[tuple[Seen, list[str]]]:
    """Publish a thousand. Gives what the client sees, while the stream is held, and the ids."""
    seen = Seen()
    held = asyncio.ensure_future(watch(server, wish, seen))
    async with httpx.AsyncClient(
        base_url=server.url, verify=server.trust(), timeout=PATIENCE
    ) as publisher:
        try:
            await seen.until(lambda: bool(seen.events))
            assert [event["kind"] for event in seen.events] == ["start"]
            ids: list[str] = []
            for start in range(0, N, 100):
                messages = [{"content": {"n": n}} for n in range(start, start + 100)]
                answer = await publisher.post(f"/queues/{wish.queue}/messages", json=messages)
                ids += [published["id"] for published in answer.json()]
            await seen.until(lambda: seen.messages >= N)
            assert not held.done()
            yield seen, ids
            # A stream ends with its queue.
            assert (await publisher.delete(f"/queues/{wish.queue}")).status_code == 204
            await held
            assert seen.events[-1]["problem"]["code"] == "queue-not-found"
            assert seen.messages == N
        finally:
            held.cancel()
            await asyncio.wait([held])


def in_stream(seen: Seen) -> list[int]:
    """The numbers of the messages that are in the stream."""
    published = [event for event in seen.events if event["kind"] == "published"]
    return [event["message"]["content"]["n"] for event in published]


def in_pushes(server: Served, queue: str, seen: Seen, ids: list[str]) -> list[int]:
    """The numbers of those that were pushed, each of which must be what was promised."""
    numbers = []
    for answer in seen.pushed.values():
        assert answer.over
        assert answer.status == 200
        assert answer.request[":method"] == "GET"
        body = httpx.Response(200, text=answer.body).json()
        number = body["content"]["n"]
        assert answer.request[":path"] == f"/queues/{queue}/messages/{ids[number]}"
        assert body["id"] == ids[number]
        numbers.append(number)
        if number % 100 == 0:  # it is what anybody would get there
            assert server.http.get(answer.request[":path"]).json() == body
    return numbers


def test_a_thousand_are_pushed_on_one_held_stream(watch: Watch, server: Served) -> None:
    async def main() -> None:
        wish = Wish(server.new_queue())
        async with watching(watch, server, wish) as (seen, ids):
            assert sorted(in_pushes(server, wish.queue, seen, ids)) == list(range(N))
            assert in_stream(seen) == []
            offsets = [int(answer.request["last-event-id"]) for answer in seen.pushed.values()]
            assert offsets == sorted(set(offsets))

    asyncio.run(main())


def test_without_push_the_same_are_in_the_stream(watch: Watch, server: Served) -> None:
    async def main() -> None:
        wish = Wish(server.new_queue(), push=False, fields=LINES)
        async with watching(watch, server, wish) as (seen, _):
            assert in_stream(seen) == list(range(N))
            assert not seen.pushed

    asyncio.run(main())


def test_with_room_for_10_there_is_never_an_11th(watch: Watch, server: Served) -> None:
    async def main() -> None:
        wish = Wish(server.new_queue(), room=10, fields=LINES)
        async with watching(watch, server, wish) as (seen, ids):
            pushed = in_pushes(server, wish.queue, seen, ids)
            assert 1 <= seen.most <= 10
            assert sorted(pushed + in_stream(seen)) == list(range(N))

    asyncio.run(main())


@pytest.mark.parametrize("push", [True, False], ids=["pushed", "in-the-stream"])
def test_wait_0_gives_all_that_is_undelivered_and_ends(
    watch: Watch, server: Served, push: bool
) -> None:
    async def main() -> None:
        queue = server.new_queue()
        ids = server.publish(queue, *({"n": n} for n in range(N)))
        first = server.http.post(f"/queues/{queue}/leases", json={"limit": 10}).json()
        acks = [{"receipt": each["receipt"], "outcome": "ack"} for each in first[:5]]
        server.http.post(f"/queues/{queue}/settlements", json=acks)
        seen = Seen()
        fields = {**LINES, "prefer": "wait=0"}
        await watch(server, Wish(queue, push, fields=fields), seen)
        assert seen.events[0]["kind"] == "start"
        pushed, told = in_pushes(server, queue, seen, ids), in_stream(seen)
        assert sorted(pushed + told) == list(range(10, N))
        assert not (told if push else pushed)

    asyncio.run(main())
