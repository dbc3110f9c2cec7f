"""Clients that mean harm, each with an honest one beside it, and what they cost.

``Beside`` asks for something, all the time, on a connection of its own: it must get every answer,
and soon. Memory is what Python holds, after the connection has done its worst.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import struct
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import h2.settings
import pytest
from hpack import Encoder

from supersoniq.servers.h2 import frames
from supersoniq.servers.h2.frames import goaway
from supersoniq.servers.h2.limits import Budget
from supersoniq.servers.h2.streams import Lane
from tests.servers.http2 import (
    LIMITS,
    Client,
    Receive,
    Running,
    Scope,
    Send,
    client,
    echo,
    run,
    say,
    serving,
    until,
)

MIB = 1024 * 1024
ENHANCE_YOUR_CALM = 11
HELLO = frames.PREFACE + b"\0\0\0\4\0\0\0\0\0"


def frame(kind: int, flags: int, stream: int, body: bytes = b"") -> bytes:
    return len(body).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, stream) + body


def head_block(path: str = "/", method: bytes = b"GET") -> bytes:
    return Encoder().encode(
        [
            (b":method", method),
            (b":scheme", b"http"),
            (b":authority", b"localhost"),
            (b":path", path.encode()),
        ]
    )


@asynccontextmanager
async def beside(server: Running, bound: int = 8 * MIB, worst: float = 2.0) -> AsyncIterator[None]:
    """An honest client that is served all the while; and nothing grows, and no task is left."""
    async with client(server) as honest:
        await honest.get("/honest")
        gc.collect()
        tasks = server.tasks
        tracemalloc.start()
        slowest, count = 0.0, 0
        stop = False

        async def ask() -> None:
            nonlocal slowest, count
            while not stop:
                begun = time.perf_counter()
                answer = await honest.get("/honest", method="POST", body=b"x")
                assert answer.status == 200
                slowest = max(slowest, time.perf_counter() - begun)
                count += 1
                honest.answers.clear()
                await asyncio.sleep(0.002)

        asking = asyncio.ensure_future(ask())
        try:
            yield
            stop = True
            await asking
            _, peak = tracemalloc.get_traced_memory()
        finally:
            asking.cancel()
            tracemalloc.stop()
        assert peak < bound, f"{peak / MIB:.1f} MiB"
        assert count > 0
        assert slowest < worst, f"{slowest:.2f} s"
        await until(lambda: server.tasks == tasks)


async def rudely(server: Running, act: Callable[[Client], Awaitable[None]]) -> Client:
    """Let a client do what it does until it is thrown out, reading what it is told."""
    async with client(server, raw=True) as one:
        one.h2.initiate_connection()
        one.h2.data_to_send()
        one.pump = asyncio.ensure_future(listen(one))
        try:
            await act(one)
        except ConnectionError:
            pass
        await asyncio.wait_for(one.lost.wait(), 10)
        return one


async def listen(one: Client) -> None:
    """Look for the GOAWAY in whatever comes: for clients that say what h2 would not."""
    try:
        while True:
            head = await one.reader.readexactly(9)
            body = await one.reader.readexactly(int.from_bytes(head[:3], "big"))
            if head[3] == frames.GOAWAY:
                one.goaway = int.from_bytes(body[4:8], "big")
    except (ConnectionError, EOFError):
        pass
    finally:
        one.lost.set()


def stop_reading(one: Client) -> None:
    """Take nothing, and have little room for what one does not take."""
    one.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    one.writer.transport.pause_reading()  # type: ignore[attr-defined]


async def pour(one: Client, data: bytes, times: int) -> None:
    for _ in range(times):
        if one.lost.is_set():
            return
        one.writer.write(data)
        await one.writer.drain()
        await asyncio.sleep(0)  # the honest one lives in this loop as well


@pytest.mark.parametrize(
    ("name", "flood"),
    [
        ("settings", frame(4, 0, 0)),
        ("settings with values", frame(4, 0, 0, struct.pack(">HI", 4, 70000) * 30)),
        ("unknown settings", frame(4, 0, 0, struct.pack(">HI", 0x9999, 1) * 30)),
        ("ping", frame(6, 0, 0, b"12345678")),
        ("priority", frame(2, 0, 99, b"\0\0\0\0\1")),
        ("unknown frames", frame(77, 0, 0, b"x" * 20)),
        ("window updates", frame(8, 0, 0, b"\0\0\0\1")),
    ],
)
def test_floods_of_frames_that_carry_nothing(name: str, flood: bytes) -> None:
    async def main() -> None:
        async with serving(echo) as server, beside(server):

            async def act(one: Client) -> None:
                one.writer.write(HELLO)
                await pour(one, flood * 100, 10_000)

            assert (await rudely(server, act)).goaway == ENHANCE_YOUR_CALM

    run(main)


@pytest.mark.parametrize("padded", [False, True])
def test_a_flood_of_empty_data(padded: bool) -> None:
    async def main() -> None:
        async with serving(echo) as server, beside(server):
            data = frame(0, 8, 1, b"\1\0") if padded else frame(0, 0, 1)

            async def act(one: Client) -> None:
                one.writer.write(HELLO + frame(1, 4, 1, head_block(method=b"POST")))
                await pour(one, data * 100, 10_000)

            assert (await rudely(server, act)).goaway == ENHANCE_YOUR_CALM

    run(main)


def test_a_body_that_was_declined_and_comes_without_end() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await (say(send, b"", 413) if scope["path"] == "/large" else echo(scope, receive, send))

    async def main() -> None:
        async with serving(app) as server, beside(server):

            async def act(one: Client) -> None:
                one.writer.write(HELLO + frame(1, 4, 1, head_block("/large", b"POST")))
                await asyncio.sleep(0.2)
                await pour(one, frame(0, 0, 1, bytes(16384)), 20_000)

            # Either it has sent more than its window has room for, or more than can be meant well.
            assert (await rudely(server, act)).goaway in (3, ENHANCE_YOUR_CALM)

    run(main)


@pytest.mark.parametrize("size", [0, 1, 16384])
def test_a_flood_of_continuation(size: int) -> None:
    async def main() -> None:
        async with serving(echo) as server, beside(server):

            async def act(one: Client) -> None:
                one.writer.write(HELLO + frame(1, 0, 1, head_block()))
                await pour(one, frame(9, 0, 1, b"x" * size), 100_000)

            assert (await rudely(server, act)).goaway in (1, ENHANCE_YOUR_CALM)

    run(main)


def test_rapid_reset() -> None:
    begun = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal begun
        begun += scope["path"] == "/reset"
        await echo(scope, receive, send)

    async def main() -> None:
        async with serving(app) as server, beside(server):

            async def act(one: Client) -> None:
                one.writer.write(HELLO)
                block = head_block("/reset")
                for number in range(1, 200_000, 200):  # 100,000 streams
                    if one.lost.is_set():
                        break
                    one.writer.write(
                        b"".join(
                            frame(1, 5, stream, block) + frame(3, 0, stream, b"\0\0\0\x08")
                            for stream in range(number, number + 200, 2)
                        )
                    )
                    await one.writer.drain()
                    await asyncio.sleep(0)

            assert (await rudely(server, act)).goaway == ENHANCE_YOUR_CALM
        assert begun <= LIMITS.resets

    run(main)


def test_a_stream_counts_until_its_app_has_ended_reset_or_not() -> None:
    running, most = 0, 0
    go = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal running, most
        if scope["path"] == "/busy":
            running += 1
            most = max(most, running)
            await go.wait()  # does not look whether anybody is there
            running -= 1
        await say(send, b"")

    async def main() -> None:
        limits = replace(LIMITS, streams=10)
        async with serving(app, limits=limits) as server, client(server) as one:
            settings = one.h2.remote_settings
            assert settings.max_concurrent_streams == 10
            settings[h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS] = 1000
            settings.acknowledge()
            for _ in range(10):
                numbers = [one.request("/busy") for _ in range(10)]
                await asyncio.sleep(0.01)
                for number in numbers:
                    if not one.answers[number].done.is_set():
                        one.h2.reset_stream(number, 8)
                one.flush()
            refused = one.request("/busy")
            assert (await one.answer(refused)).reset == 7  # REFUSED_STREAM: can be tried again
            go.set()
            await until(lambda: server.tasks == 0)
            assert (await one.get("/free")).status == 200
            assert most == 10

    run(main)


def test_more_streams_than_there_may_be() -> None:
    """The limit holds before the client has heard of it, and costs it only what is too much."""
    go = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await go.wait()
        await say(send, b"ok")

    async def main() -> None:
        async with serving(app) as server, client(server, raw=True) as one:
            one.h2.initiate_connection()
            numbers = [one.request() for _ in range(150)]
            one.pump = asyncio.ensure_future(one._read())
            for number in numbers[100:]:
                assert (await one.answer(number)).reset == 7
            go.set()
            for number in numbers[:100]:
                assert (await one.answer(number)).body == b"ok"

    run(main)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ([(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"x")], 400),
        (
            [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"x"), (b":path", b"")],
            400,
        ),
        ([(b":path", "/\u00e4".encode())], 400),
        ([(b":path", b"/\xff\xfe")], 400),
        ([(b":path", b"/a b")], 400),
        ([(b":path", b"x")], 400),
        ([(b":path", b"/"), (b":path", b"/")], 400),
        ([(b":path", b"/"), (b":method", b"GET")], 400),
        ([(b":path", b"/"), (b":authority", b"y")], 400),
        ([(b":path", b"/"), (b":status", b"200")], 400),
        ([(b":path", b"/"), (b":protocol", b"websocket")], 400),
        ([(b":path", b"/"), (b"Upper", b"x")], 400),
        ([(b":path", b"/"), (b"", b"x")], 400),
        ([(b":path", b"/"), (b"a b", b"x")], 400),
        ([(b":path", b"/"), (b"x", b"a\r\nb: c")], 400),
        ([(b":path", b"/"), (b"x", b"a\0")], 400),
        ([(b":path", b"/"), (b"connection", b"close")], 400),
        ([(b":path", b"/"), (b"transfer-encoding", b"chunked")], 400),
        ([(b":path", b"/"), (b"upgrade", b"h2c")], 400),
        ([(b":path", b"/"), (b"te", b"gzip")], 400),
        ([(b":path", b"/"), (b"content-length", b"-1")], 400),
        ([(b":path", b"/"), (b"content-length", b"1"), (b"content-length", b"2")], 400),
        ([(b":path", b"/"), (b"host", b"other")], 400),
        ([(b":path", b"/"), (b"x", b"1"), (b":scheme", b"http")], 400),
        ([(b":path", b"/"), *((b"x-%d" % n, b"y" * 1000) for n in range(70))], 431),
    ],
)
def test_a_bad_head_costs_its_own_stream(
    head: list[tuple[bytes, bytes]], status: int, caplog: pytest.LogCaptureFixture
) -> None:
    usual = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"x")]
    block = head if head[0][0] == b":method" else usual + head

    async def main() -> None:
        async with serving(echo) as server, client(server) as one:
            held = one.request("/", "POST", end=False)
            for end in (True, False):
                answer = await one.answer(one.send_head(block, end=end))
                assert (answer.status, answer.reset) == (status, None if end else 0)
            await one.upload(held, b"still here")
            assert (await one.answer(held)).body == b"still here"

    with caplog.at_level(logging.WARNING):
        run(main)
    assert not [record for record in caplog.records if record.name.startswith("supersoniq")]


@pytest.mark.parametrize("method", [b"", b"G T", b"G\xc3\xa4T", b"x" * 100, b"CONNECT"])
def test_bad_methods(method: bytes) -> None:
    async def main() -> None:
        async with serving(echo) as server, client(server) as one:
            usual = [(b":method", method), (b":scheme", b"http"), (b":authority", b"x")]
            answer = await one.answer(one.send_head([*usual, (b":path", b"/")]))
            assert answer.status == (501 if method == b"CONNECT" else 400)
            assert (await one.get()).status == 200

    run(main)


@pytest.mark.parametrize(("length", "body"), [(5, b"123"), (3, b"12345"), (0, b"1")])
def test_a_body_that_is_not_as_long_as_it_says(length: int, body: bytes) -> None:
    got: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        more = True
        while more:
            message = await receive()
            got.append(message["type"])
            more = message.get("more_body", False)
        await say(send, b"")

    async def main() -> None:
        async with serving(app) as server, client(server) as one:
            fields = [(b"content-length", b"%d" % length)]
            answer = await one.get("/", method="POST", body=body, fields=fields)
            assert answer.reset == 1
            await until(lambda: server.tasks == 0)
            assert got[-1] == "http.disconnect"
            assert (await one.get()).status == 200

    run(main)


def test_a_decompression_bomb_of_headers() -> None:
    async def main() -> None:
        async with serving(echo) as server, beside(server):

            async def act(one: Client) -> None:
                big = Encoder().encode([(b"x", b"y" * 4000)], huffman=False)
                block = head_block() + big + b"\xbe" * 16_000  # 16,000 times the 4,000 bytes
                one.writer.write(HELLO + frame(1, 5, 1, block[:16384]))

            assert (await rudely(server, act)).goaway == ENHANCE_YOUR_CALM

    run(main)


def test_an_encoder_table_without_end() -> None:
    """A client may offer any table for compressing answers; we need not fill it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        fields = [(b"x-%d" % n, scope["query_string"] + b"y" * 500) for n in range(50)]
        await send({"type": "http.response.start", "status": 204, "headers": fields})
        await send({"type": "http.response.body"})

    async def main() -> None:
        async with serving(app) as server, client(server, {1: 2**31 - 1}) as one:
            one.h2.decoder.max_allowed_table_size = 2**31 - 1
            for number in range(100):
                assert (await one.get(f"/?{number}")).status == 204
            connection = next(iter(server.server.server_state.connections))
            encoder = connection._connection.engine.encoder  # type: ignore[union-attr]
            assert encoder.header_table_size == 4096

    run(main)


