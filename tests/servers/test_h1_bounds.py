"""Clients of HTTP/1.1 that are slow, endless or silent, and those that are none of it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import websockets.asyncio.client as ws_client

from supersoniq.backends.memory import MemoryBackend
from supersoniq.servers.h2.limits import Limits
from tests.backends.served import House, tls
from tests.servers.doors import Http1
from tests.servers.guests import connect
from tests.servers.http2 import (
    LIMITS,
    Receive,
    Running,
    Scope,
    Send,
    client_tls,
    run,
    say,
    serving,
    until,
)

SHORT = dataclasses.replace(LIMITS, head_timeout=0.3, idle_timeout=0.3)
GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.fixture(params=[False, True], ids=["clear", "tls"])
def secure(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
        return
    if scope["path"] == "/wait":
        while (await receive())["type"] != "http.disconnect":
            pass
        gone.append(scope["path"])
        return
    if scope["path"] == "/large":
        await say(send, bytes(30_000_000))
        return
    more = scope["path"] == "/read"
    while more:
        message = await receive()
        more = message.get("more_body", False)
    await say(send, b"hello")


gone: list[str] = []


class Line:
    """A connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def say(self, data: bytes) -> None:
        self.writer.write(data)

    async def rest(self, seconds: float = 10) -> bytes:
        """What comes until the server closes."""
        return await asyncio.wait_for(self.reader.read(), seconds)

    async def answer(self) -> bytes:
        return await asyncio.wait_for(self.reader.readuntil(b"hello"), 10)


@asynccontextmanager
async def line(where: Running) -> AsyncIterator[Line]:
    tls = client_tls("http/1.1") if where.secure else None
    name = "localhost" if tls else None
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", where.port, ssl=tls, server_hostname=name
    )
    try:
        yield Line(reader, writer)
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


@asynccontextmanager
async def one(secure: bool, limits: Limits = SHORT) -> AsyncIterator[tuple[Running, Line]]:
    async with serving(app, secure=secure, limits=limits) as server, line(server) as client:
        yield server, client


def test_a_head_that_dribbles_is_answered_408(secure: bool) -> None:
    async def main() -> None:
        async with one(secure) as (server, client):

            async def dribble() -> None:
                client.say(b"GET / HTTP/1.1\r\n")
                while True:
                    client.say(b"a")
                    await asyncio.sleep(0.01)

            task = asyncio.ensure_future(dribble())
            heard = await client.rest()
            task.cancel()
            assert heard.startswith(b"HTTP/1.1 408 ")
            assert b"connection: close" in heard
            await until(lambda: not server.server.server_state.connections)

    run(main)


@pytest.mark.parametrize("words", [b"", b"\r\n", b"PRI * HT"])
def test_who_says_nothing_of_use_is_cut(words: bytes, secure: bool) -> None:
    async def main() -> None:
        async with one(secure) as (server, client):
            client.say(words)
            heard = await client.rest()
            assert heard == b"" or heard.startswith(b"HTTP/1.1 408 ")
            await until(lambda: not server.server.server_state.connections)

    run(main)


def test_the_second_head_has_a_deadline_too(secure: bool) -> None:
    async def main() -> None:
        async with one(secure) as (_, client):
            client.say(GET)
            await client.answer()
            client.say(b"GET / HT")
            assert (await client.rest()).startswith(b"HTTP/1.1 408 ")

    run(main)


def test_an_idle_connection_is_closed_without_a_word(secure: bool) -> None:
    async def main() -> None:
        async with one(secure) as (_, client):
            client.say(GET)
            await client.answer()
            assert await client.rest() == b""

    run(main)


