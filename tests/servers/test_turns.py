"""What comes at once is worked on in turns: nobody waits until all of somebody else's is done.

Work is counted for each turn of the loop, which a task that does nothing else tells apart.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from benchmarks.abuse.attacks.sockets import PING, PONG, TEXT, close_code, frame
from supersoniq.servers import websocket
from supersoniq.servers.h1 import H1Protocol
from supersoniq.servers.h2.connection import Connection
from supersoniq.servers.slices import SLICE
from tests.servers import rude
from tests.servers.http2 import LIMITS, Receive, Scope, Send, client, run, serving, until
from tests.servers.test_h2_websocket import websocket as websocket2
from tests.servers.test_ws1_abuse import UPGRADE, echo


class Turns:
    """Counts turns of the loop, and what was done in each."""

    def __init__(self) -> None:
        self.now = 0
        self.work: Counter[int] = Counter()

    def count(self) -> None:
        """Something was done."""
        self.work[self.now] += 1

    @property
    def most(self) -> int:
        """What was done in one turn at the most."""
        return max(self.work.values(), default=0)

    async def go_on(self) -> None:
        while True:
            self.now += 1
            await asyncio.sleep(0)


@asynccontextmanager
async def turning() -> AsyncIterator[Turns]:
    turns = Turns()
    task = asyncio.ensure_future(turns.go_on())
    try:
        yield turns
    finally:
        task.cancel()


MANY = 2000
MESSAGES = frame(TEXT, b"x") * MANY + frame(TEXT, b"end")


@pytest.mark.parametrize("carrier", ["h1", "h2"])
def test_messages_of_a_websocket(carrier: str) -> None:
    async def main() -> None:
        async with turning() as turns:
            over = asyncio.Event()

            async def app(scope: Scope, receive: Receive, send: Send) -> None:
                await receive()
                await send({"type": "websocket.accept"})
                while (message := await receive())["type"] == "websocket.receive":
                    turns.count()
                    if message["text"] == "end":
                        over.set()

            async with serving(app) as server:
                async with asyncio.timeout(20):
                    if carrier == "h1":
                        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                        writer.write(UPGRADE)
                        await reader.readuntil(b"\r\n\r\n")
                        writer.write(MESSAGES)
                        await over.wait()
                        writer.transport.abort()
                    else:
                        async with client(server) as one, websocket2(one) as ws:
                            await ws.raw(MESSAGES)
                            await over.wait()
            assert sum(turns.work.values()) == MANY + 1
            assert turns.most <= 2 * websocket.TURN  # one turn's end and the next one's beginning

    run(main)


def test_requests_of_http1(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that do not wait for their answers are answered, and others had their turns."""
    request = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"

    async def main() -> None:
        async with turning() as turns:
            begin = H1Protocol.on_message_begin

            def counted(self: H1Protocol) -> None:
                turns.count()
                begin(self)

            monkeypatch.setattr(H1Protocol, "on_message_begin", counted)

            async def app(scope: Scope, receive: Receive, send: Send) -> None:
                await send({"type": "http.response.start", "status": 204, "headers": []})
                await send({"type": "http.response.body", "body": b""})

            async with serving(app) as server:
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(request * MANY)
                async with asyncio.timeout(20):
                    for _ in range(MANY):
                        head = await reader.readuntil(b"\r\n\r\n")
                        assert head.startswith(b"HTTP/1.1 204")
                writer.transport.abort()
            assert sum(turns.work.values()) == MANY
            assert turns.most <= SLICE // len(request) + 1

    run(main)


def test_frames_of_http2(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body in DATA frames of a byte each is whole in the end, and others had their turns."""

    async def main() -> None:
        async with turning() as turns:
            admit = Connection._admit

            def counted(self: Connection, one: Any) -> bool:
                turns.count()
                return admit(self, one)

            monkeypatch.setattr(Connection, "_admit", counted)

            async def app(scope: Scope, receive: Receive, send: Send) -> None:
                body = b""
                while True:
                    message = await receive()
                    body += message.get("body", b"")
                    if not message.get("more_body"):
                        break
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": b"%d" % len(body)})

            async with serving(app) as server, client(server) as one:
                number = one.send_head(
                    [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"a"),
                     (b":path", b"/")], end=False,
                )  # fmt: skip
                one.writer.write(rude.frame(0, 0, number, b"x") * MANY + rude.frame(0, 1, number))
                async with asyncio.timeout(20):
                    answer = await one.answer(number)
                assert bytes(answer.body) == b"%d" % MANY
            assert sum(turns.work.values()) > MANY
            assert turns.most <= LIMITS.turn

    run(main)


@pytest.mark.parametrize("opcode", [PING, PONG])
@pytest.mark.parametrize("carrier", ["h1", "h2"])
def test_who_pings_without_end_is_shown_out(carrier: str, opcode: int) -> None:
    """As HTTP/2 does with its own: a few hundred are all right, thousands are not."""

    async def main() -> None:
        async with serving(echo) as server:
            few, many = (frame(opcode, b"?") * count for count in (300, 1000))
            if carrier == "h1":
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(UPGRADE)
                await reader.readuntil(b"\r\n\r\n")
                writer.write(few + frame(TEXT, b"hello"))
                await reader.readuntil(b"\x81\x05hello")
                writer.write(many)
                assert close_code(await reader.read()) == 1008
                writer.transport.abort()
            else:
                async with client(server) as one, websocket2(one) as ws:
                    await ws.raw(few + frame(TEXT, b"hello"))
                    body = one.answers[ws.number].body
                    await until(lambda: b"hello" in body)
                    await ws.raw(many)
                    await one.answer(ws.number)
                    assert close_code(body) == 1008

    run(main)
