"""httpx, niquests and aiohttp, over every version of HTTP that each of them speaks."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from tests.clients.python import Client, Open, over_aiohttp, over_httpx, over_niquests
from tests.clients.served import Served

NDJSON = "application/x-ndjson"
WAYS: list[tuple[Open, str, str]] = [
    (over_httpx, "1.1", "clear"),
    (over_httpx, "2", "clear"),
    (over_httpx, "1.1", "tls"),
    (over_httpx, "2", "tls"),
    (over_niquests, "1.1", "clear"),
    (over_niquests, "2", "clear"),
    (over_niquests, "1.1", "tls"),
    (over_niquests, "2", "tls"),
    (over_niquests, "3", "tls"),
    (over_aiohttp, "1.1", "clear"),
    (over_aiohttp, "1.1", "tls"),
]
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
Work = Callable[[Client, Served, str], Awaitable[None]]
Do = Callable[[Work], None]


@pytest.fixture(params=WAYS, ids=lambda way: f"{way[0].__name__[5:]}-{way[1]}-{way[2]}")
def do(request: pytest.FixtureRequest) -> Do:
    """Does a piece of work with a client, a server and the version of HTTP between them."""
    over, version, where = request.param
    server: Served = request.getfixturevalue(where)

    def do(work: Work) -> None:
        async def main() -> None:
            async with asyncio.timeout(60), over(server, version) as client:
                await work(client, server, version)

        asyncio.run(main())
        gc.collect()  # what a client forgot to close is told of here, and not in another test

    return do


async def ask(client: Client, method: str, path: str, body: Any = None, **fields: str) -> Any:
    """Ask for what is there or can be done."""
    answer = await client.ask(method, path, body, **fields)
    assert answer.status in (200, 201), answer
    return answer.json


def test_publish_lease_and_settle(do: Do) -> None:
    async def work(client: Client, server: Served, version: str) -> None:
        queue = server.new_queue()
        at = f"/queues/{queue}"

        async def pieces() -> AsyncIterator[bytes]:
            for n in range(20):
                line = json.dumps({"content": n, "priority": 1}).encode()
                yield line[:7]
                await asyncio.sleep(0)
                yield line[7:] + b"\n"

        made = await client.ask("POST", f"{at}/messages", {"content": "one", "priority": 9})
        assert (made.status, made.version) == (201, version)
        where = made.fields["location"]
        assert (await ask(client, "GET", where))["id"] == made.json["id"]
        batch = [{"content": "x" * 5000, "key": f"k{n}"} for n in range(50)]
        assert len(await ask(client, "POST", f"{at}/messages", batch)) == 50
        again = await ask(client, "POST", f"{at}/messages", batch[0])
        assert again["duplicate"]
        told = await ask(client, "POST", f"{at}/messages", pieces(), content_type=NDJSON)
        assert told["lines"] == 20
        image = {"content_type": "image/png"}
        await ask(client, "POST", f"{at}/messages?priority=8", b"\x00\xff", **image)

        contents: list[Any] = []
        while len(contents) < 72:
            leased = await ask(client, "POST", f"{at}/leases", {"limit": 30, "wait": 5})
            contents += [each.get("content", each.get("content_base64")) for each in leased]
            acks = [{"receipt": each["receipt"], "outcome": "ack"} for each in leased]
            verdicts = await ask(client, "POST", f"{at}/settlements", acks)
            assert verdicts == [{"ok": True}] * len(leased)
        assert contents == ["one", "AP8=", *range(20), *["x" * 5000] * 50]
        server.all_done(queue, 72)

    do(work)


def test_every_outcome(do: Do) -> None:
    async def work(client: Client, server: Served, version: str) -> None:
        queue = server.new_queue()
        at = f"/queues/{queue}"
        server.publish(queue, *range(5))
        leased = await ask(client, "POST", f"{at}/leases", {"limit": 5})
        outcomes = ["ack", "nack", "release", "reject", "extend"]
        settlements = [
            {"receipt": each["receipt"], "outcome": outcome}
            for each, outcome in zip(leased, outcomes, strict=True)
        ]
        verdicts = await ask(client, "POST", f"{at}/settlements", settlements)
        assert [verdict["ok"] for verdict in verdicts] == [True] * 5
        assert verdicts[4]["deadline"] >= leased[4]["deadline"]
        stats = server.stats(queue)
        status = {name: stats[name] for name in ("acked", "scheduled", "ready", "dead", "leased")}
        assert status == {"acked": 1, "scheduled": 1, "ready": 1, "dead": 1, "leased": 1}

    do(work)


def test_errors_say_what_is_wrong_and_the_next_request_is_answered(do: Do) -> None:
    async def work(client: Client, server: Served, version: str) -> None:
        queue = server.new_queue()
        at = f"/queues/{queue}"

        async def large() -> AsyncIterator[bytes]:
            for _ in range(80):
                yield b"x" * 100_000

        asked: list[tuple[str, str, Any, dict[str, str], int, str]] = [
            ("GET", "/queues/there-is-none", None, {}, 404, "queue-not-found"),
            (
                "POST",
                f"{at}/messages",
                {"content": 1, "priority": "x"},
                {},
                400,
                "invalid-argument",
            ),
            ("POST", f"{at}/messages", b"{", {"content_type": "application/json"}, 400, ""),
            ("POST", f"{at}/messages", large(), {"content_type": "text/plain"}, 413, ""),
            ("PATCH", at, None, {}, 405, ""),
            ("POST", f"{at}/settlements", {"receipt": "x"}, {}, 400, "invalid-argument"),
            ("GET", f"{at}/events", None, {"accept": "image/png"}, 406, ""),
        ]
        for method, path, body, fields, status, code in asked:
            answer = await client.ask(method, path, body, **fields)
            assert answer.status == status, answer
            assert answer.fields["content-type"] == "application/problem+json"
            assert answer.json["status"] == status
            assert not code or answer.json["code"] == code
            assert "retry" in answer.json
            assert (await ask(client, "GET", "/health/ready")) is not None
        assert server.stats(queue)["published"] == 0

    do(work)


@pytest.mark.parametrize("accept", ["text/event-stream", NDJSON], ids=["sse", "ndjson"])
def test_events_come_while_the_stream_is_held(do: Do, accept: str) -> None:
    async def work(client: Client, server: Served, version: str) -> None:
        queue = server.new_queue()

        async def next_event(lines: AsyncIterator[str]) -> Any:
            async for line in lines:
                if (line := line.removeprefix("data: ")).startswith("{"):
                    return json.loads(line)
            raise AssertionError("the stream is over")

        at = f"/queues/{queue}/events"
        async with client.lines(at, accept=accept) as lines:
            assert (await next_event(lines))["kind"] == "start"
            for n in range(3):  # each comes before the next is there
                server.publish(queue, f"é {n}" * 3000)
                event = await next_event(lines)
                assert event["message"]["content"] == f"é {n}" * 3000
        server.publish(queue, "while nobody held it")
        resumed = {"accept": accept, "last_event_id": str(event["offset"])}
        async with client.lines(at, **resumed) as lines:
            assert (await next_event(lines))["kind"] == "start"
            event = await next_event(lines)
            assert event["message"]["content"] == "while nobody held it"

    do(work)


def test_a_long_poll_is_woken(do: Do) -> None:
    async def work(client: Client, server: Served, version: str) -> None:
        queue = server.new_queue()
        asked = {"limit": 5, "wait": 50}  # longer than the test may take
        poll = asyncio.ensure_future(ask(client, "POST", f"/queues/{queue}/leases", asked))
        await asyncio.sleep(0.1)
        await asyncio.to_thread(server.publish, queue, "wake up")
        (leased,) = await poll
        assert leased["content"] == "wake up"

    do(work)
