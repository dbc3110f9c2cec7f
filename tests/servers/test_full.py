"""A server with as many connections as it takes: newcomers are told so, and nobody else is hurt."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from supersoniq.servers import full
from supersoniq.servers.full import RETRY_AFTER, courtesy
from tests.servers.http2 import Receive, Running, Scope, Send, client, run, say, until
from tests.servers.native import serving
from tests.servers.test_h2_websocket import websocket

MOST = 2
ASK = b"GET /%s HTTP/1.1\r\nhost: x\r\n\r\n"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await say(send, scope["path"].encode())


def connections(server: Running) -> int:
    return len(server.server.server_state.connections)


class Plain:
    """An HTTP/1.1 connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, path: bytes = b"") -> tuple[bytes, bytes]:
        """The head of an answer, in lower case, and its body."""
        self.writer.write(ASK % path)
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)).lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return head, await self.reader.readexactly(length)

    async def rest(self) -> bytes:
        """What comes until the connection ends."""
        return await asyncio.wait_for(self.reader.read(), 10)


@contextlib.asynccontextmanager
async def plain(server: Running) -> AsyncIterator[Plain]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        yield Plain(reader, writer)
    finally:
        writer.transport.abort()


@contextlib.asynccontextmanager
async def busy(folder: Path, **options: Any) -> AsyncIterator[tuple[Running, list[Plain]]]:
    """A server in clear text, and those who were there before the others came."""
    async with contextlib.AsyncExitStack() as stack:
        options = {"secure": False, "max_connections": MOST, **options}
        server = await stack.enter_async_context(serving(app, folder, **options))
        there = [await stack.enter_async_context(plain(server)) for _ in range(MOST)]
        for each in there:
            assert (await each.ask(b"first"))[1] == b"/first"
        yield server, there


def test_over_http_1_1_newcomers_get_503_and_have_to_leave(tmp_path: Path) -> None:
    async def main() -> None:
        async with busy(tmp_path) as (server, there), plain(server) as late:
            head, body = await late.ask()
            assert head.startswith(b"http/1.1 503 ")
            assert b"retry-after: %d\r\n" % RETRY_AFTER in head
            assert b"connection: close\r\n" in head
            assert b"as many connections as it takes" in body
            late.writer.write(ASK % b"again")
            assert await late.rest() == b""
            for each in there:
                assert (await each.ask(b"still"))[1] == b"/still"
            # When one leaves, there is room for another one.
            there[0].writer.close()
            late.writer.close()
            await until(lambda: connections(server) == MOST - 1)
            async with plain(server) as next_one:
                assert (await next_one.ask(b"next"))[1] == b"/next"

    run(main)


def test_over_http_2_every_request_gets_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with busy(tmp_path) as (server, there), client(server) as late:
            for path in ("/a", "/b"):
                answer = await late.get(path)
                assert answer.status == 503
                assert answer.fields[b"retry-after"] == b"%d" % RETRY_AFTER
                assert b"as many connections as it takes" in answer.body
            async with websocket(late) as refused:
                assert late.answers[refused.number].status == 503
            await asyncio.wait_for(late.lost.wait(), 10)  # it is shown out
            assert (await there[0].ask(b"still"))[1] == b"/still"

    run(main)


def test_so_many_are_told_and_others_cut(tmp_path: Path) -> None:
    async def main() -> None:
        async with busy(tmp_path) as (server, there), contextlib.AsyncExitStack() as stack:
            told = [await stack.enter_async_context(plain(server)) for _ in range(courtesy(MOST))]
            await until(lambda: connections(server) == MOST + courtesy(MOST))
            async with plain(server) as cut:
                with contextlib.suppress(ConnectionError):
                    assert await cut.rest() == b""
            for each in told:
                assert (await each.ask())[0].startswith(b"http/1.1 503 ")
            for each in there:
                assert (await each.ask(b"still"))[1] == b"/still"

    run(main)


@pytest.mark.parametrize("words", [b"", b"GET / HTTP/1.1\r\nhost: "])
def test_who_does_not_ask_is_cut(tmp_path: Path, words: bytes) -> None:
    async def main() -> None:
        async with busy(tmp_path, head_timeout=0.2) as (server, _), plain(server) as late:
            late.writer.write(words)
            with contextlib.suppress(ConnectionError):
                assert await late.rest() == b""
            await until(lambda: connections(server) <= MOST)

    run(main)


def test_who_does_not_leave_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on sending, and reads nothing."""
    monkeypatch.setattr(full, "LINGER", 0.05)

    async def main() -> None:
        async with busy(tmp_path) as (server, _), plain(server) as late:
            late.writer.write(ASK % b"")
            await late.reader.readuntil(b"\r\n\r\n")
            await until(lambda: connections(server) == MOST)
            with contextlib.suppress(ConnectionError):
                await late.rest()

    run(main)


def test_a_head_without_an_end_is_answered_too(tmp_path: Path) -> None:
    async def main() -> None:
        async with busy(tmp_path) as (server, _), plain(server) as late:
            late.writer.write(b"GET / HTTP/1.1\r\nx: " + b"y" * (1 << 17))
            head = await asyncio.wait_for(late.reader.readuntil(b"\r\n\r\n"), 10)
            assert head.startswith(b"HTTP/1.1 503 ")

    run(main)


def test_a_server_that_stops_waits_for_none_of_them(tmp_path: Path) -> None:
    async def main() -> None:
        async with contextlib.AsyncExitStack() as stack:
            async with busy(tmp_path) as (server, _):
                late = [await stack.enter_async_context(plain(server)) for _ in range(3)]
                await until(lambda: connections(server) == MOST + 3)
            for each in late:
                with contextlib.suppress(ConnectionError):
                    assert await each.rest() == b""

    run(main)
