"""WebSockets on the streams of a WebTransport session."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from aioquic.buffer import encode_uint_var
from wsproto import events as ws

import supersoniq
from supersoniq.adapters import create_app
from supersoniq.servers.h3.webtransport import NO_SESSION, error_code
from tests import steady
from tests.servers.h3_client import Client, honest, serving, until, visiting
from tests.servers.test_h3_websocket import Echo

DATAGRAMS = 65536


async def text(socket: Any, value: str) -> None:
    socket.send(ws.TextMessage(value))
    event = await socket.next()
    assert isinstance(event, ws.TextMessage)
    assert event.data == value


def test_the_protocols_of_a_session_are_subprotocols_of_its_streams(tmp_path: Path) -> None:
    """As Chromium names them; many browsers name none, and a queue's frames are JSON then."""

    async def main() -> None:
        async with (
            supersoniq.connect("memory://") as broker,
            serving(create_app(broker), tmp_path) as server,
            visiting(server, max_datagram_frame_size=DATAGRAMS) as client,
        ):
            offers = b'"other", "supersoniq.v1.msgpack" , "supersoniq.v1.json"'
            for field, kind in (
                ([], ws.TextMessage),
                ([(b"wt-available-protocols", offers)], ws.BytesMessage),
            ):
                session_id = await client.session("/ws", field)
                assert isinstance(await client.under(session_id).next(), kind)
            session_id = await client.session("/ws", [(b"wt-available-protocols", b'"other"')])
            refused = client.under(session_id)
            await refused.answer.wait()
            assert refused.answer.reset == error_code(400)

    steady.run(main())


def test_streams_of_a_session_are_websockets(tmp_path: Path) -> None:
    async def main() -> None:
        app = Echo()
        async with (
            serving(app, tmp_path) as server,
            visiting(server, max_datagram_frame_size=DATAGRAMS) as client,
        ):
            session_id = await client.session("/ws?a=1", [(b"origin", b"https://localhost")])
            answer = client.answer(session_id)
            assert answer.status == 200
            assert answer.fields[b"sec-webtransport-http3-draft"] == b"draft02"
            sockets = [client.under(session_id) for _ in range(5)]
            for n, socket in enumerate(sockets):
                await text(socket, f"hello {n}")
            large = bytes(range(256)) * 2000
            sockets[0].send(ws.BytesMessage(large))
            got = b""
            while len(got) < len(large):
                event = await sockets[0].next()
                assert isinstance(event, ws.BytesMessage)
                got += event.data
            assert got == large
            scope = app.scopes[0]
            assert (scope["type"], scope["path"], scope["query_string"]) == (
                "websocket", "/ws", b"a=1",
            )  # fmt: skip
            assert (b"origin", b"https://localhost") in scope["headers"]
            sockets[1].send(ws.CloseConnection(4000, "enough"))
            close = await sockets[1].next()
            assert isinstance(close, ws.CloseConnection)
            await sockets[1].answer.wait()
            client.reset(sockets[2].stream_id)
            await until(lambda: len(app.ends) == 2)
            await text(sockets[3], "still here")
            # The session ends, and all that is under it.
            client.send(session_id, b"", end=True)
            await until(lambda: len(app.ends) == 5)
            await client.answer(session_id).wait()
            assert [code for code, _ in app.ends] == [4000, 1006, 1006, 1006, 1006]
            assert (await client.request("GET", "/")).status == 200
            await honest(server)

    steady.run(main())


def test_what_is_declined(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            serving(Echo(), tmp_path, sessions=2) as server,
            visiting(server, max_datagram_frame_size=DATAGRAMS) as client,
        ):
            before = len(asyncio.all_tasks())
            refused = client.under(await client.session("/refused"))
            await refused.answer.wait()
            assert refused.answer.reset == error_code(403)
            session_id = await client.session("/ws")
            assert client.answer(await client.session("/ws")).status == 429
            stray = client.under(session_id + 400)
            client.raw(stray.stream_id, b"hello")
            await stray.answer.wait()
            assert stray.answer.reset == NO_SESSION
            alone = client.http.create_webtransport_stream(session_id, is_unidirectional=True)
            client.raw(alone, b"hello")
            client.http.send_datagram(session_id, b"hello")
            client.transmit()
            await until(lambda: client.answer(alone).stopped == NO_SESSION)
            # A capsule, and a session that is reset.
            await text(client.under(session_id), "here")
            client.send(session_id, encode_uint_var(0x2843) + b"\x04\0\0\0\0")
            client.reset(session_id)
            await until(lambda: len(asyncio.all_tasks()) <= before)
            assert client.ended is None
            await honest(server)

    steady.run(main())


def test_an_app_that_does_not_read_a_stream(tmp_path: Path) -> None:
    hold = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" or scope["query_string"] != b"hold":
            await Echo()(scope, receive, send)
            return
        await receive()
        await send({"type": "websocket.accept"})
        await hold.wait()

    async def main() -> None:
        async with (
            serving(app, tmp_path) as server,
            visiting(server, max_datagram_frame_size=DATAGRAMS) as client,
        ):
            held = client.under(await client.session("/ws?hold"))
            for _ in range(50):
                held.send(ws.BytesMessage(bytes(100_000)))
            await text(client.under(await client.session("/ws")), "not in its way")
            await asyncio.sleep(0.2)
            sender = client._quic._streams[held.stream_id].sender
            assert sender.highest_offset <= server.limits.window
            await honest(server)
            hold.set()

    steady.run(main())


def test_a_session_leaves_with_its_connection(tmp_path: Path) -> None:
    async def main() -> None:
        app = Echo()
        async with serving(app, tmp_path) as server:
            before = len(asyncio.all_tasks())
            sockets: list[Any] = []
            async with visiting(server, max_datagram_frame_size=DATAGRAMS) as client:
                assert isinstance(client, Client)
                sockets += [client.under(await client.session("/ws")) for _ in range(3)]
                for socket in sockets:
                    await text(socket, "here")
            await until(lambda: len(app.ends) == 3)
            await until(lambda: len(asyncio.all_tasks()) <= before)

    steady.run(main())
