"""TLS connections that have not got through their handshake."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from pathlib import Path
from typing import Any

import pytest

from supersoniq.servers import accepting
from supersoniq.servers.full import courtesy
from supersoniq.servers.native import Server
from tests.servers.http2 import Receive, Running, Scope, Send, client_tls, run, say, until
from tests.servers.native import serving

MOST = 3


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await say(send, b"hello")


def handshakes(server: Running) -> int:
    assert isinstance(server.server, Server)
    (door,) = server.server._doors
    return len(door.handshakes)


async def ask(server: Running) -> bytes:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", server.port, ssl=client_tls("http/1.1"), server_hostname="localhost"
    )
    writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer


def silent(server: Running, count: int) -> list[socket.socket]:
    """Connections that say nothing."""
    opened = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(count)]
    for sock in opened:
        sock.setblocking(False)
    return opened


def was_cut(sock: socket.socket) -> bool:
    try:
        return sock.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_those_who_say_nothing_count(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(app, tmp_path, max_connections=MOST, head_timeout=60.0) as server:
            room = MOST + courtesy(MOST)
            opened = silent(server, room + 5)
            await until(lambda: sum(map(was_cut, opened)) == 5)
            assert handshakes(server) == room
            with pytest.raises(OSError):
                await ask(server)
            for sock in opened:
                sock.close()
            await until(lambda: not handshakes(server))
            assert (await ask(server)).endswith(b"hello")

    run(main)


@pytest.mark.parametrize("words", [b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n", bytes(999)])
def test_a_handshake_that_comes_to_nothing_leaves_nothing(
    words: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with serving(app, tmp_path, head_timeout=0.2) as server:
            opened = silent(server, 20)
            for sock in opened:
                sock.send(words)
            await until(lambda: all(map(was_cut, opened)))
            await until(lambda: not handshakes(server))
            assert (await ask(server)).endswith(b"hello")
            for sock in opened:
                sock.close()

    with caplog.at_level(logging.INFO):
        run(main)
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


def test_a_server_that_stops_waits_for_no_handshake(tmp_path: Path) -> None:
    async def main() -> None:
        with contextlib.ExitStack() as stack:
            async with serving(app, tmp_path, head_timeout=3600.0) as server:
                opened = [stack.enter_context(sock) for sock in silent(server, 20)]
                await until(lambda: handshakes(server) == 20)
                opened += [stack.enter_context(sock) for sock in silent(server, 20)]
            await until(lambda: all(map(was_cut, opened)))

    run(main)


def test_a_system_without_files_is_asked_again_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    left = 3

    def accept(self: socket.socket, real: Any = socket.socket.accept) -> Any:
        nonlocal left
        if left:
            left -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return real(self)

    async def main() -> None:
        async with serving(app, tmp_path) as server:
            assert (await ask(server)).endswith(b"hello")

    monkeypatch.setattr(accepting, "PAUSE", 0.01)
    monkeypatch.setattr(socket.socket, "accept", accept)
    run(main)
    assert not left
    told = [each for each in caplog.records if "no connection can be accepted" in each.getMessage()]
    assert len(told) == 3
