"""The ways in: a connection for requests over each HTTP, and a raw WebSocket over each carrier.

They do what an honest client does, and on request the contrary: a ``Wire`` can stop to read, and
everything here hands out what lies below it. Certificates are not looked at.
"""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

from h2.settings import SettingCodes

from benchmarks.abuse import quic
from tests.servers.http2 import Client

__all__ = ["CARRIERS", "Ask", "Wire", "connect", "http1", "http2", "http3", "over2", "tls", "wire"]

Ask = Callable[..., Awaitable[tuple[int, bytes]]]
"""Called with a method, a path and a body; gives the status and the answer."""

HOST = "127.0.0.1"
CARRIERS = ("h1", "h2", "h3", "wt")
"""What a WebSocket can be carried by; the last is a stream of a WebTransport session."""


def tls(*protocols: str) -> ssl.SSLContext:
    """A client that believes everybody."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


async def connect(
    port: int, *protocols: str, receive_buffer: int | None = None, host: str = HOST
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A TLS connection.

    Args:
        port: the server's.
        protocols: offered by ALPN.
        receive_buffer: bytes that the kernel may keep for us.
        host: our own address.
    """
    sock = socket.socket()
    sock.setblocking(False)
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.bind((host, 0))
    await asyncio.get_running_loop().sock_connect(sock, (HOST, port))
    limit = 1 << 20
    if receive_buffer is not None:
        limit = receive_buffer
    return await asyncio.open_connection(
        sock=sock, ssl=tls(*protocols), server_hostname="localhost", limit=limit
    )


def drop(writer: asyncio.StreamWriter) -> None:
    """Be gone, with a reset."""
    writer.transport.abort()


def deafen(writer: asyncio.StreamWriter) -> None:
    """Read nothing more."""
    writer.transport.pause_reading()  # type: ignore[attr-defined]


def cut(writer: asyncio.StreamWriter) -> Callable[[], bool]:
    """Whether the server has ended a connection that is not read.

    We cannot hear of it: what is not read stands before the end. So its own socket is looked at.
    """
    ours, theirs = (writer.get_extra_info(name)[1] for name in ("sockname", "peername"))
    wanted = f":{theirs:04X}", f":{ours:04X}", "01"

    def over() -> bool:
        with open("/proc/net/tcp") as lines:
            found = (line.split()[1:4] for line in lines)
            return not any(
                local.endswith(wanted[0]) and remote.endswith(wanted[1]) and state == wanted[2]
                for local, remote, state in found
            )

    return over


@contextmanager
def dripping(write: Callable[[bytes], object], drop: bytes) -> Iterator[None]:
    """Send a little, every second."""

    async def drip() -> None:
        while True:
            with suppress(OSError):
                write(drop)
            await asyncio.sleep(1)

    task = asyncio.ensure_future(drip())
    try:
        yield
    finally:
        task.cancel()


@contextmanager
def hearing(reader: asyncio.StreamReader, statuses: list[int]) -> Iterator[None]:
    """Put down the status of the answer, when it comes; 0 if the connection ends without one."""

    async def hear() -> None:
        try:
            statuses.append((await answer1(reader))[0])
        except OSError:
            statuses.append(0)

    task = asyncio.ensure_future(hear())
    try:
        yield
    finally:
        task.cancel()


@asynccontextmanager
async def http1(port: int) -> AsyncIterator[Ask]:
    """Requests, one after the other, on one connection of HTTP/1.1."""
    reader, writer = await connect(port, "http/1.1")

    async def ask(method: str, path: str, body: str = "") -> tuple[int, bytes]:
        data = body.encode()
        writer.write(head1(method, path, f"content-length: {len(data)}") + data)
        await writer.drain()
        return await answer1(reader)

    try:
        yield ask
    finally:
        drop(writer)


