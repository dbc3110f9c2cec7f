"""Heads over HTTP/2 that are wrong or late, and bodies that are not as said."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import pytest
from hpack import Encoder

from supersoniq.servers.h2 import frames
from tests.servers.http2 import (
    LIMITS,
    Client,
    Receive,
    Scope,
    Send,
    client,
    echo,
    run,
    say,
    serving,
    until,
)
from tests.servers.rude import (
    ENHANCE_YOUR_CALM,
    HELLO,
    beside,
    frame,
    head_block,
    rudely,
)


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
            clock = asyncio.get_running_loop().time
            began = clock()

            async def act(one: Client) -> None:
                one.writer.write(begun)

            await rudely(server, act)
            assert clock() - began < 9

    run(main)
