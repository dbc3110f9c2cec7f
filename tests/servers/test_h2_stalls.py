"""Clients of HTTP/2 that read nothing, that vanish, and that are there for nothing."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace

import pytest

from supersoniq.servers.h2.streams import Lane
from tests.servers.http2 import (
    LIMITS,
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
    HELLO,
    MIB,
    beside,
    frame,
    head_block,
    stop_reading,
)


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
                assert (await one.answer(number)).reset == 8  # the deadline, and that stream
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
        limits = replace(LIMITS, send_timeout=60)  # nobody waits for that
        async with serving(app, limits=limits) as server, beside(server, 20 * MIB):
            for _ in range(20):
                async with client(server, {4: 1000}) as one:
                    for _ in range(10):
                        one.request("/large")
                    await until(lambda one=one: len(one.answers) == 10)  # type: ignore[misc]
                    await asyncio.sleep(0.005)
            await until(lambda: server.tasks <= 1)

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
            await asyncio.wait_for(ended.wait(), 30)

    run(main)


def test_a_connection_that_is_not_used_is_closed() -> None:
    async def main() -> None:
        limits = replace(LIMITS, idle_timeout=0.2)
        async with serving(echo, limits=limits) as server, client(server) as one:
            assert (await one.get()).status == 200
            await asyncio.wait_for(one.lost.wait(), 30)
            assert one.goaway == 0

    run(main)
