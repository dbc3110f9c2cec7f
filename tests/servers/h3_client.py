"""A server and a client of HTTP/3 in one loop; the client sends whatever it is told to."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import FrameType, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived, WebTransportStreamDataReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import (
    ConnectionTerminated,
    QuicEvent,
    StopSendingReceived,
    StreamDataReceived,
    StreamReset,
)
from wsproto import events as ws
from wsproto.connection import Connection, ConnectionType

from supersoniq.servers.devcert import dev_certificate
from supersoniq.servers.h3 import H3Server, Limits, udp_socket

Fields = list[tuple[bytes, bytes]]


@asynccontextmanager
async def serving(app: Any, tmp_path: Path, **limits: Any) -> AsyncIterator[H3Server]:
    """An app over HTTP/3 on a free port. Nothing may have escaped into the loop in the end."""
    escaped: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: escaped.append(context))
    certificate = dev_certificate(tmp_path / "tls")
    server = H3Server(app, certificate.certfile, certificate.keyfile, limits=Limits(**limits))
    await server.start(udp_socket("127.0.0.1", 0, socket.AF_INET))
    try:
        yield server
    finally:
        await server.stop(0.2)
    assert not escaped


async def until(condition: Callable[[], bool], timeout: float = 30) -> None:
    """Wait for something that will come true."""
    for _ in range(round(timeout * 100)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError


class Answer:
    """What has come on one stream."""

    def __init__(self) -> None:
        self.fields: dict[bytes, bytes] = {}
        self.trailers: dict[bytes, bytes] = {}
        self.received = bytearray()
        self.reset: int | None = None
        self.stopped: int | None = None
        self.over = asyncio.Event()
        self.news = asyncio.Event()

    @property
    def content(self) -> bytes:
        return bytes(self.received)

    @property
    def status(self) -> int:
        return int(self.fields.get(b":status", b"0"))

    async def wait(self, timeout: float = 30) -> Answer:
        await asyncio.wait_for(self.over.wait(), timeout)
        return self

    async def until(self, text: bytes, timeout: float = 30) -> Answer:
        async with asyncio.timeout(timeout):
            while text not in self.received:
                self.news.clear()
                await self.news.wait()
        return self


class Client(QuicConnectionProtocol):
    """A connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.http = H3Connection(
            self._quic, self._quic.configuration.max_datagram_frame_size is not None
        )
        self.answers: dict[int, Answer] = {}
        self.ended: ConnectionTerminated | None = None

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, ConnectionTerminated):
            self.ended = event
            for answer in self.answers.values():
                answer.over.set()
        if isinstance(event, StreamReset | StopSendingReceived):
            answer = self.answer(event.stream_id)
            if isinstance(event, StreamReset):
                answer.reset = event.error_code
                answer.over.set()
            else:
                answer.stopped = event.error_code
        if isinstance(event, StreamDataReceived) and event.stream_id % 4 == 0:
            self.answer(event.stream_id)
        for each in self.http.handle_event(event):
            if isinstance(each, HeadersReceived | DataReceived | WebTransportStreamDataReceived):
                answer = self.answer(each.stream_id)
                if not isinstance(each, HeadersReceived):
                    answer.received += each.data
                elif answer.fields:
                    answer.trailers.update(each.headers)
                else:
                    answer.fields.update(each.headers)
                answer.news.set()
                if each.stream_ended:
                    answer.over.set()

    def answer(self, stream_id: int) -> Answer:
        return self.answers.setdefault(stream_id, Answer())

    def open(self, fields: Fields, *, end: bool = False) -> int:
        """Begin a request."""
        stream_id = self._quic.get_next_available_stream_id()
        self.http.send_headers(stream_id, fields, end)
        self.answer(stream_id)
        self.transmit()
        return stream_id

    def send(self, stream_id: int, data: bytes, *, end: bool = False) -> None:
        self.http.send_data(stream_id, data, end)
        self.transmit()

    def raw(self, stream_id: int, data: bytes, *, end: bool = False) -> None:
        """Bytes on a stream, as they are."""
        self._quic.send_stream_data(stream_id, data, end)
        self.transmit()

    def reset(self, stream_id: int, code: int = 0x10C) -> None:
        self._quic.reset_stream(stream_id, code)
        self.transmit()

    def stop(self, stream_id: int, code: int = 0x10C) -> None:
        self._quic.stop_stream(stream_id, code)
        self.transmit()

    def never_read(self) -> None:
        """Give the server no more room on any stream than it has from the start."""
        quic: Any = self._quic
        quic._write_stream_limits = lambda **_: None

    def never_stop(self) -> None:
        """Send on, whatever STOP_SENDING says."""
        quic: Any = self._quic
        handlers = quic._QuicConnection__frame_handlers
        epochs = handlers[0x05][1]
        handlers[0x05] = (lambda _c, _t, buf: (buf.pull_uint_var(), buf.pull_uint_var()), epochs)

    def may_open(self) -> bool:
        """Whether the server lets it begin another request."""
        stream_id = self._quic.get_next_available_stream_id()
        return stream_id // 4 < self._quic._remote_max_streams_bidi

    async def request(
        self, method: str, path: str, body: bytes = b"", fields: Fields | None = None
    ) -> Answer:
        head = request_head(method, path) + (fields or [])
        stream_id = self.open(head, end=not body)
        if body:
            self.send(stream_id, body, end=True)
        return await self.answer(stream_id).wait()

    async def session(self, path: str, fields: Fields | None = None) -> int:
        """A WebTransport session."""
        head = request_head("CONNECT", path)
        head[1:1] = [(b":protocol", b"webtransport")]
        stream_id = self.open([*head, *(fields or [])])
        async with asyncio.timeout(30):
            while not self.answer(stream_id).fields:
                self.answer(stream_id).news.clear()
                await self.answer(stream_id).news.wait()
        return stream_id

    def under(self, session_id: int) -> Socket:
        """A stream of a session."""
        stream_id = self.http.create_webtransport_stream(session_id)
        # aioquic takes what comes back for HTTP unless it is told.
        with self.http._get_or_create_stream(stream_id) as stream:
            stream.frame_type, stream.session_id = FrameType.WEBTRANSPORT_STREAM, session_id
        self.transmit()
        return Socket(self, stream_id, self.raw)

    async def websocket(self, path: str, fields: Fields | None = None) -> Socket:
        head = request_head("CONNECT", path)
        head[1:1] = [(b":protocol", b"websocket")]
        stream_id = self.open([*head, (b"sec-websocket-version", b"13"), *(fields or [])])
        answer = self.answer(stream_id)
        async with asyncio.timeout(30):
            while not answer.fields:
                answer.news.clear()
                await answer.news.wait()
        return Socket(self, stream_id)