def test_who_is_served_has_no_deadline(secure: bool) -> None:
    """A request that takes its time, a body that does, and a WebSocket, all beyond the bounds."""

    async def main() -> None:
        async with one(secure) as (server, client), line(server) as other:
            client.say(b"POST /read HTTP/1.1\r\nhost: x\r\ncontent-length: 40\r\n\r\n")
            other.say(b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n")
            scheme, tls = ("wss", client_tls()) if secure else ("ws", None)
            address = f"{scheme}://localhost:{server.port}/"
            async with ws_client.connect(address, ssl=tls, compression=None) as ws:
                for _ in range(40):
                    client.say(b"x")
                    await asyncio.sleep(0.02)
                assert (await client.answer()).startswith(b"HTTP/1.1 200 ")
                await ws.send("still here")
                assert await ws.recv() == "still here"
            assert not other.reader.at_eof()

    run(main)


def test_a_head_without_end_is_refused(secure: bool) -> None:
    async def main() -> None:
        limits = dataclasses.replace(LIMITS, header_list=10_000)
        async with one(secure, limits) as (_, client):
            client.say(b"GET / HTTP/1.1\r\n")
            for n in range(20):
                client.say(b"x-%d: %b\r\n" % (n, b"y" * 500))
            assert (await client.rest()).startswith(b"HTTP/1.1 431 ")

    run(main)


def test_who_is_still_sending_hears_why_it_is_refused(secure: bool) -> None:
    """A reset would take the answer from it: so it does not come as long as it is not too much."""

    async def main() -> None:
        limits = dataclasses.replace(LIMITS, header_list=10_000)
        async with one(secure, limits) as (server, client):
            client.say(b"GET / HTTP/1.1\r\n" + b"x: %b\r\n" % bytes(range(97, 123)) * 100_000)
            await until(lambda: not client.writer.transport.get_write_buffer_size())
            client.say(b"x: y\r\n")
            assert (await client.rest()).startswith(b"HTTP/1.1 431 ")
            await until(lambda: not server.server.server_state.connections)

    run(main)


def test_who_goes_on_for_ever_is_cut(secure: bool) -> None:
    async def main() -> None:
        limits = dataclasses.replace(LIMITS, header_list=10_000, discard=100_000)
        async with one(secure, limits) as (server, client):
            client.say(b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 1_000_000)
            await until(lambda: server.server.server_state.connections)
            with pytest.raises(OSError):  # noqa: PT012  # one of them, and it may take some
                while True:
                    client.say(b"x: y\r\n" * 1000)
                    await client.writer.drain()
            await until(lambda: not server.server.server_state.connections)

    run(main)


@pytest.mark.parametrize(
    "begun",
    [
        b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\nGET / HTTP/1.1\r\n",
        b"POST /wait HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n",
    ],
    ids=["a second head behind a request", "trailers"],
)
def test_fields_behind_a_request_are_bounded(begun: bytes, secure: bool) -> None:
    async def main() -> None:
        limits = dataclasses.replace(LIMITS, header_list=10_000)
        async with one(secure, limits) as (server, client):
            client.say(begun)
            for n in range(60):
                if client.writer.transport.is_closing():
                    break
                client.say(b"x-%d: %b\r\n" % (n, b"y" * 500))
                await asyncio.sleep(0.001)
            await until(lambda: not server.server.server_state.connections)
            await until(lambda: not server.tasks)

    run(main)


def test_all_requests_of_a_lost_connection_are_told() -> None:
    """Also the first of several that came at once."""

    async def main() -> None:
        gone.clear()
        async with serving(app) as server:
            async with line(server) as client:
                client.say(b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n" * 3)
                await until(lambda: server.tasks)
            await until(lambda: not server.tasks)
            assert gone == ["/wait"]

    run(main)


def test_an_answer_nobody_reads_is_cut(secure: bool) -> None:
    async def main() -> None:
        # Over TLS nobody can see what is unread until the connection is closed: for being idle.
        limits = dataclasses.replace(LIMITS, send_timeout=0.3, idle_timeout=0.3)
        async with serving(app, secure=secure, limits=limits) as server:
            # A bare socket: the streams of an event loop read on over TLS, whatever they are told.
            with await asyncio.to_thread(connect, server, room=4096) as client:
                client.sendall(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n")
                await until(lambda: server.server.server_state.total_requests)
                await until(lambda: not server.server.server_state.connections)

    run(main)


def test_a_stop_while_a_connection_closes() -> None:
    """asyncio's transports over TLS are not what they were once they have been closed twice."""

    async def main() -> None:
        async with House(MemoryBackend(), certificate=tls()[1]) as house:
            client = Http1(house.port)
            assert (await client.ask("GET", "/", None)).status == 200
            (connection,) = house._server.server_state.connections
            connection.transport.close()
            connection.shutdown()
            connection.shutdown()
            client.close()

    asyncio.run(main())
