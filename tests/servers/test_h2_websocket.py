"""WebSockets on HTTP/2 streams (RFC 8441)."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from h2.settings import SettingCodes
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage

from tests.servers.http2 import (
    LIMITS,
    Client,
    Receive,
    Running,
    Scope,
    Send,
    client,
    run,
    serving,
    until,
)

told: list[dict[str, Any]] = []


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Echoes; by its path it may do otherwise."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})
        return
    assert (await receive())["type"] == "websocket.connect"
    if scope["path"] == "/no":
        await send({"type": "websocket.close"})
        return
    if scope["path"] == "/say-no":
        start = {"type": "websocket.http.response.start", "status": 401, "headers": [(b"a", b"b")]}
        await send(start)
        await send({"type": "websocket.http.response.body", "body": b"who?"})
        return
    subprotocol = scope["subprotocols"][-1] if scope["subprotocols"] else None
    await send({"type": "websocket.accept", "subprotocol": subprotocol})
    if scope["path"] == "/deaf":
        await asyncio.sleep(30)
    if scope["path"] == "/bug":
        raise LookupError("on purpose")
    while True:
        message = await receive()
        told.append(dict(message))
        if message["type"] == "websocket.disconnect":
            return
        if message.get("text") == "bye":
            await send({"type": "websocket.close", "code": 4000, "reason": "you said so"})
        else:
            await send({**message, "type": "websocket.send"})


class Socket:
    """The client's side of one."""

    def __init__(self, one: Client, number: int) -> None:
        self.one = one
        self.number = number
        self.frames = Connection(ConnectionType.CLIENT)
        self.at = 0

    async def send(self, event: Event) -> None:
        await self.raw(self.frames.send(event))

    async def raw(self, data: bytes) -> None:
        await self.one.upload(self.number, data, end=False)

    async def receive(self) -> Event:
        answer = self.one.answers[self.number]
        whole: Any = None
        async with asyncio.timeout(30):
            while True:
                for event in self.frames.events():
                    if isinstance(event, TextMessage | BytesMessage):
                        whole = event.data if whole is None else whole + event.data
                        if event.message_finished:
                            return type(event)(whole)
                    else:
                        return event
                if self.at < len(answer.body):
                    data = bytes(answer.body[self.at :])
                    self.at = len(answer.body)
                    self.frames.receive_data(data)
                    continue
                assert not answer.done.is_set(), f"over: {answer.reset}"
                answer.stirred.clear()
                await answer.stirred.wait()


@asynccontextmanager
async def websocket(one: Client, path: str = "/", *protocols: str) -> AsyncIterator[Socket]:
    head = [
        (b":method", b"CONNECT"),
        (b":protocol", b"websocket"),
        (b":scheme", b"https"),
        (b":authority", b"localhost"),
        (b":path", path.encode()),
        (b"sec-websocket-version", b"13"),
    ]
    if protocols:
        head.append((b"sec-websocket-protocol", ", ".join(protocols).encode()))
    number = one.send_head(head, end=False)
    await asyncio.wait_for(one.answers[number].head.wait(), 30)
    yield Socket(one, number)


@asynccontextmanager
async def connected(**options: Any) -> AsyncIterator[tuple[Running, Client]]:
    told.clear()
    limits = replace(LIMITS, websocket_message=1_000_000)
    async with serving(app, limits=limits, **options) as server, client(server) as one:
        yield server, one


@pytest.mark.parametrize("secure", [False, True], ids=["clear", "tls"])
def test_messages_both_ways(secure: bool) -> None:
    async def main() -> None:
        async with connected(secure=secure) as (_, one):
            assert one.h2.remote_settings[SettingCodes.ENABLE_CONNECT_PROTOCOL] == 1
            async with websocket(one, "/", "v1", "v2") as ws:
                answer = one.answers[ws.number]
                assert answer.status == 200
                assert answer.fields[b"sec-websocket-protocol"] == b"v2"
                await ws.send(TextMessage("grüße"))
                assert await ws.receive() == TextMessage("grüße")
                await ws.send(BytesMessage(bytes(500_000)))
                got = await ws.receive()
                assert isinstance(got, BytesMessage)
                assert got.data == bytes(500_000)
                await ws.send(Ping(b"1"))
                assert await ws.receive() == Pong(b"1")
                for part in ("a", "b"):
                    await ws.send(TextMessage(part, message_finished=part == "b"))
                assert await ws.receive() == TextMessage("ab")
                await ws.send(CloseConnection(4001, "done"))
                assert await ws.receive() == CloseConnection(4001, "")
                await one.answer(ws.number)
        assert told[-1] == {"type": "websocket.disconnect", "code": 4001, "reason": "done"}

    run(main)