class Socket:
    """The client's end of a WebSocket."""

    def __init__(self, client: Client, stream_id: int, put: Any = None) -> None:
        self.put = put or client.send
        self.stream_id = stream_id
        self.answer = client.answer(stream_id)
        self.frames = Connection(ConnectionType.CLIENT)

    def send(self, event: ws.Event, *, end: bool = False) -> None:
        self.put(self.stream_id, self.frames.send(event), end=end)

    async def next(self) -> ws.Event:
        async with asyncio.timeout(30):
            while True:
                if self.answer.received:
                    self.frames.receive_data(self.answer.content)
                    self.answer.received.clear()
                for event in self.frames.events():
                    return event
                self.answer.news.clear()
                await self.answer.news.wait()


def request_head(method: str, path: str) -> Fields:
    return [
        (b":method", method.encode()),
        (b":scheme", b"https"),
        (b":authority", b"localhost"),
        (b":path", path.encode("latin-1")),
    ]


@asynccontextmanager
async def visiting(
    server: H3Server | int, host: str = "127.0.0.1", local: str | None = None, **options: Any
) -> AsyncIterator[Client]:
    """A connection to a server, from an address; nothing is asked of the certificate."""
    port = server if isinstance(server, int) else server.port
    configuration = QuicConfiguration(
        alpn_protocols=["h3"], verify_mode=ssl.CERT_NONE, idle_timeout=60.0, **options
    )
    transport, client = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Client(QuicConnection(configuration=configuration)), (local or host, 0)
    )
    try:
        client.connect((host, port, 0, 0) if ":" in host else (host, port))
        # Not by wait_for, which in Python 3.11 makes a task of it: aioquic never wakes who begins
        # to wait after the handshake, and under uvloop that can be over before a new task's turn.
        async with asyncio.timeout(30):
            await client.wait_connected()
        yield client
        client.close()
    finally:
        if client._timer is not None:
            client._timer.cancel()
        transport.close()


async def honest(server: H3Server | int) -> None:
    """Somebody else, on a new connection, is served."""
    async with visiting(server) as client:
        assert (await client.request("GET", "/honest")).status == 200
