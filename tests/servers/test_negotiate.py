"""One port for all: HTTP/1.1, HTTP/2 and WebSockets, by clients that nobody here wrote."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets.asyncio.client as ws_client

from tests.servers.http2 import (
    LIMITS,
    Receive,
    Running,
    Scope,
    Send,
    client_tls,
    run,
    say,
    serving,
    until,
)


@pytest.fixture(params=[False, True], ids=["clear", "tls"])
def secure(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@functools.cache
def curl_has_http2() -> bool:
    if shutil.which("curl") is None:
        return False
    done = subprocess.run(["curl", "--version"], capture_output=True, text=True, check=True)
    return "HTTP2" in done.stdout


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Says what is spoken; echoes bodies and messages."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({**message, "type": "websocket.send"})
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message["body"]
        more = message["more_body"]
    await say(send, scope["http_version"].encode() + b" " + body)


def url(server: Running, path: str = "/", scheme: str = "http") -> str:
    return f"{scheme}{'s' if server.secure else ''}://localhost:{server.port}{path}"


async def shell(*words: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode or 0, out.decode()


def test_http_1_1_keeps_the_connection_and_takes_chunks(secure: bool) -> None:
    async def pieces() -> Any:
        yield b"in "
        yield b"pieces"

    async def main() -> None:
        async with (
            serving(app, secure=secure) as server,
            httpx.AsyncClient(verify=client_tls("http/1.1")) as client,
        ):
            for _ in range(3):
                answer = await client.post(url(server), content=b"hello")
                assert (answer.http_version, answer.content) == ("HTTP/1.1", b"1.1 hello")
            assert len(server.server.server_state.connections) == 1
            answer = await client.post(url(server), content=pieces())
            assert answer.content == b"1.1 in pieces"

    run(main)


def test_websockets_over_http_1_1(secure: bool) -> None:
    async def main() -> None:
        async with serving(app, secure=secure) as server:
            tls = client_tls() if secure else None
            address = url(server, "/", "ws")
            async with ws_client.connect(address, ssl=tls, compression=None) as ws:
                await ws.send("hello")
                assert await ws.recv() == "hello"
                await ws.send(b"x" * 1_000_000)
                assert await ws.recv() == b"x" * 1_000_000

    run(main)


def test_the_first_bytes_may_come_one_by_one() -> None:
    async def main() -> None:
        async with serving(app) as server:
            for request in (
                b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
                b"PROPFIND / HTTP/1.1\r\nhost: x\r\n\r\n",
            ):
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                for at in range(len(request)):
                    writer.write(request[at : at + 1])
                    await asyncio.sleep(0)
                assert (await reader.readline()) == b"HTTP/1.1 200 OK\r\n"
                writer.transport.abort()

    run(main)


def test_who_says_nothing_is_cut() -> None:
    async def main() -> None:
        limits = dataclasses.replace(LIMITS, head_timeout=0.1)
        async with serving(app, limits=limits) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            await until(lambda: server.server.server_state.connections)
            assert await asyncio.wait_for(reader.read(), 30) == b""
            await until(lambda: not server.server.server_state.connections)
            writer.close()

    run(main)


def test_upgrade_to_h2c_is_not_taken() -> None:
    async def main() -> None:
        async with serving(app) as server, httpx.AsyncClient() as client:
            fields = {
                "connection": "upgrade, http2-settings",
                "upgrade": "h2c",
                "http2-settings": "",
            }
            answer = await client.get(url(server), headers=fields)
            assert answer.status_code == 200
            assert answer.content == b"1.1 "

    run(main)


@pytest.mark.skipif(not curl_has_http2(), reason="there is no curl with HTTP/2")
def test_curl(secure: bool, tmp_path: Path) -> None:
    async def main() -> None:
        large = tmp_path / "large"
        large.write_bytes(b"x" * 3_000_000)
        async with serving(app, secure=secure) as server:
            how = ["--http2", "-k"] if secure else ["--http2-prior-knowledge"]
            code, out = await shell("curl", "-sS", *how, "-d", "hello", url(server))
            assert (code, out) == (0, "2 hello")
            code, out = await shell(
                "curl", "-sS", *how, "--data-binary", f"@{large}", url(server), "-o", "/dev/null",
                "-w", "%{size_download} %{http_version}",
            )  # fmt: skip
            assert (code, out) == (0, "3000002 2")
            code, out = await shell("curl", "-sS", "--http1.1", "-k", "-d", "hello", url(server))
            assert (code, out) == (0, "1.1 hello")

    run(main)


@pytest.mark.parametrize("much", [False, True])
def test_http_1_1_throws_away_what_comes_after_an_early_answer(much: bool) -> None:
    """Most clients look for their answer when they have sent all of the body."""

    async def early(scope: Scope, receive: Receive, send: Send) -> None:
        await say(send, b"too large", 413)

    async def main() -> None:
        limits = dataclasses.replace(LIMITS, discard=500_000 if much else 5_000_000)
        async with serving(early, limits=limits) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n"
            for _ in range(2):
                writer.write(head)
                assert await reader.readuntil(b"too large")
                for _ in range(10):
                    writer.write(bytes(100_000))
                    await writer.drain()
                if much:
                    with contextlib.suppress(ConnectionError):
                        assert await asyncio.wait_for(reader.read(), 30) == b""
                    break
            writer.transport.abort()

    run(main)