def head1(method: str, path: str, *fields: str) -> bytes:
    """The head of a request of HTTP/1.1."""
    lines = [f"{method} {path} HTTP/1.1", "host: localhost", "content-type: application/json"]
    return "\r\n".join((*lines, *fields, "", "")).encode("latin-1")


async def answer1(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The next whole answer of a connection of HTTP/1.1.

    Raises:
        OSError: there is none.
    """
    try:
        async with asyncio.timeout(60):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        _, _, length = head.partition("content-length:")
        body = await reader.readexactly(int(length.split("\r\n")[0]) if length else 0)
    except EOFError as error:
        raise ConnectionResetError("the connection ended before an answer") from error
    return int(head.split()[1]), body


@asynccontextmanager
async def over2(
    port: int, settings: dict[int, int] | None = None, **options: Any
) -> AsyncIterator[Client]:
    """A connection of HTTP/2, which has said hello and reads what comes."""
    reader, writer = await connect(port, "h2", **options)
    one = Client(reader, writer)
    for code, value in (settings or {}).items():
        one.h2.local_settings[SettingCodes(code)] = value
        one.h2.local_settings.acknowledge()
    one.h2.initiate_connection()
    one.flush()
    one.pump = asyncio.ensure_future(one._read())
    try:
        await asyncio.wait_for(one.settled.wait(), 60)
        yield one
    finally:
        one.pump.cancel()
        await asyncio.wait((one.pump,))
        drop(writer)


@asynccontextmanager
async def http2(port: int) -> AsyncIterator[Ask]:
    """Requests on one connection of HTTP/2."""
    async with over2(port) as one:

        async def ask(
            method: str, path: str, body: str = "", prefer: str = ""
        ) -> tuple[int, bytes]:
            fields = [(b"content-type", b"application/json"), (b"prefer", prefer.encode())]
            number = one.request(path, method, body.encode() or None, fields)
            answer = await one.answer(number, 60)
            del one.answers[number]
            if not answer.status:
                raise ConnectionResetError(f"no answer: reset {answer.reset}, {one.goaway}")
            return answer.status, bytes(answer.body)

        yield ask


@asynccontextmanager
async def http3(port: int) -> AsyncIterator[Ask]:
    """Requests on one connection of HTTP/3."""
    async with quic.visiting(port) as one:

        async def ask(method: str, path: str, body: str = "") -> tuple[int, bytes]:
            fields = [(b"content-type", b"application/json")]
            head = [*quic.request_head(method, path), *fields]
            stream_id = one.open(head, end=not body)
            if body:
                one.send(stream_id, body.encode(), end=True)
            answer = await one.answer(stream_id).wait(60)
            del one.answers[stream_id]
            if not answer.status:
                raise ConnectionResetError(f"no answer: reset {answer.reset}, {one.ended}")
            return answer.status, answer.content

        try:
            yield ask
        finally:
            one.close()
            one.transmit()


class Wire:
    """The bytes of one WebSocket, after its handshake.

    Args:
        write: takes bytes, and waits until they may have left.
        received: what has come, and was not taken away.
        over: whether the other side has ended or cut it.
        deafen: makes it read nothing more.
    """

    def __init__(
        self,
        write: Callable[[bytes], Awaitable[None]],
        received: Callable[[], bytearray],
        over: Callable[[], bool],
        deafen: Callable[[], None],
    ) -> None:
        self.write = write
        self.deafen = deafen
        self.over = over
        self._received = received

    @property
    def received(self) -> bytearray:
        """What has come."""
        return self._received()

    async def until(self, ready: Callable[[], object], patience: float = 60) -> None:
        """Wait for something to be so, or the end.

        Raises:
            TimeoutError: it is neither.
        """
        async with asyncio.timeout(patience):
            while not ready() and not self.over():  # noqa: ASYNC110 - four kinds of wires
                await asyncio.sleep(0.01)


@asynccontextmanager
async def wire(
    carrier: str, port: int, path: str = "/ws", protocol: bytes = b"supersoniq.v1.json"
) -> AsyncIterator[Wire]:
    """A WebSocket over one of ``CARRIERS``."""
    kinds = {"h1": _wire1, "h2": _wire2, "h3": _wire3, "wt": _wire_under}
    fields = [(b"sec-websocket-extensions", b"permessage-deflate")]
    if protocol:
        fields.append((b"sec-websocket-protocol", protocol))
    async with kinds[carrier](port, path, fields) as made:
        yield made


@asynccontextmanager
async def _wire1(port: int, path: str, more: quic.Fields) -> AsyncIterator[Wire]:
    reader, writer = await connect(port, "http/1.1", receive_buffer=16384)
    key = base64.b64encode(os.urandom(16)).decode()
    fields = (
        *("upgrade: websocket", "connection: upgrade", "sec-websocket-version: 13"),
        f"sec-websocket-key: {key}",
        *(f"{name.decode()}: {value.decode()}" for name, value in more),
    )
    writer.write(head1("GET", path, *fields))
    answer = await reader.readuntil(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 101"), answer
    received = bytearray()

    async def listen() -> None:
        while data := await reader.read(65536):
            received.extend(data)

    listening = asyncio.ensure_future(listen())

    async def write(data: bytes) -> None:
        writer.write(data)
        await writer.drain()

    def deafen() -> None:
        listening.cancel()
        writer.transport.pause_reading()  # type: ignore[attr-defined]

    try:
        yield Wire(
            write,
            lambda: received,
            lambda: listening.done() or writer.transport.is_closing(),
            deafen,
        )
    finally:
        listening.cancel()
        await asyncio.wait((listening,))
        drop(writer)


@asynccontextmanager
async def _wire2(port: int, path: str, more: quic.Fields) -> AsyncIterator[Wire]:
    async with over2(port) as one:
        head = [
            (b":method", b"CONNECT"),
            (b":protocol", b"websocket"),
            (b":scheme", b"https"),
            (b":authority", b"localhost"),
            (b":path", path.encode()),
            (b"sec-websocket-version", b"13"),
            *more,
        ]
        number = one.send_head(head, end=False)
        answer = one.answers[number]
        await asyncio.wait_for(answer.head.wait(), 60)
        assert answer.status == 200, answer.fields

        async def write(data: bytes) -> None:
            if await one.upload(number, data, end=False) < len(data):
                raise ConnectionResetError("the stream is over")

        def deafen() -> None:
            one.take = False

        over = lambda: answer.done.is_set() or one.lost.is_set()  # noqa: E731
        yield Wire(write, lambda: answer.body, over, deafen)


@asynccontextmanager
async def _wire3(port: int, path: str, more: quic.Fields) -> AsyncIterator[Wire]:
    async with quic.visiting(port) as one:
        line = await one.websocket(path, more)
        assert line.answer.status == 200, line.answer.fields
        yield _quic_wire(one, line.stream_id, one.send)


@asynccontextmanager
async def _wire_under(port: int, path: str, more: quic.Fields) -> AsyncIterator[Wire]:
    async with quic.visiting(port, max_datagram_frame_size=65536) as one:
        session = await one.session(path, more)
        assert one.answer(session).status == 200, one.answer(session).fields
        line = one.under(session)
        yield _quic_wire(one, line.stream_id, one.raw)


def _quic_wire(one: Any, stream_id: int, put: Callable[[int, bytes], None]) -> Wire:
    answer = one.answer(stream_id)

    def over() -> bool:
        return answer.over.is_set() or answer.stopped is not None or one.ended is not None

    async def write(data: bytes) -> None:
        for at in range(0, len(data), 65536):
            if over():
                raise ConnectionResetError("the stream is over")
            put(stream_id, data[at : at + 65536])
            await quic.drained(one, stream_id, over)

    return Wire(write, lambda: answer.received, over, one.never_read)
