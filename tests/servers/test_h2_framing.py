"""What is not HTTP/2 where it should be, and the way to end a connection."""

from __future__ import annotations

import asyncio
import logging
import struct

import pytest

from supersoniq.servers.h2 import frames
from supersoniq.servers.h2.frames import goaway
from tests.servers.http2 import (
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
            await asyncio.wait_for(one.lost.wait(), 30)

    run(main)
