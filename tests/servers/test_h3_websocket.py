"""WebSockets over HTTP/3 (RFC 9220)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from wsproto import events as ws

from tests import steady
from tests.servers.h3_client import honest, request_head, serving, until, visiting


class Echo:
    """An app that sends back what it gets, and remembers how it ended."""

    def __init__(self) -> None:
        self.scopes: list[Any] = []
        self.ends: list[tuple[int, str]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body"})
            return
        self.scopes.append(scope)
        assert (await receive())["type"] == "websocket.connect"
        if scope["path"] == "/denied":
            start = {"type": "websocket.http.response.start", "status": 401}
            await send({**start, "headers": [(b"x-why", b"no token")]})
            await send({"type": "websocket.http.response.body", "body": b"who are you?"})
            return
        if scope["path"] == "/refused":
            await send({"type": "websocket.close"})
            return
        await send(
            {"type": "websocket.accept", "subprotocol": (scope["subprotocols"] or [None])[0]}
        )
        while (message := await receive())["type"] == "websocket.receive":
            if message.get("text") == "close":
                await send({"type": "websocket.close", "code": 4001, "reason": "as you wish"})
            elif message.get("text") is not None:
                await send({"type": "websocket.send", "text": message["text"]})
            else:
                await send({"type": "websocket.send", "bytes": message["bytes"]})
        self.ends.append((message["code"], message["reason"]))


def test_messages_both_ways(tmp_path: Path) -> None:
    async def main() -> None:
        app = Echo()
        async with serving(app, tmp_path) as server, visiting(server) as client:
            offers = [(b"sec-websocket-protocol", b"supersoniq.v1.json, other")]
            socket = await client.websocket("/ws?a=1", offers)
            assert socket.answer.status == 200
            assert socket.answer.fields[b"sec-websocket-protocol"] == b"supersoniq.v1.json"
            scope = app.scopes[0]
            assert (scope["type"], scope["scheme"], scope["http_version"]) == (
                "websocket",
                "wss",
                "3",
            )
            assert scope["query_string"] == b"a=1"
            for n in range(200):
                socket.send(ws.TextMessage(f"é{n}"))
            for n in range(200):
                event = await socket.next()
                assert isinstance(event, ws.TextMessage)
                assert event.data == f"é{n}"
            large = bytes(range(256)) * 2000
            socket.send(ws.BytesMessage(large))
            got = b""
            while len(got) < len(large):
                event = await socket.next()
                assert isinstance(event, ws.BytesMessage)
                got += event.data
            assert got == large
            socket.send(ws.Ping(b"there?"))
            pong = await socket.next()
            assert isinstance(pong, ws.Pong)
            assert pong.payload == b"there?"
            socket.send(ws.CloseConnection(4000, "enough"))
            close = await socket.next()
            assert isinstance(close, ws.CloseConnection)
            assert close.code == 4000
            await socket.answer.wait()
            assert app.ends == [(4000, "enough")]
            assert (await client.request("GET", "/")).status == 200

    steady.run(main())


def test_the_ways_in_which_it_ends(tmp_path: Path) -> None:
    async def main() -> None:
        app = Echo()
        async with serving(app, tmp_path) as server:
            before = len(asyncio.all_tasks())
            async with visiting(server) as client:
                socket = await client.websocket("/ws")
                socket.send(ws.TextMessage("close"))
                close = await socket.next()
                assert isinstance(close, ws.CloseConnection)
                assert (close.code, close.reason) == (4001, "as you wish")
                await socket.answer.wait()

                denied = await client.websocket("/denied")
                await denied.answer.wait()
                assert denied.answer.status == 401
                assert denied.answer.content == b"who are you?"
                assert denied.answer.fields[b"x-why"] == b"no token"
                refused = await client.websocket("/refused")
                assert refused.answer.status == 403

                broken = await client.websocket("/ws")
                client.send(broken.stream_id, b"\xff\xff\xff\xff")  # no frame
                close = await broken.next()
                assert isinstance(close, ws.CloseConnection)
                assert close.code == 1002

                unmasked = await client.websocket("/ws")
                client.send(unmasked.stream_id, b"\x81\x02hi")
                close = await unmasked.next()
                assert isinstance(close, ws.CloseConnection)
                assert close.code == 1002

                ended = await client.websocket("/ws")
                client.send(ended.stream_id, b"", end=True)
                await ended.answer.wait()
                reset = await client.websocket("/ws")
                client.reset(reset.stream_id)
                await reset.answer.wait()
                assert (await client.request("GET", "/")).status == 200
                assert client.ended is None
                await client.websocket("/ws")  # and this one leaves with its connection
            await until(lambda: len(asyncio.all_tasks()) <= before, 5)
            assert [code for code, _ in app.ends] == [4001, 1002, 1002, 1005, 1006, 1006]
            await honest(server)

    steady.run(main())


def test_a_message_that_is_too_large_is_cut_while_it_arrives(tmp_path: Path) -> None:
    async def main() -> None:
        app = Echo()
        async with serving(app, tmp_path, message_bytes=50_000) as server:
            async with visiting(server) as client:
                socket = await client.websocket("/ws")
                # A frame that says it has a GiB, and begins to come.
                head = b"\x82\xff" + (1 << 30).to_bytes(8) + b"\0\0\0\0"
                client.send(socket.stream_id, head + bytes(60_000))
                close = await socket.next()
                assert isinstance(close, ws.CloseConnection)
                assert close.code == 1009
                # In fragments that are each small.
                pieces = await client.websocket("/ws")
                for _ in range(60):
                    pieces.send(ws.BytesMessage(bytes(1000), message_finished=False))
                close = await pieces.next()
                assert isinstance(close, ws.CloseConnection)
                assert close.code == 1009
                # Deflate is not spoken: its bit is a fault.
                offer = [(b"sec-websocket-extensions", b"permessage-deflate")]
                deflate = await client.websocket("/ws", offer)
                assert b"sec-websocket-extensions" not in deflate.answer.fields
                client.send(deflate.stream_id, b"\xc1\x80\0\0\0\0")
                close = await deflate.next()
                assert isinstance(close, ws.CloseConnection)
                assert close.code == 1002
                assert (await client.request("GET", "/")).status == 200
            await honest(server)

    steady.run(main())


def test_a_websocket_that_nobody_reads_stalls_nobody(tmp_path: Path) -> None:
    """On its own connection, and on others."""
    hold = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await Echo()(scope, receive, send)
            return
        await receive()
        await send({"type": "websocket.accept"})
        await hold.wait()

    async def main() -> None:
        async with serving(app, tmp_path) as server, visiting(server) as client:
            for _ in range(20):
                socket = await client.websocket("/ws")
                for _ in range(30):
                    socket.send(ws.BytesMessage(bytes(20_000)))
            for _ in range(3):
                assert (await client.request("GET", "/")).status == 200
                await honest(server)
            hold.set()

    steady.run(main())


def test_plain_connect_is_not_for_us(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(Echo(), tmp_path, sessions=0) as server, visiting(server) as client:
            head = [(b":method", b"CONNECT"), (b":authority", b"example.org:443")]
            stream_id = client.open(head)
            assert (await client.answer(stream_id).wait()).status == 501
            head = [*request_head("CONNECT", "/wt"), (b":protocol", b"webtransport")]
            stream_id = client.open(head)
            assert (await client.answer(stream_id).wait()).status == 501
            assert (await client.request("GET", "/")).status == 200

    steady.run(main())
