"""Clients that are there when a server is told to stop, each in a way of its own.

A guest is a context: inside it is where it wants to be; as it leaves, after the server's end, it
looks whether it was treated well. Those of HTTP/1.1 are bare sockets that do nothing by themselves:
they do not even read TLS's goodbye.
"""

from __future__ import annotations

import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from wsproto import events as ws

from tests.adapters.sockets import dial
from tests.servers.h3_client import request_head, visiting
from tests.servers.http2 import Running, client, client_tls, until
from tests.servers.test_h2_websocket import websocket

Guest = Callable[[Running], AbstractAsyncContextManager[None]]

WAIT = b'{"wait": 60}'
LEASE = b"POST /queues/none/leases HTTP/1.1\r\nhost: localhost\r\ncontent-length: 12\r\n\r\n" + WAIT
SUBSCRIBE = json.dumps({"type": "subscribe", "id": 1, "queue": "q", "mode": "work", "credit": 1})
JSON = "supersoniq.v1.json"


def connect(where: Running, *, hello: bool = True, room: int | None = None) -> socket.socket:
    """A connection, over TLS if there is TLS."""
    raw = socket.socket()
    raw.settimeout(30)
    if room is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    raw.connect(("127.0.0.1", where.port))
    if not where.secure or not hello:
        return raw
    return client_tls("http/1.1").wrap_socket(raw, server_hostname="localhost")


def hear(sock: socket.socket, end: bytes) -> bytes:
    """Read as far as some bytes."""
    heard = b""
    while end not in heard:
        data = sock.recv(65536)
        assert data, heard
        heard += data
    return heard


def rest(sock: socket.socket) -> bytes:
    """Read to the end, which must be one in good order."""
    heard = b""
    while data := sock.recv(65536):
        heard += data
    return heard


@asynccontextmanager
async def nobody(where: Running) -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def silent(where: Running) -> AsyncIterator[None]:
    """Connected, and not a word; over TLS not even the first of the handshake."""
    with connect(where, hello=False):
        yield


