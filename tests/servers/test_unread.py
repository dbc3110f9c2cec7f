"""Clients that read nothing: of answers which the kernel has taken whole, and of larger ones."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.servers.guests import connect
from tests.servers.http2 import LIMITS as OF_HTTP
from tests.servers.http2 import App, Receive, Running, Scope, Send, client, run, say, serving, until
from tests.servers.native import serving as native

LIMITS = {"idle_timeout": 3600.0, "send_timeout": 0.5}
"""Idle connections may stay, unread ones may not."""
pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux tells what a client has not read"
)


@pytest.mark.parametrize("size", [100_000, 1_000_000])
@pytest.mark.parametrize("secure", [False, True], ids=["clear", "tls"])
def test_a_whole_answer_that_nobody_reads_does_not_hold_its_connection(
    secure: bool, size: int, tmp_path: Path
) -> None:
    answered: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await say(send, bytes(size))
        answered.append(scope["path"])

    async def main() -> None:
        async with native(app, tmp_path, secure=secure, **LIMITS) as server:
            connections = server.server.server_state.connections
            loop = asyncio.get_running_loop()
            with await loop.run_in_executor(None, lambda: connect(server, room=4096)) as sock:
                sock.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
                await until(lambda: answered, 20)
                assert connections
                await until(lambda: not connections, 20)

    run(main)


@pytest.mark.parametrize("secure", [False, True], ids=["clear", "tls"])
@pytest.mark.alone  # or it reads more slowly than it may
def test_who_reads_slowly_gets_all_of_it(secure: bool, tmp_path: Path) -> None:
    size = 2_000_000
    limits = {**LIMITS, "send_timeout": 2.0}  # the kernel counts these, also while a process stops

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await say(send, bytes(size))

    def read(server: Running) -> int:
        """Takes longer than a client may read nothing."""
        with connect(server, room=65536) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            heard, pause = 0, threading.Event()
            while heard < size:
                much = min(heard + 65536, size)
                while heard < much:  # which comes in pieces, over TLS in small ones
                    data = sock.recv(65536)
                    assert data, heard
                    heard += len(data)
                pause.wait(0.1)
            return heard

    async def main() -> None:
        async with native(app, tmp_path, secure=secure, **limits) as server:
            loop = asyncio.get_running_loop()
            assert await loop.run_in_executor(None, read, server) >= size

    run(main)


async def give_up(scope: Scope, receive: Receive, send: Send) -> None:
    """An app with a deadline of its own, shorter than the server's."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    with suppress(TimeoutError):
        async with asyncio.timeout(0.2):
            while True:
                body = {"type": "http.response.body", "body": bytes(100_000), "more_body": True}
                await send(body)


@contextmanager
def complaints() -> Iterator[list[str]]:
    """What the server complains of; uvicorn's own log leads elsewhere than to the root."""
    told: list[str] = []

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(record.getMessage().strip())

    ear = Listening(logging.WARNING)
    logs = [logging.getLogger("uvicorn.error"), logging.getLogger("supersoniq")]
    for log in logs:
        log.addHandler(ear)
    try:
        yield told
    finally:
        for log in logs:
            log.removeHandler(ear)


def heard_of(app: App, secure: bool) -> list[str]:
    """What the server complains of when a client of HTTP/1.1 reads nothing."""

    limits = replace(OF_HTTP, send_timeout=0.5)

    async def main() -> list[str]:
        async with serving(app, secure=secure, limits=limits) as server:
            connections = server.server.server_state.connections
            loop = asyncio.get_running_loop()
            with (
                complaints() as told,
                await loop.run_in_executor(None, lambda: connect(server, room=4096)) as sock,
            ):
                sock.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
                await until(lambda: server.tasks)
                await until(lambda: not connections)
            return told

    return run(main)


@pytest.mark.parametrize("secure", [False, True], ids=["clear", "tls"])
def test_an_app_that_gives_up_on_a_client_is_no_error(secure: bool) -> None:
    assert heard_of(give_up, secure) == []


def test_an_app_that_fails_while_its_client_reads_nothing_is_one() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await give_up(scope, receive, send)
        raise ZeroDivisionError

    assert heard_of(app, False) == ["Exception in ASGI application"]


@pytest.mark.parametrize("window", [0, 50_000])
def test_an_app_that_gives_up_on_a_client_of_http_2_is_no_error(window: int) -> None:
    async def main() -> None:
        async with serving(give_up) as server, client(server, {4: window}) as one:
            with complaints() as told:
                one.take = False
                answer = await one.answer(one.request())
                assert answer.reset is not None
            assert told == []

    run(main)
