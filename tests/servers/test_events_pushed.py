"""Messages pushed to those who watch a queue over HTTP/2: the app, the server and a client."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from h2.settings import SettingCodes

import supersoniq
from supersoniq import Queue
from supersoniq.adapters import create_app
from supersoniq.adapters.http.serve import Server
from tests.servers.http2 import Answer, Running, client, client_tls, run, until

N = 1000
PUSH, MOST = int(SettingCodes.ENABLE_PUSH), int(SettingCodes.MAX_CONCURRENT_STREAMS)
LINES = [(b"accept", b"application/x-ndjson")]


@asynccontextmanager
async def served() -> AsyncIterator[tuple[Running, Queue]]:
    async with supersoniq.connect("memory://") as broker:
        queue = broker.queue("news")
        await queue.publish("old")
        listener = socket.create_server(("127.0.0.1", 0))
        server = Server(create_app(broker))
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


async def watched(
    settings: dict[int, int] | None,
) -> tuple[list[Answer], list[dict[str, Any]], int]:
    """Publish to a watcher. Gives what was pushed, the lines, and the most that were open."""
    async with served() as (server, queue), client(server, settings) as one:
        number = one.request("/queues/news/events", fields=LINES)
        await until(lambda: one.answers[number].body)
        for start in range(0, N, 100):
            await queue.publish_many({"n": n} for n in range(start, start + 100))
            await asyncio.sleep(0)

        def all_there() -> bool:
            done = sum(answer.done.is_set() for answer in one.pushed)
            return done + len(one.answers[number].body.splitlines()) == N + 1

        await until(all_there, 30)
        for answer in one.pushed:
            assert (answer.status, answer.reset) == (200, None)
            assert answer.request[b":path"].startswith(b"/queues/news/messages/")
        # Over, and no more than said: the stream is still held.
        assert not one.answers[number].done.is_set()
        return one.pushed, lines(one.answers[number]), one.most_promised


def test_each_new_message_is_pushed_as_itself() -> None:
    pushed, told, _ = run(lambda: watched(None))
    bodies = [json.loads(bytes(answer.body)) for answer in pushed]
    assert sorted(body["content"]["n"] for body in bodies) == list(range(N))
    for answer, body in zip(pushed, bodies, strict=True):
        assert answer.request[b":path"].decode().endswith(body["id"])
    offsets = [int(answer.request[b"last-event-id"]) for answer in pushed]
    assert offsets == sorted(set(offsets))
    assert [line["kind"] for line in told] == ["start"]


def test_without_push_the_same_are_in_the_stream() -> None:
    pushed, told, _ = run(lambda: watched({PUSH: 0}))
    assert not pushed
    assert [line["message"]["content"]["n"] for line in told[1:]] == list(range(N))


def test_never_more_than_the_client_has_room_for() -> None:
    pushed, told, most = run(lambda: watched({MOST: 10}))
    assert 1 <= most <= 10
    seen = [json.loads(bytes(answer.body))["content"]["n"] for answer in pushed]
    seen += [line["message"]["content"]["n"] for line in told[1:]]
    assert sorted(seen) == list(range(N))


@pytest.mark.parametrize("push", [0, 1])
def test_wait_0_gives_what_is_undelivered_and_ends(push: int) -> None:
    async def main() -> None:
        async with served() as (server, queue), client(server, {PUSH: push}) as one:
            await queue.publish_many(str(n) for n in range(250))
            taken = await queue.get()
            assert taken is not None
            await taken.ack()
            answer = await one.get(
                "/queues/news/events", fields=[*LINES, (b"prefer", b"respond-async, wait=0")]
            )
            assert answer.fields[b"preference-applied"] == b"wait=0"
            await until(lambda: not one.promised_open)
            pushed = [json.loads(bytes(each.body)) for each in one.pushed]
            told = [line["message"] for line in lines(answer)[1:]]
            assert len(told) == (0 if push else 250)
            assert sorted(int(each["content"]) for each in pushed + told) == list(range(250))

    run(main)


def test_wait_0_after_an_event_gives_what_came_since() -> None:
    async def main() -> None:
        async with served() as (server, queue), client(server, {PUSH: 0}) as one:
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


SERVE = """
import sys
from supersoniq.adapters.http.serve import serve
serve("memory://", port=0, certfile=sys.argv[1], on_started=lambda url: print(url, flush=True))
"""


def test_serve_speaks_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost", "127.0.0.1")
    file = tmp_path / "both.pem"
    leaf.private_key_and_cert_chain_pem.write_to_path(str(file))
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(file)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address.startswith("https://127.0.0.1:")
        context = client_tls.__wrapped__("http/1.1")
        authority.configure_trust(context)
        assert httpx.get(f"{address}/health/ready", verify=context).status_code == 200
        context = client_tls.__wrapped__("h2", "http/1.1")
        authority.configure_trust(context)
        host, port = address.removeprefix("https://").split(":")
        with (
            socket.create_connection((host, int(port)), 5) as plain,
            context.wrap_socket(plain, server_hostname=host) as tls,
        ):
            assert tls.selected_alpn_protocol() == "h2"
    finally:
        process.terminate()
        assert process.wait(10) == 0
        assert process.stdout is not None
        process.stdout.close()