@asynccontextmanager
async def half_shaken(where: Running) -> AsyncIterator[None]:
    """In the middle of TLS's handshake: one has begun to greet, one leaves the answer to that."""
    greeting = ssl.MemoryBIO()
    tls = client_tls("h2").wrap_bio(ssl.MemoryBIO(), greeting, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    hello = greeting.read()
    with connect(where, hello=False) as one, connect(where, hello=False) as other:
        one.sendall(hello[:100])
        other.sendall(hello)
        assert other.recv(1) == b"\x16", "a handshake message: its own part is done"
        yield


@asynccontextmanager
async def newcomer(where: Running) -> AsyncIterator[None]:
    """Over TLS the handshake is done."""
    with connect(where):
        yield


@asynccontextmanager
async def idle(where: Running) -> AsyncIterator[None]:
    """Between two requests, and not reading."""
    with connect(where) as sock:
        sock.sendall(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n")
        hear(sock, b"}")
        yield
        assert rest(sock) == b""  # over TLS: with its goodbye, else this raises


@asynccontextmanager
async def half_head(where: Running) -> AsyncIterator[None]:
    with connect(where) as sock:
        sock.sendall(b"GET /health/live HTTP/1.1\r\nho")
        yield


@asynccontextmanager
async def half_body(where: Running) -> AsyncIterator[None]:
    with connect(where) as sock:
        sock.sendall(
            b"POST /messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99\r\n\r\nhalf"
        )
        # What came first on another connection was read: so is this, by now.
        async with idle(where):
            yield


@asynccontextmanager
async def lease(where: Running) -> AsyncIterator[None]:
    """A long poll: it is answered, and told not to come back on this connection."""
    with connect(where) as sock:
        sock.sendall(LEASE)
        async with idle(where):
            yield
        answer = rest(sock)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"\r\nconnection: close\r\n" in answer
        assert answer.endswith(b"[]")


@asynccontextmanager
async def sse(where: Running) -> AsyncIterator[None]:
    with connect(where) as sock:
        sock.sendall(b"GET /queues/q/events HTTP/1.1\r\nhost: localhost\r\n\r\n")
        heard = hear(sock, b"event: start")
        yield
        assert b"retry: " in heard
        assert rest(sock).endswith(b"0\r\n\r\n")  # whole, and not cut off


@asynccontextmanager
async def ndjson(where: Running) -> AsyncIterator[None]:
    with connect(where) as sock:
        accept = b"accept: application/x-ndjson"
        sock.sendall(b"GET /queues/q/events HTTP/1.1\r\nhost: localhost\r\n" + accept + b"\r\n\r\n")
        hear(sock, b'"start"')
        yield
        assert rest(sock).endswith(b"0\r\n\r\n")


@asynccontextmanager
async def deaf(where: Running) -> AsyncIterator[None]:
    """Asks for much, and reads nothing of it."""
    with connect(where, room=4096) as sock:
        sock.sendall(
            b"GET /queues/large/messages?content=base64 HTTP/1.1\r\nhost: localhost\r\n\r\n" * 12
        )
        hear(sock, b"HTTP/1.1 200 ")
        yield


@asynccontextmanager
async def worker(where: Running) -> AsyncIterator[None]:
    """A WebSocket with a message in hand."""
    scheme = "wss" if where.secure else "ws"
    tls = client_tls() if where.secure else None
    async with dial(f"{scheme}://localhost:{where.port}/ws", ssl=tls) as one:
        await one.done("subscribe", queue="q", mode="work", credit=1)
        await one.take(1)
        yield
        bye, code = await one.closed()
        assert bye is not None
        assert (code, bye["retry_after"]) == (1001, 1)


@asynccontextmanager
async def deaf_worker(where: Running) -> AsyncIterator[None]:
    """A WebSocket that says hello and takes work, on a socket of which nothing is read."""
    with connect(where) as sock:
        fields = (
            "host: localhost", "connection: upgrade", "upgrade: websocket",
            "sec-websocket-version: 13", "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==",
            f"sec-websocket-protocol: {JSON}",
        )  # fmt: skip
        sock.sendall(("\r\n".join(("GET /ws HTTP/1.1", *fields)) + "\r\n\r\n").encode())
        hear(sock, b"welcome")
        text = SUBSCRIBE.encode()
        sock.sendall(struct.pack("!BBI", 0x81, 0x80 | len(text), 0) + text)
        hear(sock, b"receipt")
        yield


@asynccontextmanager
async def h2_idle(where: Running) -> AsyncIterator[None]:
    async with client(where) as one:
        assert (await one.get("/health/live")).status == 200
        yield
        await until(one.lost.is_set)
        assert one.goaway == 0


@asynccontextmanager
async def h2_lease(where: Running) -> AsyncIterator[None]:
    async with client(where) as one:
        number = one.request("/queues/none/leases", "POST", WAIT)
        await one.get("/health/live")
        yield
        assert (await one.answer(number)).body == b"[]"
        await until(one.lost.is_set)
        assert one.goaway == 0


@asynccontextmanager
async def h2_half_body(where: Running) -> AsyncIterator[None]:
    async with client(where) as one:
        one.request("/messages", "POST", b"half", end=False)
        await one.get("/health/live")
        yield
        assert one.goaway == 0


@asynccontextmanager
async def h2_push(where: Running) -> AsyncIterator[None]:
    """A watcher to whom messages are pushed."""
    async with client(where) as one:
        number = one.request("/queues/q/events")
        await until(lambda: b"event: start" in one.answers[number].body)
        body = b'{"content": "pushed"}'
        kind = [(b"content-type", b"application/json")]
        await one.get("/queues/q/messages", method="POST", body=body, fields=kind)
        await until(lambda: one.pushed and one.pushed[0].done.is_set())
        yield
        answer = await one.answer(number)
        assert answer.reset is None
        assert b"retry: " in answer.body
        await until(one.lost.is_set)
        assert one.goaway == 0


@asynccontextmanager
async def h2_deaf(where: Running) -> AsyncIterator[None]:
    """Gives no window to an answer."""
    async with client(where, {4: 10}) as one:
        one.take = False
        number = one.request("/queues/large/messages")
        await until(lambda: one.answers[number].body)
        yield


@asynccontextmanager
async def h2_worker(where: Running) -> AsyncIterator[None]:
    async with client(where) as one, websocket(one, "/ws", JSON) as socket:
        await socket.send(ws.TextMessage(SUBSCRIBE))
        await until(lambda: b"receipt" in one.answers[socket.number].body)
        yield
        while not isinstance(event := await socket.receive(), ws.CloseConnection):
            pass
        assert event.code == 1001
        await until(one.lost.is_set)
        assert one.goaway == 0


@asynccontextmanager
async def h3_idle(where: Running) -> AsyncIterator[None]:
    async with visiting(where.port) as one:
        assert (await one.request("GET", "/health/live")).status == 200
        yield
        await until(lambda: one.ended is not None)
        assert one.ended is not None
        assert one.ended.error_code == 0x100  # H3_NO_ERROR


@asynccontextmanager
async def h3_lease(where: Running) -> AsyncIterator[None]:
    async with visiting(where.port) as one:
        number = one.open(request_head("POST", "/queues/none/leases"))
        one.send(number, WAIT, end=True)
        assert (await one.request("GET", "/health/live")).status == 200
        yield
        answer = await one.answer(number).wait()
        assert (answer.content, answer.reset) == (b"[]", None)


@asynccontextmanager
async def h3_sse(where: Running) -> AsyncIterator[None]:
    async with visiting(where.port) as one:
        number = one.open(request_head("GET", "/queues/q/events"), end=True)
        await one.answer(number).until(b"event: start")
        yield
        assert (await one.answer(number).wait()).reset is None


@asynccontextmanager
async def h3_half_body(where: Running) -> AsyncIterator[None]:
    async with visiting(where.port) as one:
        number = one.open(request_head("POST", "/messages"))
        one.send(number, b"half")
        assert (await one.request("GET", "/health/live")).status == 200
        yield


async def _work(socket: Any) -> None:
    socket.send(ws.TextMessage(SUBSCRIBE))
    heard = ""
    while "receipt" not in heard:
        event = await socket.next()
        assert isinstance(event, ws.TextMessage), event
        heard = event.data


async def _home(socket: Any) -> None:
    while not isinstance(event := await socket.next(), ws.CloseConnection):
        pass
    assert event.code == 1001


@asynccontextmanager
async def h3_worker(where: Running) -> AsyncIterator[None]:
    async with visiting(where.port) as one:
        socket = await one.websocket("/ws", [(b"sec-websocket-protocol", JSON.encode())])
        await _work(socket)
        yield
        await _home(socket)


@asynccontextmanager
async def webtransport(where: Running) -> AsyncIterator[None]:
    async with visiting(where.port, max_datagram_frame_size=65536) as one:
        socket = one.under(await one.session("/ws"))
        await _work(socket)
        yield
        await _home(socket)


POLITE: list[Guest] = [
    nobody, silent, newcomer, idle, half_head, lease, sse, ndjson, worker, deaf_worker,
    h2_idle, h2_lease, h2_push, h2_worker,
]  # fmt: skip
"""Those who hold nobody up, over clear text and TLS."""
TLS: list[Guest] = [half_shaken]
"""The same, over TLS alone."""
QUIC: list[Guest] = [h3_idle, h3_lease, h3_sse, h3_worker, webtransport]
"""The same, over UDP."""
RUDE: list[Guest] = [half_body, deaf, h2_half_body, h2_deaf]
"""Those who get the grace time, and are then cut."""
RUDE_QUIC: list[Guest] = [h3_half_body]
