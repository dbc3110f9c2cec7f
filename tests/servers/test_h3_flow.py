"""Memory is bounded in both directions, and who makes others wait waits alone."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from wsproto import events as ws

from supersoniq.servers.h3 import credit
from tests import steady
from tests.servers.h3_client import honest, request_head, serving, until, visiting

MIB = 1024 * 1024


class Recorder:
    """An app whose requests can be held."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.taken = 0
        self.sent = 0
        self.ends: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            if scope["path"] == "/flood":
                await self.flood(send)
            elif scope["path"] == "/honest":
                await self.ok(send)
            elif scope["type"] == "websocket":
                await receive()
                await send({"type": "websocket.accept"})
                await self.go.wait()
                while (message := await receive())["type"] == "websocket.receive":
                    self.taken += len(message["bytes"])
            else:
                await self.go.wait()
                while True:
                    message = await receive()
                    self.taken += len(message.get("body", b""))
                    if not message.get("more_body"):
                        break
                await self.ok(send)
        except BaseException as error:
            self.ends.append(type(error).__name__)
            raise
        self.ends.append("done")

    async def ok(self, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    async def flood(self, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        chunk = bytes(64 * 1024)
        for _ in range(50 * 16):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            self.sent += len(chunk)


class Nowhere:
    """A cable that somebody has pulled."""

    def sendto(self, data: bytes, address: Any) -> None:
        pass

    def close(self) -> None:
        pass


def held(server: Any) -> int:
    """Bytes that arrived and that no app has read, in all connections."""
    return sum(
        stream.waiting
        for each in server._listener.connections
        for stream in each.requests.streams.values()
    )


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_an_app_that_does_not_read_50_mib(tmp_path: Path, kind: str) -> None:
    async def main() -> None:
        app = Recorder()
        async with serving(app, tmp_path) as server, visiting(server) as client:
            if kind == "http":
                stream_id = client.open(request_head("POST", "/"))
                client.send(stream_id, bytes(50 * MIB))
            else:
                socket = await client.websocket("/")
                stream_id = socket.stream_id
                for _ in range(50):
                    socket.send(ws.BytesMessage(bytes(MIB)))
            sender = client._quic._streams[stream_id].sender
            tracemalloc.start()
            begun = tracemalloc.get_traced_memory()[0]
            await until(lambda: held(server) > server.limits.first_window * 0.9)
            await asyncio.sleep(0.3)
            assert sender.highest_offset <= server.limits.first_window + 100  # with its head
            assert held(server) <= server.limits.first_window
            # The same connection has other streams, and they go on.
            assert (await client.request("GET", "/honest")).status == 200
            await honest(server)
            gc.collect()
            assert tracemalloc.get_traced_memory()[0] - begun < 4 * MIB
            tracemalloc.stop()
            app.go.set()
            # It reads now, and so more comes.
            await until(lambda: app.taken > 1 * MIB)
            assert held(server) <= server.limits.window

    steady.run(main())


def test_a_client_that_does_not_read_50_mib(tmp_path: Path) -> None:
    async def main() -> None:
        app = Recorder()
        async with serving(app, tmp_path, send_timeout=1.0) as server, visiting(server) as client:
            client.never_read()
            tracemalloc.start()
            begun = tracemalloc.get_traced_memory()[0]
            stream_id = client.open(request_head("GET", "/flood"), end=True)
            await until(lambda: app.sent > 0)
            await asyncio.sleep(0.5)
            room = server.limits.send_buffer + MIB  # what the client's first window takes
            assert app.sent <= room + 64 * 1024
            assert (await client.request("GET", "/honest")).status == 200
            await honest(server)
            gc.collect()
            assert tracemalloc.get_traced_memory()[0] - begun < 8 * MIB
            tracemalloc.stop()
            # Its time is over: the stream is reset and the app told.
            await until(lambda: client.answer(stream_id).reset is not None)
            assert client.answer(stream_id).reset == 0x107
            await until(lambda: app.ends.count("StreamLost") == 1)

    steady.run(main())


def test_a_slow_reader_gets_it_all(tmp_path: Path) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(2 * MIB)})

    async def main() -> None:
        async with serving(app, tmp_path) as server, visiting(server, max_stream_data=4096) as one:
            answer = await one.request("GET", "/")
            assert len(answer.content) == 2 * MIB

    steady.run(main())


def test_many_tiny_frames_open_no_more_than_they_should(tmp_path: Path) -> None:
    """Framing costs nothing of the window: a body of one-byte frames gets through whole."""

    async def main() -> None:
        app = Recorder()
        app.go.set()
        async with serving(app, tmp_path, window=4096) as server, visiting(server) as client:
            stream_id = client.open(request_head("POST", "/"))
            client.raw(stream_id, b"\x00\x01x" * 20_000, end=True)
            answer = await client.answer(stream_id).wait(10)
            assert (answer.status, app.taken) == (200, 20_000)

    steady.run(main())


