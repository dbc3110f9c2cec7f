"""Work done over HTTP/3: the queue's own app, and a client that nobody here wrote."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

import supersoniq
from supersoniq.adapters import create_app
from supersoniq.servers.h3 import H3Server, udp_socket
from tests import steady
from tests.servers.h3_client import Client, request_head, serving, until, visiting

JSON = [(b"content-type", b"application/json")]


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/store.db"


@asynccontextmanager
async def queues(
    url: str, tmp_path: Path, **options: Any
) -> AsyncIterator[tuple[supersoniq.Broker, H3Server]]:
    async with (
        supersoniq.connect(url) as broker,
        serving(create_app(broker, **options), tmp_path) as server,
    ):
        yield broker, server


async def post(client: Client, path: str, value: Any) -> Any:
    answer = await client.request("POST", path, json.dumps(value).encode(), JSON)
    assert answer.status in (200, 201), answer.content
    return json.loads(answer.content)


def test_publish_lease_and_settle(url: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with queues(url, tmp_path) as (broker, server):
            seen: list[int] = []

            async def feed() -> None:
                async with visiting(server) as client:
                    for n in range(0, 200, 50):
                        batch = [{"content": n + k} for k in range(50)]
                        await post(client, "/queues/q/messages", batch)
                    for n in range(200, 220):
                        await post(client, "/queues/q/messages", {"content": n})

            async def work() -> None:
                async with visiting(server) as client:
                    while len(seen) < 220:
                        got = await post(client, "/queues/q/leases", {"limit": 9, "wait": 0.3})
                        seen.extend(each["content"] for each in got)
                        acks = [{"receipt": e["receipt"], "outcome": "ack"} for e in got]
                        verdicts = await post(client, "/queues/q/settlements", acks)
                        assert all(verdict["ok"] for verdict in verdicts)

            await asyncio.gather(feed(), work(), work())
            assert sorted(seen) == list(range(220))
            assert (await broker.queue("q").stats()).acked == 220

    steady.run(main())


def test_events_as_they_happen(url: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with queues(url, tmp_path) as (broker, server), visiting(server) as client:
            before = len(asyncio.all_tasks())
            fields = [(b"accept", b"text/event-stream")]
            head = request_head("GET", "/queues/default/events") + fields
            streams = [client.open(head, end=True) for _ in range(5)]
            for stream_id in streams:
                await client.answer(stream_id).until(b"event: start")
            for n in range(20):
                await broker.queue().publish(f"message {n}")
            for stream_id in streams:
                answer = await client.answer(stream_id).until(b"event: published")
                await until(lambda answer=answer: answer.content.count(b"event: published") == 20)  # type: ignore[misc]
                client.stop(stream_id)
            await until(lambda: len(asyncio.all_tasks()) <= before)
            assert not broker.engine._farewells  # nobody watches any more

    steady.run(main())


def test_a_long_poll_and_a_refusal(url: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            queues(url, tmp_path, max_body=1000) as (broker, server),
            visiting(server) as client,
        ):
            poll = asyncio.ensure_future(post(client, "/queues/default/leases", {"wait": 20}))
            for _ in range(3):  # bodies that are refused before, or while, they come
                assert (await client.request("POST", "/messages", b"x" * 500_000)).status == 413
            await broker.queue().publish("woken")
            (leased,) = await asyncio.wait_for(poll, 15)
            assert leased["content"] == "woken"
            problem = await client.request("GET", "/nowhere")
            assert problem.status == 404
            assert problem.fields[b"content-type"] == b"application/problem+json"

    steady.run(main())


def test_watchers_are_sent_home_when_the_server_stops(tmp_path: Path) -> None:
    async def main() -> None:
        async with supersoniq.connect("memory://") as broker:
            app = create_app(broker)
            async with serving(app, tmp_path) as server, visiting(server) as client:
                events = client.open(request_head("GET", "/queues/default/events"), end=True)
                await client.answer(events).until(b"event: start")
                poll = asyncio.ensure_future(post(client, "/queues/default/leases", {"wait": 60}))
                # What came before this on the same connection is there when this is answered.
                await asyncio.sleep(0)
                assert (await client.request("GET", "/health/live")).status == 200
                app.drain()
                await asyncio.wait_for(server.stop(600), 30)
                assert await poll == []
                assert (await client.answer(events).wait()).reset is None

    steady.run(main())


def test_niquests_which_has_a_stack_of_its_own(url: str, tmp_path: Path) -> None:
    """A client, and below it a QUIC, that share no line with the server's."""
    niquests = pytest.importorskip("niquests")
    pytest.importorskip("qh3")
    authority = trustme.CA()
    pair = authority.issue_cert("localhost")
    certfile, keyfile, cafile = (tmp_path / name for name in ("cert.pem", "key.pem", "ca.pem"))
    certfile.write_bytes(b"".join(blob.bytes() for blob in pair.cert_chain_pems))
    pair.private_key_pem.write_to_path(str(keyfile))
    authority.cert_pem.write_to_path(str(cafile))

    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            server = H3Server(create_app(broker), certfile, keyfile)
            await server.start(udp_socket("127.0.0.1", 0, socket.AF_INET))
            base = f"https://localhost:{server.port}"
            async with niquests.AsyncSession(disable_http1=True, disable_http2=True) as session:
                session.trust_env = False
                session.verify = str(cafile)
                session.quic_cache_layer.add_domain("localhost", server.port)
                answer = await session.get(f"{base}/")
                assert answer.status_code == 200
                assert answer.http_version == 30
                head = await session.head(f"{base}/")
                assert head.headers["content-length"] == answer.headers["content-length"]
                batch = [{"content": {"n": n}, "priority": n % 3} for n in range(500)]
                answer = await session.post(f"{base}/queues/q/messages", json=batch)
                assert answer.status_code == 201
                done = 0
                while done < 500:
                    asked = {"limit": 100, "wait": 1}
                    got = (await session.post(f"{base}/queues/q/leases", json=asked)).json()
                    acks = [{"receipt": each["receipt"], "outcome": "ack"} for each in got]
                    await session.post(f"{base}/queues/q/settlements", json=acks)
                    done += len(got)
                large = await session.post(f"{base}/messages", data=b"x" * 3_000_000)
                assert large.status_code == 413
                content = bytes(range(256)) * 4000
                answer = await session.post(
                    f"{base}/messages", data=content, headers={"content-type": "x/y"}
                )
                assert answer.status_code == 201
                assert (await session.get(f"{base}/health/ready")).status_code == 200
            assert (await broker.queue("q").stats()).acked == 500
            await server.stop(1)

    steady.run(main())
