"""Stopping: what has begun may end, what waits is told, nothing holds the server up."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from wsproto.events import CloseConnection

from tests.servers.http2 import (
    LIMITS,
    Receive,
    Running,
    Scope,
    Send,
    client,
    run,
    say,
    serving,
    until,
)
from tests.servers.test_h2_websocket import websocket


def stop(server: Running) -> None:
    server.server.should_exit = True


def test_what_has_begun_ends_and_what_is_new_is_refused() -> None:
    go = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await go.wait()
        await say(send, b"done")

    async def main() -> None:
        async with serving(app, grace=5) as server, client(server) as one:
            number = one.request("/slow", "POST", end=False)
            await until(lambda: server.tasks)
            stop(server)
            await until(lambda: one.goaway is not None)
            assert (await one.get("/new")).reset == 7
            await one.upload(number, b"the rest")
            go.set()
            assert (await one.answer(number)).body == b"done"
            await asyncio.wait_for(one.lost.wait(), 30)

    run(main)


def test_streams_of_every_kind_end_within_the_grace() -> None:
    """An app that never ends, a WebSocket, a peer without a window, an idle connection."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            assert (await receive())["code"] == 1012
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        if scope["path"] == "/large":
            await send({"type": "http.response.body", "body": bytes(10_000_000)})
        await asyncio.Event().wait()

    async def main() -> None:
        async with (
            serving(app, grace=1) as server,
            client(server) as one,
            client(server, {4: 10}) as two,
            client(server) as idle,
        ):
            held = one.request("/held")
            two.request("/large")
            async with websocket(one) as ws:
                await until(lambda: server.tasks == 3)
                clock = asyncio.get_running_loop().time
                begun = clock()
                stop(server)
                closed = await ws.receive()
                assert isinstance(closed, CloseConnection)
                assert closed.code == 1012
            await asyncio.wait_for(idle.lost.wait(), 30)
            assert idle.goaway == 0
            await until(lambda: server.tasks == 0)
            assert (await one.answer(held)).reset == 8
            assert clock() - begun < 9

    run(main)


def test_an_unfinished_hello_does_not_hold_it_up() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None: ...

    async def main() -> None:
        async with (
            serving(app, grace=600, limits=replace(LIMITS, head_timeout=600)) as server,
            client(server, raw=True),
            client(server, raw=True) as two,
        ):
            two.writer.write(b"PRI * HT")
            await until(lambda: len(server.server.server_state.connections) == 2)
            stop(server)
            await until(lambda: not server.server.server_state.connections)

    run(main)
