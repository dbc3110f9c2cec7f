"""Server push: what the client allows, all of it, and never more."""

from __future__ import annotations

import asyncio
import functools
from dataclasses import replace
from typing import Any

import pytest
from h2.settings import SettingCodes

from tests.servers.http2 import (
    LIMITS,
    Client,
    Receive,
    Scope,
    Send,
    client,
    run,
    say,
    serving,
    until,
)

N = 1000
PATIENT = replace(LIMITS, push_patience=30)
"""On a busy machine a client takes longer than a second, and the rest would be in the stream."""
PUSH, MOST = int(SettingCodes.ENABLE_PUSH), int(SettingCodes.MAX_CONCURRENT_STREAMS)
WINDOW = int(SettingCodes.INITIAL_WINDOW_SIZE)


async def events(scope: Scope, receive: Receive, send: Send) -> None:
    """On a held stream: N messages, pushed where possible, else one a line."""
    if scope["path"] != "/events":
        await say(send, scope["path"].encode())
        return
    push: dict[str, Any] = scope["extensions"].get("http.response.push", {})
    ready = push.get("ready")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for number in range(N):
        path = f"/messages/{number}"
        if ready is not None and await ready():
            await send({"type": "http.response.push", "path": path, "headers": [(b"A", b"b")]})
        else:
            body = path.encode() + b"\n"
            await send({"type": "http.response.body", "body": body, "more_body": True})
    await send({"type": "http.response.body", "body": b"end\n"})


def pushed(one: Client) -> list[bytes]:
    answers = [answer for answer in one.pushed if answer.reset is None and answer.done.is_set()]
    for answer in answers:
        assert answer.status == 200
        assert answer.body == answer.request[b":path"]
        assert answer.request[b":method"] == b"GET"
        assert answer.request[b":authority"] == b"localhost"
        assert answer.request[b"a"] == b"b"
    return [bytes(answer.body) for answer in answers]


def everything() -> list[bytes]:
    return [b"/messages/%d" % number for number in range(N)]


@pytest.mark.parametrize("secure", [False, True], ids=["clear", "tls"])
def test_all_of_them_are_pushed_on_one_held_stream(secure: bool) -> None:
    async def main() -> None:
        async with serving(events, secure=secure, limits=PATIENT) as server, client(server) as one:
            answer = await one.get("/events", timeout=30)
            assert answer.body == b"end\n"
            await until(lambda: not one.promised_open)
            assert sorted(pushed(one)) == sorted(everything())
            assert one.most_promised <= 100
            # Nothing is remembered of what is over: h2 would, on a connection of one request.
            connection = next(iter(server.server.server_state.connections))
            assert len(connection._connection.engine.streams) < 210  # type: ignore[union-attr]
            assert server.tasks == 0

    run(main)


def test_with_push_disabled_all_are_in_the_stream() -> None:
    async def main() -> None:
        async with serving(events) as server, client(server, {PUSH: 0}) as one:
            answer = await one.get("/events", timeout=30)
            assert answer.body.split() == [*everything(), b"end"]
            assert not one.pushed

    run(main)


def test_a_client_with_room_for_10_never_sees_an_11th() -> None:
    async def main() -> None:
        async with serving(events, limits=PATIENT) as server, client(server, {MOST: 10}) as one:
            answer = await one.get("/events", timeout=30)
            await until(lambda: not one.promised_open)
            assert 1 < one.most_promised <= 10
            assert sorted([*pushed(one), *map(bytes, answer.body.split()[:-1])]) == sorted(
                everything()
            )
            assert len(one.pushed) == N  # it took them all, ten at a time

    run(main)


def test_room_for_none_means_none() -> None:
    async def main() -> None:
        async with serving(events) as server, client(server, {MOST: 0}) as one:
            answer = await one.get("/events", timeout=30)
            assert answer.body.split()[:-1] == everything()
            assert not one.pushed

    run(main)


