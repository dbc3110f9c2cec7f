"""On a real server: slow and rude clients, and a shutdown that does not wait for those who wait."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import httpx
import pytest

import supersoniq
from supersoniq.adapters import create_app
from supersoniq.adapters.http.household import SWITCH
from supersoniq.adapters.http.serve import serve
from tests import steady
from tests.servers.program import said

Serving = Callable[..., AbstractAsyncContextManager[str]]


async def talk(address: str, *pieces: bytes) -> bytes:
    """Send bytes, and read until the other side closes."""
    host, port = address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    return answer


def head(path: str, *fields: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "host: test", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def test_a_body_that_does_not_come(url: str, serving: Serving) -> None:
    async def main() -> None:
        async with (
            supersoniq.connect(url) as broker,
            serving(create_app(broker, body_timeout=0.2)) as address,
        ):
            kinds = ("application/json", "application/x-ndjson", "text/plain")
            begun = time.monotonic()
            answers = await asyncio.gather(
                *(
                    talk(address, head("/messages", f"content-type: {kind}", "content-length: 9"))
                    for kind in kinds
                )
            )
            assert time.monotonic() - begun < 9  # and not 30
            for answer in answers:
                assert answer.startswith(b"HTTP/1.1 408 ")
                assert b"connection: close" in answer
                assert b'"code":"request-timeout"' in answer
            assert (await broker.queue().stats()).published == 0

    asyncio.run(main())


def test_lines_may_come_slowly_but_each_in_time(url: str, serving: Serving) -> None:
    async def main() -> None:
        async with (
            supersoniq.connect(url) as broker,
            serving(create_app(broker, body_timeout=0.4, line_batch=2)) as address,
            httpx.AsyncClient(base_url=address, timeout=20) as client,
        ):

            async def lines() -> AsyncIterator[bytes]:
                for n in range(5):
                    yield b'{"content": '
                    await asyncio.sleep(0.1)
                    yield b"%d}\n" % n

            kind = "application/x-ndjson"
            answer = await client.post("/messages", content=lines(), headers={"content-type": kind})
            assert (answer.status_code, answer.json()["lines"]) == (201, 5)
            # What was whole stays, what hangs in the air does not.
            half = b'{"content": 1}\n' * 3 + b'{"content'
            fields = head("/messages", f"content-type: {kind}", "content-length: 999")
            late = await talk(address, fields, half)
            assert late.startswith(b"HTTP/1.1 408 ")
            assert b'"published":{"lines":3' in late
            assert (await broker.queue().stats()).published == 8

    steady.run(main())


def test_a_large_body_is_refused_before_it_is_sent(url: str, serving: Serving) -> None:
    async def main() -> None:
        async with (
            supersoniq.connect(url) as broker,
            serving(create_app(broker, max_body=1000)) as address,
            httpx.AsyncClient(base_url=address, timeout=20) as client,
        ):
            host, port = address.removeprefix("http://").split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(head("/messages", "content-length: 1001", "expect: 100-continue"))
            line = await asyncio.wait_for(reader.readline(), 20)
            assert line.startswith(b"HTTP/1.1 413 ")
            writer.close()
            # A client that sends it all the same gets its answer, and can go on.
            for _ in range(2):
                answer = await client.post("/messages", content=b"x" * 3_000_000)
                assert answer.status_code == 413
            assert (await client.post("/messages", content=b"x")).status_code == 201

    asyncio.run(main())


def test_half_a_request_changes_nothing(url: str, serving: Serving) -> None:
    async def main() -> None:
        async with (
            supersoniq.connect(url) as broker,
            serving(create_app(broker)) as address,
        ):
            host, port = address.removeprefix("http://").split(":")
            for kind in ("application/json", "application/x-ndjson", "text/plain"):
                client = socket.create_connection((host, int(port)))
                fields = (f"content-type: {kind}", "content-length: 99")
                client.sendall(head("/messages", *fields) + b'{"content": 1}\n')
                await asyncio.sleep(0.03)
                client.close()
            await asyncio.sleep(0.05)
            assert (await broker.queue().stats()).published == 0

    asyncio.run(main())


def test_watchers_that_leave_leave_nothing_behind(url: str, serving: Serving) -> None:
    async def main() -> None:
        async with (
            supersoniq.connect(url) as broker,
            serving(create_app(broker)) as address,
        ):
            host, port = address.removeprefix("http://").split(":")
            await asyncio.sleep(0.05)
            tasks = len(asyncio.all_tasks())
            for path in ("GET /queues/default/events", "POST /queues/default/leases"):
                clients = []
                for _ in range(20):
                    client = socket.create_connection((host, int(port)))
                    body = b'{"wait": 50}' if path.startswith("POST") else b""
                    length = f"content-length: {len(body)}\r\n"
                    client.sendall(f"{path} HTTP/1.1\r\nhost: x\r\n{length}\r\n".encode() + body)
                    clients.append(client)
                for _ in range(500):
                    await asyncio.sleep(0.01)
                    if len(asyncio.all_tasks()) >= tasks + 20:
                        break
                assert len(asyncio.all_tasks()) >= tasks + 20
                for client in clients:
                    client.close()
                for _ in range(500):
                    await asyncio.sleep(0.01)
                    if len(asyncio.all_tasks()) <= tasks:
                        break
                assert len(asyncio.all_tasks()) <= tasks
            gc.collect()
            assert not broker.engine._rooms
            assert not broker.engine._farewells

    asyncio.run(main())


def test_a_client_that_reads_nothing_is_dropped(url: str, serving: Serving) -> None:
    async def main() -> None:
        async with (
            supersoniq.connect(url) as broker,
            serving(create_app(broker, send_timeout=0.3)) as address,
        ):
            queue = broker.queue()
            await queue.publish("x")
            host, port = address.removeprefix("http://").split(":")
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect((host, int(port)))
            client.sendall(b"GET /queues/default/events HTTP/1.1\r\nhost: x\r\n\r\n")
            async with asyncio.timeout(20):
                while not broker.engine._farewells:  # noqa: ASYNC110  # nobody tells
                    await asyncio.sleep(0.01)
            for _ in range(20):
                await queue.publish(b"x" * 500_000)
            for _ in range(2000):
                await asyncio.sleep(0.01)
                if not broker.engine._farewells:
                    break
            assert not broker.engine._farewells  # it watches no more
            client.close()

    asyncio.run(main())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_ends_at_once_with_clients_waiting(url: str, number: int) -> None:
    program = (
        "import sys\n"
        "from supersoniq.adapters.http.serve import serve\n"
        "serve(sys.argv[1], port=0, grace=600, on_started=lambda url: print(url, flush=True))\n"
        "print('over')\n"
    )
    command = [sys.executable, "-W", "error", "-c", program, url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stderr is not None
        address = server.stdout.readline().decode().strip()
        assert address.startswith("http://127.0.0.1:")

        async def main() -> tuple[httpx.Response, bytes]:
            async with httpx.AsyncClient(base_url=address, timeout=90) as client:
                assert (await client.get("/health/ready")).status_code == 200
                sent = asyncio.Event()

                async def follow(step: str, _: object) -> None:
                    if step == "http11.receive_response_headers.started":
                        sent.set()

                poll = asyncio.ensure_future(
                    client.post(
                        "/queues/default/leases", json={"wait": 60}, extensions={"trace": follow}
                    )
                )
                await sent.wait()  # which is before the stream begins: it is there before that
                async with client.stream("GET", "/queues/default/events") as stream:
                    os.kill(server.pid, number)
                    rest = await stream.aread()
                    return await poll, rest

        polled, stream = asyncio.run(main())
        assert polled.json() == []
        assert b"event: start" in stream
        server.wait(30)
        assert server.returncode == 0
        assert server.stdout.read() == b"over\n"
        assert said(server.stderr.read()) == ""


def test_serve_raises_what_keeps_it_from_starting(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(OSError, match="in use"),
    ):
        serve("memory://", port=taken.getsockname()[1])
    with pytest.raises(supersoniq.UnknownBackend):
        serve("nothing://", port=0)
    with pytest.raises(supersoniq.InvalidSetting, match="max_body"):
        serve("memory://", port=0, max_body=0)
    (tmp_path / "file").write_text("this is no database, and long enough to be seen as none" * 99)
    with pytest.raises(supersoniq.BackendUnavailable):
        serve(f"sqlite:///{tmp_path}/file", port=0)


def test_what_was_accepted_is_there_after_a_restart(tmp_path: Path, serving: Serving) -> None:
    url = f"sqlite:///{tmp_path}/store.db"

    async def life(n: int) -> list[int]:
        async with (
            supersoniq.connect(url) as broker,
            serving(create_app(broker)) as address,
            httpx.AsyncClient(base_url=address, timeout=20) as client,
        ):
            answer = await client.post("/messages", json={"content": n})
            assert answer.json()["durability"] == "disk"
            page = (await client.get("/messages")).json()
            return [each["content"] for each in page]

    for n in range(3):
        assert asyncio.run(life(n)) == list(range(n + 1))


def test_concurrent_clients_share_out_every_message_once(url: str, serving: Serving) -> None:
    async def main() -> None:
        async with (
            supersoniq.connect(url) as broker,
            serving(create_app(broker)) as address,
            httpx.AsyncClient(base_url=address, timeout=20) as client,
        ):
            seen: list[int] = []

            async def work() -> None:
                while len(seen) < 200:
                    asked = {"limit": 7, "wait": 0.2}
                    leases = (await client.post("/queues/q/leases", json=asked)).json()
                    seen.extend(each["content"] for each in leases)
                    acks = [{"receipt": e["receipt"], "outcome": "ack"} for e in leases]
                    verdicts = (await client.post("/queues/q/settlements", json=acks)).json()
                    assert all(verdict["ok"] for verdict in verdicts)

            async def feed() -> None:
                for n in range(0, 200, 20):
                    batch = [json.dumps({"content": n + k}) for k in range(20)]
                    kind = {"content-type": "application/x-ndjson"}
                    body = "\n".join(batch)
                    await client.post("/queues/q/messages", content=body, headers=kind)

            await asyncio.gather(feed(), *(work() for _ in range(5)))
            assert sorted(seen) == list(range(200))
            assert (await broker.queue("q").stats()).acked == 200

    asyncio.run(main())


def test_a_store_waits_less_for_the_loop_and_nobody_for_the_collector_while_it_serves() -> None:
    class Enough(Exception):
        pass

    def look(_: object) -> None:
        told.append((sys.getswitchinterval(), gc.get_freeze_count() > 10_000))
        raise Enough

    told: list[tuple[float, bool]] = []
    before = sys.getswitchinterval()
    with pytest.raises(Enough):
        serve("memory://", port=0, on_started=look)
    ((switch, frozen),) = told
    assert switch == pytest.approx(SWITCH)
    assert frozen
    assert sys.getswitchinterval() == before
    assert gc.get_freeze_count() == 0
