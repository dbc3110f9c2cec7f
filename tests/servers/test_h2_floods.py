"""Floods over HTTP/2: frames that carry nothing, heads without end, streams opened in vain."""

from __future__ import annotations

import asyncio
import struct
from dataclasses import replace

import h2.settings
import pytest

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
    pour,
    rudely,
)


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
        limits = replace(LIMITS, nuisances_rate=0.0)  # on a busy machine it may come no faster
        async with serving(app, limits=limits) as server, beside(server):

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
