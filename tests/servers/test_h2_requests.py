"""Requests over HTTP/2: what a friendly client gets, over TLS and clear text."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import logging

import pytest

from tests.servers.http2 import (
    LIMITS,
    Answer,
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


@pytest.fixture(params=[False, True], ids=["clear", "tls"])
def secure(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def was_reset(answer: Answer) -> bool:
    return answer.reset is not None


def test_what_the_app_is_told(secure: bool) -> None:
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await say(send, b"hello")

    async def main() -> None:
        async with serving(app, secure=secure) as server, client(server) as one:
            fields = [(b"x-a", b"1"), (b"cookie", b"a=1"), (b"cookie", b"b=2")]
            answer = await one.get("/a%20b/c?x=%20y", fields=fields)
            assert (answer.status, bytes(answer.body)) == (200, b"hello")
            assert answer.fields[b"content-length"] == b"5"
            assert b"date" in answer.fields
            scope = scopes[0]
            assert scope["http_version"] == "2"
            assert scope["scheme"] == ("https" if secure else "http")
            assert scope["path"] == "/a b/c"
            assert scope["raw_path"] == b"/a%20b/c"
            assert scope["query_string"] == b"x=%20y"
            assert scope["headers"] == [
                (b"host", b"localhost"), (b"x-a", b"1"), (b"cookie", b"a=1; b=2"),
            ]  # fmt: skip
            assert scope["server"] == ("127.0.0.1", server.port)
            assert scope["client"][0] == "127.0.0.1"
            assert scope["asgi"]["version"] == "3.0"

    run(main)


def test_huge_bodies_stream_both_ways(secure: bool) -> None:
    async def main() -> None:
        data = bytes(range(256)) * 20_000
        async with serving(echo, secure=secure) as server, client(server) as one:
            number = one.request("/", "POST", end=False)
            await one.upload(number, data)
            assert (await one.answer(number)).body == data

    run(main)


def test_many_requests_on_one_connection() -> None:
    async def main() -> None:
        async with serving(echo) as server, client(server) as one:
            for _ in range(30):
                numbers = [one.request("/", "POST", b"%d" % n) for n in range(100)]
                bodies = [bytes((await one.answer(number)).body) for number in numbers]
                assert bodies == [b"%d" % n for n in range(100)]
                one.answers.clear()
            assert server.tasks == 0

    run(main)


def test_head_and_answers_without_a_body() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/none":
            await say(send, b"", 204)
        else:
            await say(send, b"hello")

    async def main() -> None:
        async with serving(app) as server, client(server) as one:
            answer = await one.get("/", method="HEAD")
            assert (answer.status, answer.fields[b"content-length"]) == (200, b"5")
            assert not answer.body
            assert (await one.get("/none")).status == 204

    run(main)


def test_trailers() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert "http.response.trailers" in scope["extensions"]
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
        await send({"type": "http.response.body", "body": b"x"})
        await send({"type": "http.response.trailers", "headers": [(b"Sum", b"17")]})

    async def main() -> None:
        async with serving(app) as server, client(server) as one:
            answer = await one.get()
            assert (bytes(answer.body), answer.trailers, answer.reset) == (
                b"x",
                {b"sum": b"17"},
                None,
            )

    run(main)


def test_trailers_of_a_request_end_it() -> None:
    async def main() -> None:
        async with serving(echo) as server, client(server) as one:
            number = one.request("/", "POST", b"abc", end=False)
            one.h2.send_headers(number, [(b"x-sum", b"1")], end_stream=True)
            one.flush()
            assert (await one.answer(number)).body == b"abc"

    run(main)


def test_100_continue_when_the_app_wants_the_body() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/refuse":
            await say(send, b"no", 417)
        else:
            await say(send, (await receive())["body"])

    async def main() -> None:
        async with serving(app) as server, client(server) as one:
            waits = [(b"expect", b"100-continue")]
            number = one.request("/", "POST", fields=waits, end=False)
            await until(lambda: one.answers[number].interim)
            await one.upload(number, b"abc")
            answer = await one.answer(number)
            assert (answer.interim, bytes(answer.body)) == ([b"100"], b"abc")
            number = one.request("/refuse", "POST", fields=waits, end=False)
            answer = await one.answer(number)
            assert (answer.interim, answer.status) == ([], 417)

    run(main)


def test_an_early_answer_declines_the_rest_and_nothing_else() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await say(send, b"too large", 413)

    async def main() -> None:
        async with serving(app) as server, client(server) as one:
            for _ in range(20):
                number = one.request("/", "POST", end=False)
                await one.upload(number, bytes(300_000))
                answer = await one.answer(number)
                assert (answer.status, bytes(answer.body)) == (413, b"too large")
            # 20 half-sent bodies were neither read nor held against the connection.
            assert (await one.get()).status == 413
            assert not one.lost.is_set()

    run(main)


def test_who_sends_on_after_its_answer_is_heard_out_up_to_a_bound() -> None:
    """As httpx and older ones of curl do, which lose the answer if they are reset."""
    arrived = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal arrived
        arrived += 1
        await say(send, b"too large", 413)

    async def main() -> None:
        limits = dataclasses.replace(LIMITS, discard=1_000_000, discards=3)
        async with serving(app, limits=limits) as server, client(server) as one:
            for _ in range(3):
                number = one.request("/", "POST", end=False)
                answer = await one.answer(number)
                assert await one.upload(number, bytes(800_000), deaf=True) == 800_000
                assert (answer.status, answer.reset) == (413, None)
            number = one.request("/", "POST", end=False)
            answer = await one.answer(number)
            assert await one.upload(number, bytes(4_000_000), deaf=True) < 2_000_000
            assert (answer.status, answer.reset) == (413, 0)  # NO_ERROR
            # One too many at a time: the oldest is reset.
            numbers = [one.request("/", "POST", end=False) for _ in range(4)]
            answers = [await one.answer(number) for number in numbers]
            await until(functools.partial(was_reset, answers[0]))
            assert [answer.reset for answer in answers] == [0, None, None, None]
            connection = next(iter(server.server.server_state.connections))
            assert len(connection._connection._discards._left) == 3  # type: ignore[union-attr]
            assert not server.tasks
            for number in numbers[1:]:
                one.h2.end_stream(number)
            one.flush()
            assert (await one.get()).status == 413
            assert not connection._connection._discards._left  # type: ignore[union-attr]
            assert arrived == 9

    run(main)


def test_the_rest_of_a_body_is_no_nuisance_unless_it_comes_in_crumbs() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await say(send, b"too large", 413)

    async def main() -> None:
        limits = dataclasses.replace(LIMITS, nuisances=50, nuisances_rate=0)
        async with serving(app, limits=limits) as server, client(server) as one:
            for _ in range(3):
                number = one.request("/", "POST", end=False)
                answer = await one.answer(number)
                assert await one.upload(number, bytes(1_000_000), deaf=True) == 1_000_000
                assert (answer.status, answer.reset) == (413, None)
            assert (await one.get()).status == 413
            assert not one.lost.is_set()
            number = one.request("/", "POST", end=False)
            await one.answer(number)
            for _ in range(200):
                one.h2.send_data(number, bytes(100))
            one.flush()
            await until(one.lost.is_set)
            assert one.goaway == 11  # ENHANCE_YOUR_CALM

    run(main)


def test_an_app_that_is_wrong_harms_its_stream_alone(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/raise":
            raise LookupError("on purpose")
        if scope["path"] == "/short":
            fields = [(b"content-length", b"10")]
            await send({"type": "http.response.start", "status": 200, "headers": fields})
            await send({"type": "http.response.body", "body": b"short"})
        if scope["path"] == "/cut":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
        if scope["path"] == "/split":
            fields = [(b"x", b"a\r\nb: c")]
            await send({"type": "http.response.start", "status": 200, "headers": fields})
        if scope["path"] == "/ok":
            await say(send, b"ok")

    async def main() -> None:
        async with serving(app) as server, client(server) as one:
            for path, status, reset in (
                ("/raise", 500, None), ("/nothing", 500, None), ("/split", 500, None),
                ("/short", 200, 2), ("/cut", 200, 2), ("/ok", 200, None),
            ):  # fmt: skip
                answer = await one.get(path)
                assert (path, answer.status, answer.reset) == (path, status, reset)

    with caplog.at_level(logging.ERROR, "supersoniq.servers"):
        run(main)
    assert len(caplog.records) == 5


def test_a_client_that_leaves_is_told_at_once() -> None:
    told: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        told.append((await receive())["type"])
        for _ in range(50):  # an app that goes on is ignored
            await send({"type": "http.response.body", "body": b"x", "more_body": True})

    async def main() -> None:
        async with serving(app) as server:
            async with client(server) as one:
                numbers = [one.request() for _ in range(10)]
                for number in numbers:
                    await asyncio.wait_for(one.answers[number].head.wait(), 30)
                for number in numbers[:5]:
                    one.h2.reset_stream(number, 8)
                one.flush()
                await until(lambda: len(told) == 5)
            await until(lambda: not server.tasks and len(told) == 10)
            assert told == ["http.disconnect"] * 10

    run(main)


def test_an_app_that_never_looks_is_stopped_in_the_end() -> None:
    ended = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            while True:
                await send({"type": "http.response.body", "body": b"x" * 1000, "more_body": True})
        except OSError:
            ended.set()
            raise

    async def main() -> None:
        async with serving(app) as server:
            async with client(server) as one:
                number = one.request()
                await until(lambda: len(one.answers[number].body) > 10_000)
            await asyncio.wait_for(ended.wait(), 30)

    run(main)


def test_no_stream_stalls_another() -> None:
    """80 streams that nobody reads, then one that works, in both directions."""
    never = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/deaf":
            await never.wait()
            await say(send, b"")
        else:
            await echo(scope, receive, send)

    async def main() -> None:
        async with serving(app) as server, client(server) as one:
            window = LIMITS.first_window
            assert 80 * window > LIMITS.connection_window
            for _ in range(80):
                number = one.request("/deaf", "POST", end=False)
                assert await one.upload(number, bytes(window), end=False) == window
            number = one.request("/echo", "POST", end=False)
            await one.upload(number, bytes(1_000_000))
            assert len((await one.answer(number)).body) == 1_000_000
            never.set()

    run(main)


def test_answers_share_the_connection() -> None:
    """A small answer does not wait behind large ones that nobody takes."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await say(send, bytes(2_000_000 if scope["path"] == "/large" else 10))

    async def main() -> None:
        async with serving(app) as server, client(server) as one:
            one.take = False
            one.h2.increment_flow_control_window(2**30)
            large = [one.request("/large") for _ in range(20)]
            await until(lambda: all(len(one.answers[n].body) > 64_000 for n in large))
            assert (await one.get("/small")).status == 200
            one.take = True
            for number in large:
                one.h2.increment_flow_control_window(2**30, number)
            one.flush()
            for number in large:
                assert len((await one.answer(number, 30)).body) == 2_000_000

    run(main)


def test_too_many_connections_or_requests_are_told_503() -> None:
    async def main() -> None:
        async with serving(echo, limit_concurrency=1) as server, client(server) as one:
            assert (await one.get()).status == 503

    run(main)