def test_vanished_clients_leave_nothing(tmp_path: Path) -> None:
    """Clients that hang, stalled, without a word of farewell."""

    async def main() -> None:
        app = Recorder()
        async with serving(app, tmp_path, idle_timeout=1.5, keep_alive=0.2) as server:
            before = len(asyncio.all_tasks())
            async with AsyncExitStack() as stack:
                visits = (visiting(server, max_stream_data=2048) for _ in range(5))
                for client in [await stack.enter_async_context(visit) for visit in visits]:
                    client.never_read()
                    client.open(request_head("GET", "/flood"), end=True)
                    client.send(client.open(request_head("POST", "/")), bytes(1000))
                    # It hangs: nothing arrives here any more, and it does not say that it goes.
                    client.transmit()
                    client._transport = Nowhere()  # type: ignore[assignment]
                await until(lambda: len(asyncio.all_tasks()) >= before + 10)
                assert server.connections == 5
            app.go.set()
            await until(lambda: server.connections == 0)
            await until(lambda: len(asyncio.all_tasks()) <= before)
            assert len(app.ends) == 10
            await honest(server)

    steady.run(main())


def test_silent_clients_with_open_requests_are_kept(tmp_path: Path) -> None:
    async def main() -> None:
        app = Recorder()
        async with serving(app, tmp_path, idle_timeout=0.6, keep_alive=0.2) as server:
            async with visiting(server) as client:
                stream_id = client.open(request_head("POST", "/"), end=True)
                await asyncio.sleep(1.5)
                assert client.ended is None
                app.go.set()
                assert (await client.answer(stream_id).wait()).status == 200
                await until(lambda: client.ended is not None)  # with nothing to wait for
            await until(lambda: server.connections == 0)

    steady.run(main())


def test_a_request_counts_until_its_app_has_ended(tmp_path: Path) -> None:
    """Opening and resetting gives a client no more running requests than it may have."""

    async def main() -> None:
        stubborn = asyncio.Event()
        running = 0

        async def app(scope: Any, receive: Any, send: Any) -> None:
            nonlocal running
            running += 1
            try:
                if scope["path"] != "/honest":
                    await stubborn.wait()
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body"})
            finally:
                running -= 1

        async with serving(app, tmp_path, max_streams=5) as server, visiting(server) as client:
            opened = 0
            for _ in range(60):
                if client.may_open():
                    opened += 1
                    client.reset(client.open(request_head("POST", "/")))
                await asyncio.sleep(0.01)
                assert running <= 5
            assert 1 <= opened <= 5
            assert client.ended is None
            await honest(server)
            stubborn.set()
            assert (await client.request("GET", "/honest")).status == 200

    steady.run(main())


def test_a_long_life_leaves_no_trace(tmp_path: Path) -> None:
    """Requests of all kinds, over one connection: what is kept for them is gone with them."""

    async def main() -> None:
        app = Recorder()
        app.go.set()
        async with serving(app, tmp_path, max_streams=10) as server, visiting(server) as client:
            for n in range(150):
                await until(client.may_open)
                stream_id = client.open(request_head("POST", "/"))
                if n % 5 == 0:
                    client.send(stream_id, bytes(3000))
                    await asyncio.sleep(0.002)
                    client.reset(stream_id)
                elif n % 5 == 1:
                    client.send(stream_id, bytes(3000))
                    await asyncio.sleep(0.002)
                    client.send(stream_id, bytes(3000), end=True)
                    await client.answer(stream_id).wait()
                elif n % 5 == 2:
                    client.stop(stream_id)
                    client.send(stream_id, b"", end=True)
                elif n % 5 == 3:
                    client.http.send_headers(stream_id, [(b":bad", b"")], True)
                    client.transmit()
                    await client.answer(stream_id).wait()
                else:
                    client.reset(client.open([(b"no", b"head")]))
                    client.send(stream_id, b"x", end=True)
                    await client.answer(stream_id).wait()
                client.change_connection_id()
            (connection,) = server._listener.connections  # type: ignore[union-attr]
            quic, framing = connection.quic, connection.framing

            def kept() -> list[int]:
                requests = {number for number in quic._streams if number % 4 == 0}
                return [len(each) for each in (requests, connection.requests.streams, quic.running)]

            await until(lambda: kept() == [0, 0, 0])
            assert not framing._deaf
            assert len(framing._stream) <= 6  # three of each side
            assert len(quic._consumed) <= 6
            assert len(connection.ids) <= 12
            assert len(server._listener._by_id) <= 12  # type: ignore[union-attr]
            assert client.ended is None

    steady.run(main())


def test_aioquic_still_asks_where_we_answer() -> None:
    """The private methods that ``credit`` overrides are there, and are called where they were."""
    import inspect

    from aioquic.quic.connection import QuicConnection

    for name in ("_write_stream_limits", "_write_connection_limits"):
        ours = inspect.signature(getattr(credit.Connection, name))
        theirs = inspect.signature(getattr(QuicConnection, name))
        assert list(ours.parameters) == list(theirs.parameters)
        assert f"self.{name}(" in inspect.getsource(QuicConnection._write_application)
