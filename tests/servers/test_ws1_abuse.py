"""WebSockets over HTTP/1.1 whose frames are no good: closed with a code, and no word in the log."""

from __future__ import annotations

import asyncio
import logging
import tracemalloc

import pytest

from benchmarks.abuse.attacks.sockets import BINARY, CLOSE, TEXT, close_code, frame
from supersoniq.servers.h1_websocket import Protocol
from tests.servers.http2 import Receive, Running, Scope, Send, run, serving

UPGRADE = (
    b"GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


@pytest.fixture(autouse=True)
def in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look ten times as often."""
    monkeypatch.setattr(Protocol, "look", 0.005)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})
        if message.get("text") == "end":
            return await send({"type": "websocket.close"})


async def talk(server: Running, *pieces: bytes) -> bytes:
    """What comes back to this, until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(UPGRADE)
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        heard = b""
        async with asyncio.timeout(20):
            while piece := await reader.read(65536):
                heard += piece
                if code := close_code(heard):  # it waits for ours
                    writer.write(frame(CLOSE, code.to_bytes(2)))
        return heard
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (frame(TEXT, b"\xff"), 1007),
        (frame(TEXT, b"\xce", fin=False) + frame(0, b"\xce"), 1007),
        (frame(TEXT, b"x", fin=False) + frame(0, fin=False) * 2000, 1009),
        (frame(BINARY, length=100_001), 1009),
        (frame(BINARY, length=1 << 30), 1009),
        (frame(TEXT, b"x", rsv1=True), 1002),
        (frame(CLOSE, b"\x03\xe8"), 1000),
        (frame(TEXT, b"x", fin=False) + frame(CLOSE, b"\x03\xe8"), 1000),
    ],
)
def test_what_is_no_message_closes_with_its_code(
    frames: bytes, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with serving(echo, ws_max_size=100_000) as server:
            assert close_code(await talk(server, frames)) == code

    with caplog.at_level(logging.WARNING):
        run(main)
    assert not caplog.records


def test_fragments_of_a_text_are_one_message() -> None:
    async def main() -> None:
        async with serving(echo, ws_max_size=100_000) as server:
            text = "a\u00e4\u20ac".encode()
            parts = [frame(TEXT, text[:2], fin=False), frame(0, text[2:3], fin=False)]
            # The second ends it, so that both echoes are there first.
            heard = await talk(server, *parts, frame(0, text[3:]), frame(TEXT, b"end"))
            assert heard.startswith(b"\x81" + bytes([len(text)]) + text + b"\x81\x03end")

    run(main)


def test_many_messages_at_once_all_come_in_order_and_leave_others_their_turn() -> None:
    turns = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        heard = []
        while (message := await receive())["type"] == "websocket.receive":
            heard.append(message["text"])
            if heard[-1] == "end":
                fine = heard[:-1] == [str(n) for n in range(20_000)]
                await send({"type": "websocket.send", "text": str(fine)})
                await send({"type": "websocket.close"})

    async def main() -> None:
        nonlocal turns
        async with serving(app) as server:

            async def others() -> None:
                nonlocal turns
                while True:
                    await asyncio.sleep(0)
                    turns += 1

            counting = asyncio.ensure_future(others())
            many = b"".join(frame(TEXT, b"%d" % n) for n in range(20_000))
            assert b"True" in await talk(server, many + frame(TEXT, b"end"))
            # Nothing but empty fragments: a slice of them has no message to wait for.
            before = turns
            await talk(server, frame(TEXT, fin=False) + frame(0, fin=False) * 500_000)
            assert turns - before > 20
            counting.cancel()

    run(main)


def test_empty_fragments_take_no_memory() -> None:
    async def main() -> None:
        async with serving(echo, ws_max_size=1 << 20) as server:
            many = frame(0, fin=False) * 10_000
            tracemalloc.start()
            try:
                await talk(server, frame(TEXT, fin=False), *[many] * 30)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert peak < 16 << 20

    run(main)


def test_sending_takes_as_long_as_it_takes_the_client_to_read() -> None:
    taken = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "bytes": bytes(16 << 20)})
        taken.set()
        await send({"type": "websocket.close"})

    async def main() -> None:
        async with serving(app) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(UPGRADE)
            await reader.readuntil(b"\r\n\r\n")
            try:
                await asyncio.sleep(0.2)
                assert not taken.is_set()
                async with asyncio.timeout(20):
                    while not taken.is_set():
                        assert await reader.read(1 << 20)
            finally:
                writer.transport.abort()

    run(main)


MIB = bytes(1 << 20)


def test_a_client_that_goes_on_sending_hears_why_it_was_closed() -> None:
    async def main() -> None:
        async with serving(echo, ws_max_size=100_000) as server:
            sent = [frame(BINARY, length=1 << 30), *[MIB] * 12]
            assert close_code(await talk(server, *sent)) == 1009

    run(main)


@pytest.mark.parametrize("goodbye", [b"\x00\x00", b"x", b"\x03\xe8\xff", bytes(126)])
def test_a_goodbye_that_is_no_good_is_one(goodbye: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sent it waits for the server to end the connection (RFC 6455, 7.1.1)."""
    monkeypatch.setattr(Protocol, "quiet", 30)
    monkeypatch.setattr(Protocol, "linger", 30)

    async def main() -> None:
        async with serving(echo) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(UPGRADE)
            await reader.readuntil(b"\r\n\r\n")
            writer.write(frame(CLOSE, goodbye))
            async with asyncio.timeout(10):
                assert close_code(await reader.read()) in (1002, 1007)
            writer.close()
            await writer.wait_closed()

    run(main)


async def send_on(server: Running, piece: bytes, pause: float) -> None:
    """Send a frame that is too large, piece by piece; reads nothing."""
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(UPGRADE + frame(BINARY, length=1 << 30))
        for _ in range(1000):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)
    finally:
        writer.transport.abort()


@pytest.mark.parametrize(
    ("bound", "value", "piece", "pause"),
    [("discard", 3 << 20, MIB, 0), ("linger", 0.3, b"x", 0.005)],
)
def test_a_client_that_does_not_stop_sending_is_cut(
    bound: str, value: float, piece: bytes, pause: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Protocol, bound, value)

    async def main() -> None:
        async with serving(echo, ws_max_size=100_000) as server:
            with pytest.raises(ConnectionError):
                await send_on(server, piece, pause)

    run(main)
