"""Messages pushed to those who watch a queue over HTTP/2: the app, the server and a client."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from h2.settings import SettingCodes

import supersoniq
from supersoniq import Queue
from supersoniq.adapters import create_app
from supersoniq.adapters.http.native import Server
from tests.servers.http2 import Answer, Running, client, run, until

LINES = [(b"accept", b"application/x-ndjson")]


@asynccontextmanager
async def served(**options: Any) -> AsyncIterator[tuple[Running, Queue]]:
    async with supersoniq.connect("memory://") as broker:
        queue = broker.queue("news")
        await queue.publish("old")
        listener = socket.create_server(("127.0.0.1", 0))
        server = Server(create_app(broker, **options))
        started = asyncio.Event()
        server.on_started = started.set
        task = asyncio.ensure_future(server.serve([listener]))
        await started.wait()
        try:
            yield Running(server, listener.getsockname()[1], False), queue
        finally:
            server.stop()
            await asyncio.wait_for(task, 15)


def lines(answer: Answer) -> list[dict[str, Any]]:
    return [json.loads(line) for line in bytes(answer.body).splitlines()]


def test_what_a_client_refuses_is_in_the_stream() -> None:
    async def main() -> None:
        async with served() as (server, queue), client(server) as one:
            one.refuse = frozenset((0, 29))
            number = one.request("/queues/news/events", fields=LINES)
            await until(lambda: one.answers[number].body)
            await queue.publish_many({"n": n} for n in range(40))

            def all_there() -> bool:
                done = sum(answer.reset is None and answer.done.is_set() for answer in one.pushed)
                return done + len(lines(one.answers[number])) == 41

            await until(all_there)
            seen = [json.loads(bytes(each.body)) for each in one.pushed if each.reset is None]
            told = lines(one.answers[number])[1:]
            seen += [line["message"] for line in told]
            assert sorted(each["content"]["n"] for each in seen) == list(range(40))
            assert {line["message"]["content"]["n"] for line in told} >= {0, 29}
            assert all(line["offset"] for line in told)
            assert not one.answers[number].done.is_set()

    run(main)


def test_a_pushed_answer_says_to_where_its_message_was_published() -> None:
    """One that a client asks for does not."""

    async def main() -> None:
        async with served() as (server, queue), client(server) as one:
            held = one.request("/queues/news/events", fields=LINES)
            await until(lambda: one.answers[held].body)
            number = (await queue.publish("new")).id
            await until(lambda: any(each.done.is_set() for each in one.pushed))
            (pushed,) = one.pushed
            link = b'</queues/news/messages>; rel="urn:ietf:params:push"'
            assert (pushed.status, pushed.fields[b"link"]) == (200, link)
            assert b"link" not in (await one.get(f"/queues/news/messages/{number}")).fields

    run(main)


def test_what_is_gone_before_it_can_be_pushed_is_in_the_stream() -> None:
    """A worker is faster than the promised request, whose answer is a 404 then."""

    async def main() -> None:
        async with served() as (server, queue), client(server) as one:
            number = one.request("/queues/news/events", fields=LINES)
            await until(lambda: one.answers[number].body)
            await queue.purge()
            for n in range(100):
                await queue.publish({"n": n})
                if n % 2:
                    await queue.ack_many(await queue.get_many(10, wait=0))
            seen: list[int] = []

            def all_there() -> bool:
                got = [each for each in one.pushed if each.done.is_set() and each.status == 200]
                told = lines(one.answers[number])[1:]
                seen[:] = [json.loads(bytes(each.body))["content"]["n"] for each in got]
                seen.extend(each["message"]["content"]["n"] for each in told if "message" in each)
                return len(seen) >= 100

            await until(all_there)
            assert sorted(seen) == list(range(100))
            assert any(each.status == 404 for each in one.pushed)

    run(main)


def test_wait_0_ends_after_what_was_refused() -> None:
    async def main() -> None:
        async with served() as (server, queue), client(server) as one:
            one.refuse = frozenset((2,))
            await queue.publish_many(str(n) for n in range(8))
            asked = [*LINES, (b"prefer", b"respond-async, wait=0")]
            answer = await one.get("/queues/news/events", fields=asked)
            assert answer.fields[b"preference-applied"] == b"wait=0"
            told = [line["message"]["content"] for line in lines(answer)[1:]]
            pushed = [json.loads(bytes(each.body)) for each in one.pushed if each.reset is None]
            assert "1" in told
            assert sorted(told + [each["content"] for each in pushed]) == [*"01234567", "old"]

    run(main)


def test_wait_0_after_an_event_gives_what_came_since() -> None:
    async def main() -> None:
        async with (
            served() as (server, queue),
            client(server, {int(SettingCodes.ENABLE_PUSH): 0}) as one,
        ):
            held = one.request("/queues/news/events", fields=LINES)
            await until(lambda: one.answers[held].body)
            start = lines(one.answers[held])[0]["offset"]
            await queue.publish("a")
            await queue.publish("b")
            asked = [*LINES, (b"prefer", b"wait=0"), (b"last-event-id", b"%d" % start)]
            answer = await one.get("/queues/news/events", fields=asked)
            assert [line.get("message", {}).get("content") for line in lines(answer)[1:]] == [
                "a",
                "b",
            ]

    run(main)


def test_wait_0_works_over_http_1_1() -> None:
    async def main() -> None:
        async with served() as (server, _), httpx.AsyncClient() as one:
            address = f"http://127.0.0.1:{server.port}/queues/news/events"
            answer = await one.get(address, headers={"prefer": "wait=0"})
            assert "old" in answer.text
            assert answer.text.count("event: published") == 1

    run(main)
