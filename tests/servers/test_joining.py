"""HTTP/1.1: a short answer leaves in one piece, and nothing else is kept back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from supersoniq.servers.joining import Joining
from tests.servers.http2 import Receive, Scope, Send, run, serving

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"


class Wire(asyncio.Transport):
    """A transport that remembers what was done with it."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[Any] = []

    def write(self, data: Any) -> None:
        self.done.append(data)

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self.done.append(b"".join(list_of_data))

    def close(self) -> None:
        self.done.append("closed")

    def abort(self) -> None:
        self.done.append("aborted")

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.done.append("handed over")


def test_a_head_waits_for_its_body() -> None:
    async def main() -> None:
        wire = Wire()
        joining = Joining(wire, asyncio.get_running_loop())
        for body in (b"body", b"more"):
            joining.write(HEAD)
            assert not wire.done
            joining.write(body)
            assert wire.done == [HEAD + body]
            joining.write(b"rest")
            assert wire.done == [HEAD + body, b"rest"]
            wire.done.clear()
            await asyncio.sleep(0)
            assert not wire.done

    run(main)


def test_a_head_never_waits_beyond_the_turn_of_the_loop() -> None:
    async def main() -> None:
        wire = Wire()
        joining = Joining(wire, asyncio.get_running_loop())
        joining.write(HEAD)
        await asyncio.sleep(0)
        assert wire.done == [HEAD]
        joining.write(b"body")
        assert wire.done == [HEAD, b"body"]

    run(main)


@pytest.mark.parametrize(
    ("act", "done"),
    [
        (lambda joining: joining.close(), [HEAD, "closed"]),
        (lambda joining: joining.abort(), ["aborted"]),
        (lambda joining: joining.set_protocol(asyncio.Protocol()), [HEAD, "handed over"]),
        (lambda joining: joining.write(HEAD), [HEAD + HEAD]),  # of "100 Continue", and of an answer
    ],
)
def test_a_head_is_not_lost(act: Any, done: list[Any]) -> None:
    async def main() -> None:
        wire = Wire()
        joining = Joining(wire, asyncio.get_running_loop())
        joining.write(HEAD)
        act(joining)
        await asyncio.sleep(0)
        assert wire.done == done

    run(main)


def test_the_head_of_a_stream_comes_before_its_first_piece() -> None:
    async def main() -> None:
        piece = asyncio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await piece.wait()
            await send({"type": "http.response.body", "body": b"a piece", "more_body": True})
            await send({"type": "http.response.body", "body": b"the last"})

        async with serving(app) as server:
            reader, writer = await asyncio.open_connection("localhost", server.port)
            writer.write(b"GET / HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n")
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            assert head.startswith(b"HTTP/1.1 200 ")
            piece.set()
            rest = await asyncio.wait_for(reader.read(), 10)
            assert rest == b"7\r\na piece\r\n8\r\nthe last\r\n0\r\n\r\n"
            writer.close()

    run(main)


def test_who_expects_100_continue_gets_it_before_the_body_is_sent() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = (await receive())["body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async def main() -> None:
        async with serving(app) as server:
            reader, writer = await asyncio.open_connection("localhost", server.port)
            head = b"POST / HTTP/1.1\r\nhost: here\r\nexpect: 100-continue\r\ncontent-length: 4\r\n"
            writer.write(head + b"connection: close\r\n\r\n")
            told = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            assert told == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"body")
            answer = await asyncio.wait_for(reader.read(), 10)
            assert b"body" in answer
            writer.close()

    run(main)