def test_a_client_that_takes_no_pushed_answer_gets_the_rest_in_the_stream() -> None:
    async def main() -> None:
        async with serving(events) as server, client(server, {MOST: 10, WINDOW: 0}) as one:
            number = one.request("/events")
            one.h2.increment_flow_control_window(1_000_000, number)
            one.h2.increment_flow_control_window(1_000_000)
            one.flush()
            answer = await one.answer(number, 20)
            assert len(one.pushed) == 9  # and its own request
            assert answer.body.split()[:-1] == everything()[9:]

    run(main)


def test_a_client_that_resets_a_pushed_answer_is_pushed_no_more() -> None:
    async def main() -> None:
        async with serving(events) as server, client(server, {MOST: 10, WINDOW: 0}) as one:
            number = one.request("/events")
            one.h2.increment_flow_control_window(1_000_000, number)
            one.h2.increment_flow_control_window(1_000_000)
            one.flush()
            await until(lambda: len(one.pushed) == 9)
            for promised in sorted(one.promised_open):
                one.h2.reset_stream(promised, 8)
            one.flush()
            answer = await one.answer(number, 20)
            assert len(one.pushed) == 9  # and its own request
            assert answer.body.split()[:-1] == everything()[9:]
            assert server.tasks == 0

    run(main)


def test_the_app_learns_which_answers_were_taken() -> None:
    """Also of those that were refused after all of them had been sent, as Node does."""
    told: dict[int, bool] = {}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/events":
            await say(send, b"pushed")
            return
        ready = scope["extensions"]["http.response.push"]["ready"]
        for number in range(20):
            assert await ready()
            done = functools.partial(told.__setitem__, number)
            path = f"/{number}"
            await send({"type": "http.response.push", "path": path, "headers": [], "done": done})
        await until(lambda: len(told) == 20)
        await say(send, b"")

    async def main() -> None:
        async with serving(app) as server, client(server) as one:
            one.refuse = frozenset((5, 17))
            await one.get("/events")
            connection = next(iter(server.server.server_state.connections))
            assert not connection._connection._pusher._unsure  # type: ignore[union-attr]

    run(main)
    assert told == {number: number not in (5, 17) for number in range(20)}


def test_a_client_may_change_its_mind() -> None:
    async def main() -> None:
        go = asyncio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["path"] != "/events":
                await say(send, b"pushed")
                return
            ready = scope["extensions"]["http.response.push"]["ready"]
            assert await ready()
            await send({"type": "http.response.push", "path": "/1", "headers": []})
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await go.wait()
            told = await ready()
            # As in ASGI at large: a push that cannot be is dropped.
            await send({"type": "http.response.push", "path": "/2", "headers": []})
            await send({"type": "http.response.body", "body": str(told).encode()})

        async with serving(app) as server, client(server) as one:
            number = one.request("/events")
            await until(lambda: one.pushed and one.pushed[0].done.is_set())
            one.h2.update_settings({SettingCodes.ENABLE_PUSH: 0})
            one.h2.ping(b"heard it")
            one.flush()
            await until(lambda: one.pongs)
            go.set()
            assert (await one.answer(number)).body == b"False"
            assert len(one.pushed) == 1

    run(main)


def test_a_pushed_request_cannot_push_and_a_wrong_one_is_the_apps_fault() -> None:
    extensions: dict[str, Any] = {}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        extensions[scope["path"]] = scope["extensions"]
        if scope["path"] == "/":
            await send({"type": "http.response.push", "path": "/ä b", "headers": []})
            with pytest.raises(RuntimeError, match="pushed"):
                await send({"type": "http.response.push", "path": "no", "headers": []})
            fields = [(b"upgrade", b"x")]
            with pytest.raises(RuntimeError, match="pushed"):
                await send({"type": "http.response.push", "path": "/", "headers": fields})
        await say(send, b"")

    async def main() -> None:
        async with serving(app) as server, client(server) as one:
            await one.get()
            await until(lambda: len(extensions) == 2)
            assert one.pushed[0].request[b":path"] == b"/%C3%A4%20b"
            assert "http.response.push" not in extensions["/ä b"]

    run(main)
