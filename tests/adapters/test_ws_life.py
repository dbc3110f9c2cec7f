"""How connections end, and what the server has left of them."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

import supersoniq
from supersoniq.adapters import create_app
from supersoniq.core.errors import BackendUnavailable
from supersoniq.core.ops import AnyOp, Take
from supersoniq.port import Direct
from supersoniq.servers import h1_websocket
from supersoniq.servers.h1_websocket import Protocol
from tests import steady
from tests.adapters.sockets import dial, served, serving, until
from tests.servers.program import said


def test_a_stop_sends_everybody_home_and_gives_back_what_they_hold(url: str) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            queue = broker.queue(max_deliveries=1)
            async with (
                serving(broker) as (address, server),
                dial(address) as worker,
                dial(address) as waiter,
                dial(address, "msgpack") as watcher,
                dial(address) as idle,
            ):
                await worker.done("subscribe", mode="work", credit=3)
                await queue.publish_many(list(range(3)))
                await worker.take(3)
                await waiter.done("subscribe", mode="work", credit=3)
                await watcher.done("subscribe", mode="broadcast")
                begun = time.monotonic()
                server.stop()
                for client in (worker, waiter, watcher, idle):
                    bye, code = await client.closed()
                    assert code == 1001
                    assert bye is not None
                    assert (bye["code"], bye["reason"]) == (1001, "going-away")
                    assert (bye["retry"], bye["retry_after"]) == (True, 1)
                assert time.monotonic() - begun < 9
            stats = await queue.stats()
            assert (stats.ready, stats.leased, stats.released) == (3, 0, 3)

    steady.run(main())


@pytest.mark.parametrize("url", ["memory://"])
def test_a_client_that_does_not_read_does_not_hold_up_a_stop(url: str) -> None:
    async def main() -> None:
        async with (
            supersoniq.connect(url) as broker,
            serving(broker) as (address, server),
            dial(address, max_size=None) as client,
            dial(address) as other,
        ):
            queue = broker.queue()
            await client.done("subscribe", mode="work", credit=100)
            client.socket.transport.pause_reading()
            await queue.publish_many(["x" * 900_000] * 30)
            await asyncio.sleep(0.1)
            begun = time.monotonic()
            server.stop()
            assert (await other.closed())[1] == 1001

            async def back() -> bool:
                return (await queue.stats()).leased == 0

            await until(back)
            assert time.monotonic() - begun < 9
            client.cut()

    steady.run(main())


async def raw(address: str) -> tuple[socket.socket, int]:
    """A WebSocket with nothing behind it: its socket, and its port."""
    host, port = address.removeprefix("ws://").removesuffix("/ws").split(":")
    plug = socket.socket()
    plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plug.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(plug, (host, int(port)))
    head = (
        f"GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: supersoniq.v1.json\r\n\r\n"
    )
    await loop.sock_sendall(plug, head.encode())
    await loop.sock_recv(plug, 4096)
    return plug, plug.getsockname()[1]


def test_a_flood_of_pings_whose_answers_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(h1_websocket, "PINGS", 1_000_000)

    async def main() -> None:
        async with (
            supersoniq.connect() as broker,
            serving(broker) as (address, server),
            dial(address) as other,
        ):
            plug, port = await raw(address)
            (flooded,) = [
                each
                for each in server.server_state.connections
                if each.transport.get_extra_info("peername")[1] == port
            ]
            pings = (b"\x89\xfd" + b"\0" * 4 + b"x" * 125) * 500
            largest = 0
            for _ in range(200):  # 13 MB
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.5):
                        await asyncio.get_running_loop().sock_sendall(plug, pings)
                largest = max(largest, flooded.transport.get_write_buffer_size())
            assert 0 < largest < 1_000_000
            await other.done("ping")
            plug.close()

    steady.run(main())


def test_a_reader_that_was_cut_is_gone_from_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Protocol, "linger", 0.2)

    async def main() -> None:
        async with (
            supersoniq.connect() as broker,
            serving(broker, send_timeout=0.2) as (address, server),
        ):
            plug, _ = await raw(address)
            asked = b'{"type":"subscribe","id":1,"mode":"broadcast"}'
            frame = bytes([0x81, 0x80 | len(asked)]) + b"\0" * 4 + asked
            await asyncio.get_running_loop().sock_sendall(plug, frame)
            heard = b""
            while b'"id":1' not in heard:  # it watches
                heard += await asyncio.get_running_loop().sock_recv(plug, 4096)

            async def gone() -> bool:
                return not server.server_state.connections

            assert not await gone()
            for _ in range(20):
                await broker.queue().publish("x" * 900_000)
            await until(gone)
            plug.close()

    steady.run(main())


def test_the_broker_closes_under_its_connections(url: str) -> None:
    async def main() -> None:
        broker = await supersoniq.connect(url).open()
        async with served(broker) as address, dial(address) as client, dial(address) as other:
            await client.done("publish", messages=[{"content": 1}])
            await client.done("subscribe", mode="work", credit=3)
            await client.take(1)
            await other.done("subscribe", mode="broadcast")
            async with asyncio.timeout(20):
                await broker.close()
            for each in (client, other):
                bye, code = await each.closed()
                assert code == 1001
                assert bye is not None
                assert bye["retry"] is True
            with pytest.raises(Exception, match="HTTP 503"):
                await dial(address).__aenter__()
        if url.startswith("sqlite"):
            async with supersoniq.connect(url) as again:
                stats = await again.queue().stats()
                assert (stats.ready, stats.released) == (1, 1)

    steady.run(main())


@pytest.mark.parametrize("url", ["memory://"])
def test_sigterm_over_the_wire(url: str) -> None:
    program = (
        "import sys\n"
        "from supersoniq.adapters.http.serve import serve\n"
        "serve(sys.argv[1], port=0, on_started=lambda url: print(url, flush=True))\n"
        "print('over')\n"
    )
    command = [sys.executable, "-W", "error", "-c", program, url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stderr is not None
        address = server.stdout.readline().decode().strip().replace("http:", "ws:") + "/ws"

        async def main() -> None:
            async with dial(address) as client, dial(address) as other:
                assert not client.socket.protocol.extensions  # no compression, though nobody asked
                await client.done("publish", messages=[{"content": 1}])
                await client.done("subscribe", mode="work", credit=3)
                await client.take(1)
                await other.done("subscribe", mode="broadcast")
                os.kill(server.pid, signal.SIGTERM)
                for each in (client, other):
                    bye, code = await each.closed()
                    assert code == 1001
                    assert bye is not None

        steady.run(main())
        server.wait(30)
        assert (server.returncode, server.stdout.read()) == (0, b"over\n")
        assert said(server.stderr.read()) == ""


def test_nothing_is_left_of_connections_that_end(url: str) -> None:
    async def main() -> None:
        async with (
            supersoniq.connect(url) as broker,
            serving(broker) as (address, server),
        ):
            tasks = len(asyncio.all_tasks())
            for how in ("close", "cut"):
                for n in range(10):
                    async with dial(address, ("json", "msgpack")[n % 2]) as client:
                        await client.done("subscribe", mode="work", credit=5)
                        await client.done("subscribe", mode="broadcast")
                        if how == "cut":
                            client.cut()

            async def gone() -> bool:
                return len(asyncio.all_tasks()) <= tasks and not broker.engine._rooms

            await until(gone)
            assert not broker.engine._farewells
            assert not server.app.service._staying
            assert not server.app.sockets._open

    steady.run(main())


def test_a_store_that_fails_for_a_while(url: str) -> None:
    async def main() -> None:
        broker = await supersoniq.connect(url).open()
        engine = broker.engine
        execute, direct = broker.backend.execute, engine.direct
        failing = True

        async def sick(batch: Any) -> Any:
            if failing and any(isinstance(op, Take) for op in batch):
                raise BackendUnavailable("it is sick")
            return await execute(batch)

        class SickDirect(Direct):
            def __call__(self, op: AnyOp) -> Any:
                if failing and isinstance(op, Take):
                    raise BackendUnavailable("it is sick")
                assert direct is not None
                return direct(op)

        engine._coalescer.execute = sick
        if direct is not None:
            engine.direct = SickDirect()
        async with served(broker) as address, dial(address) as client:
            await client.done("publish", messages=[{"content": 1}])
            await client.done("subscribe", mode="work", credit=1)
            assert await client.quiet()
            await client.done("ping")
            failing = False
            await client.settle(await client.take(1))
        await broker.close()

    steady.run(main())


def test_mounted_in_another_app_on_another_server() -> None:
    broker = supersoniq.connect()

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with broker:
            yield

    app = Starlette(routes=[Mount("/queue", create_app(broker, max_body=1000))], lifespan=lifespan)

    async def main() -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(app, ws="websockets-sansio", log_config=None)
        server = uvicorn.Server(config)
        task = asyncio.ensure_future(server.serve([listener]))
        address = f"ws://127.0.0.1:{listener.getsockname()[1]}/queue/ws"
        async with dial(address) as client:
            await client.done("publish", messages=[{"content": 1}])
            # This server would take more: the app's own bound holds.
            await client.socket.send(" " * 1001)
            bye, code = await client.closed()
            assert code == 1009
            assert bye is not None
            assert bye["reason"] == "frame-too-large"
        async with dial(address) as client:
            await client.done("subscribe", mode="work", credit=1)
            await client.take(1)
            server.should_exit = True
            assert (await client.closed())[1] in (1001, 1012)  # it does not ask the app first
        await asyncio.wait_for(task, 30)
        listener.close()

    steady.run(main())