@pytest.mark.parametrize("secure", [False, True], ids=["clear", "tls"])
def test_200_mib_for_a_client_that_grants_no_window(secure: bool) -> None:
    accepted = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal accepted
        if scope["path"] == "/honest":
            await echo(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        piece = bytes(65536)
        for _ in range(3200):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            accepted += len(piece)

    async def main() -> None:
        limits = replace(LIMITS, send_timeout=0.5)
        async with (
            serving(app, secure=secure, limits=limits) as server,
            beside(server),
            client(server, {4: 0}) as one,
        ):
            numbers = [one.request("/large") for _ in range(50)]
            for number in numbers:
                assert (await one.answer(number, 5)).reset == 8  # the deadline, and that stream
            assert not any(one.answers[number].body for number in numbers)
            # No window is nobody else's concern, not even on the same connection.
            assert not one.lost.is_set()

    run(main)


def test_a_stream_without_a_window_waits_and_does_not_ask_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = 0
    send_data = Lane.send_data

    def counted(lane: Lane, data: memoryview, end: bool) -> int:
        nonlocal asked
        asked += 1
        return send_data(lane, data, end)

    monkeypatch.setattr(Lane, "send_data", counted)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await say(send, bytes(100_000))

    async def main() -> None:
        async with serving(app) as server, client(server, {4: 0}) as one:
            numbers = [one.request() for _ in range(10)]
            await until(lambda: asked >= 10)
            for _ in range(1000):
                await asyncio.sleep(0)
            assert asked < 200
            assert not one.answers[numbers[0]].body
            one.h2.update_settings({4: 200_000})
            one.flush()
            for number in numbers:
                assert len((await one.answer(number)).body) == 100_000

    run(main)


def test_200_mib_for_a_client_that_never_reads() -> None:
    piece = bytes(MIB)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/honest":
            await echo(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(200):
            await send({"type": "http.response.body", "body": piece, "more_body": True})

    async def main() -> None:
        limits = replace(LIMITS, send_timeout=0.5)
        async with (
            serving(app, limits=limits) as server,
            beside(server),
            client(server, {4: 2**31 - 1}, raw=True) as one,
        ):
            one.h2.initiate_connection()
            one.h2.increment_flow_control_window(2**31 - 1 - 65535)
            for _ in range(20):
                one.request("/large")
            stop_reading(one)
            await until(lambda: server.tasks >= 20)
            await until(lambda: server.tasks <= 1)

    run(main)


def test_answers_to_a_flood_that_nobody_reads_are_bounded() -> None:
    """HEAD needs no window: only the output's bound can stop it."""
    answers = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST":
            await echo(scope, receive, send)
            return
        nonlocal answers
        answers += 1
        fields = [(b"x", os.urandom(500).hex().encode())]  # nothing that HPACK could remember
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body"})

    async def main() -> None:
        limits = replace(LIMITS, send_timeout=1.0)
        async with (
            serving(app, limits=limits) as server,
            beside(server),
            client(server, raw=True) as one,
        ):
            stop_reading(one)
            one.writer.write(HELLO)
            block = head_block(method=b"HEAD")
            try:
                for number in range(1, 40_000, 20):
                    one.writer.write(
                        b"".join(frame(1, 5, number + n, block) for n in range(0, 20, 2))
                    )
                    await one.writer.drain()
                    await asyncio.sleep(0)
            except ConnectionError:
                pass

    run(main)
    assert 100 < answers < 5000  # of 20,000


def test_clients_that_vanish_while_they_stall() -> None:
    large = bytes(10 * MIB)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/honest":
            await echo(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": large})

    async def main() -> None:
        async with serving(app) as server, beside(server, 20 * MIB):
            for _ in range(20):
                async with client(server, {4: 1000}) as one:
                    for _ in range(10):
                        one.request("/large")
                    await until(lambda one=one: len(one.answers) == 10)  # type: ignore[misc]
                    await asyncio.sleep(0.005)
            await until(lambda: server.tasks <= 1, 1)

    run(main)


def test_a_client_that_gives_no_sign_of_life_is_cut() -> None:
    ended = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        assert (await receive())["type"] == "http.disconnect"
        ended.set()

    async def main() -> None:
        limits = replace(LIMITS, ping_after=0.1, ping_timeout=0.1)
        async with serving(app, limits=limits) as server, client(server) as one:
            one.request()
            await asyncio.sleep(0.6)  # it answers pings
            assert not ended.is_set()
            assert one.pump is not None
            one.pump.cancel()
            await asyncio.wait_for(ended.wait(), 2)

    run(main)


def test_a_connection_that_is_not_used_is_closed() -> None:
    async def main() -> None:
        limits = replace(LIMITS, idle_timeout=0.2)
        async with serving(echo, limits=limits) as server, client(server) as one:
            assert (await one.get()).status == 200
            await asyncio.wait_for(one.lost.wait(), 2)
            assert one.goaway == 0

    run(main)


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"PRI * HTTP/2.0\r\n",
        frames.PREFACE,
        HELLO + frame(1, 4, 1, head_block())[:-2],
        HELLO + frame(1, 0, 1, head_block()),
        HELLO + frame(1, 0, 1, head_block()) + frame(9, 0, 1, b"")[:4],
    ],
)
def test_heads_that_do_not_come(begun: bytes) -> None:
    async def main() -> None:
        limits = replace(LIMITS, head_timeout=0.2)
        async with serving(echo, limits=limits) as server, beside(server):
            began = time.perf_counter()

            async def act(one: Client) -> None:
                one.writer.write(begun)

            await rudely(server, act)
            assert time.perf_counter() - began < 9

    run(main)


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX" + bytes(9), None),
        (frames.PREFACE + frame(6, 0, 0, b"12345678"), 1),
        (HELLO + frame(0, 0, 1, b"x"), 1),
        (HELLO + frame(1, 4, 2, head_block()), 1),
        (HELLO + frame(9, 4, 1, head_block()), 1),
        (HELLO + frame(1, 0, 1, head_block()) + frame(6, 0, 0, b"12345678"), 1),
        (HELLO + frame(1, 5, 1, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff"), 9),
        (HELLO + frame(8, 0, 0, b"\x7f\xff\xff\xff"), 3),
        (HELLO + b"\xff\xff\xff\0\0\0\0\0\1", 6),
        (HELLO + frame(4, 0, 0, b"12345"), 6),
        (HELLO + frame(4, 0, 0, struct.pack(">HI", 2, 7)), 1),
        (HELLO + frame(5, 4, 1, b"\0\0\0\2" + head_block()), 1),
        (HELLO + frame(4, 0, 0, struct.pack(">HI", 9, 7) * 100), ENHANCE_YOUR_CALM),
    ],
)
def test_what_is_not_http2_ends_its_connection(
    bad: bytes, code: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with serving(echo) as server, beside(server):

            async def act(one: Client) -> None:
                one.writer.write(bad)

            one = await rudely(server, act)
            assert code is None or one.goaway in (code, 1)

    with caplog.at_level(logging.ERROR):
        run(main)
    assert not caplog.records


def test_a_client_that_says_goodbye_still_gets_its_answers() -> None:
    go = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await go.wait()
        await say(send, b"ok")

    async def main() -> None:
        async with serving(app) as server, client(server) as one:
            number = one.request()
            await until(lambda: server.tasks)
            one.writer.write(goaway(0, 0))
            await asyncio.sleep(0.05)
            go.set()
            assert (await one.answer(number)).body == b"ok"
            await asyncio.wait_for(one.lost.wait(), 2)

    run(main)


def test_a_budget() -> None:
    budget = Budget(3, 2.0)
    assert [budget.take(0.0) for _ in range(4)] == [True, True, True, False]
    assert [budget.take(1.0) for _ in range(2)] == [True, False]
    budget.earn(2)
    assert [budget.take(1.0) for _ in range(2)] == [True, False]
    assert [budget.take(100.0) for _ in range(4)] == [True, True, True, False]