def test_the_server_closes() -> None:
    async def main() -> None:
        async with connected() as (server, one), websocket(one) as ws:
            await ws.send(TextMessage("bye"))
            assert await ws.receive() == CloseConnection(4000, "you said so")
            await one.answer(ws.number)
            await until(lambda: not server.tasks)

    run(main)


def test_the_server_says_no() -> None:
    async def main() -> None:
        async with connected() as (_, one):
            async with websocket(one, "/no") as ws:
                assert (await one.answer(ws.number)).status == 403
            async with websocket(one, "/say-no") as ws:
                answer = await one.answer(ws.number)
                assert (answer.status, bytes(answer.body)) == (401, b"who?")
                assert answer.fields[b"a"] == b"b"

    run(main)


def test_the_client_vanishes() -> None:
    async def main() -> None:
        async with connected() as (server, one):
            async with websocket(one) as ws:
                await ws.send(TextMessage("x"))
                await ws.receive()
                one.h2.reset_stream(ws.number, 8)
                one.flush()
            await until(lambda: not server.tasks)
            assert told[-1]["code"] == 1006
            assert (await one.get()).body == b"ok"

    run(main)


def masked(opcode: int, payload: bytes, size: int | None = None) -> bytes:
    """A frame; with a size, one that claims to be as large."""
    length = len(payload) if size is None else size
    if length < 126:
        return struct.pack(">BB4s", 0x80 | opcode, 0x80 | length, bytes(4)) + payload
    return struct.pack(">BBQ4s", 0x80 | opcode, 0xFF, length, bytes(4)) + payload


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (masked(2, bytes(100_000), 1 << 30), 1009),
        (struct.pack(">BB4s", 0x01, 0x80, bytes(4)) + b"\0\x80\0\0\0\0" * 20_000, 1009),
        (b"\xc1\x80\0\0\0\0", 1002),  # a compressed frame, where nothing is compressed
        (b"\x81\x01x", 1002),  # not masked
        (b"\x81\x81\0\0\0\0\xff", 1007),
    ],
    ids=["1 GiB", "fragments of nothing", "deflate", "unmasked", "not UTF-8"],
)
def test_frames_that_are_too_much(frame: bytes, code: int) -> None:
    async def main() -> None:
        async with connected() as (server, one):
            async with websocket(one) as ws:
                await ws.raw(frame * (12 if code == 1009 and len(frame) > 99_000 else 1))
                closed = await ws.receive()
                assert isinstance(closed, CloseConnection)
                assert closed.code == code
                await one.answer(ws.number)
            assert told[-1]["code"] == code
            assert (await one.get()).body == b"ok"
            await until(lambda: not server.tasks)

    run(main)


def test_one_that_nobody_reads_stalls_itself_alone() -> None:
    async def main() -> None:
        async with connected(grace=1) as (_, one), websocket(one, "/deaf") as deaf:
            message = deaf.frames.send(BytesMessage(bytes(12_000)))  # of a first window
            await deaf.raw(message)
            stuck = asyncio.ensure_future(deaf.raw(message))
            async with websocket(one) as ws:
                for _ in range(20):
                    await ws.send(BytesMessage(bytes(60_000)))
                    await ws.receive()
            assert (await one.get()).body == b"ok"
            assert not stuck.done()
            stuck.cancel()

    run(main)


def test_a_flood_of_pings_and_a_peer_that_does_not_read() -> None:
    async def main() -> None:
        async with connected() as (_, one), websocket(one) as ws:
            one.take = False
            for _ in range(4):
                await ws.raw(masked(9, b"x" * 100) * 100)
            await ws.send(TextMessage("still here"))
            events = [await ws.receive()]
            while not isinstance(events[-1], TextMessage):
                events.append(await ws.receive())
            assert len(events) < 100  # a pong for the last of those that came together

    run(main)


def test_a_bug_in_the_app(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with connected() as (_, one), websocket(one, "/bug") as ws:
            closed = await ws.receive()
            assert isinstance(closed, CloseConnection)
            assert closed.code == 1011

    run(main)
    assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1
