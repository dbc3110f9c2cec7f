"""An HTTP/2 client on the h2 library that can also be rude, and a server to be rude to."""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import trustme
import uvicorn
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from supersoniq.servers.h1_websocket import Protocol as WebSockets
from supersoniq.servers.h2.limits import Limits
from supersoniq.servers.negotiate import ALPN, Negotiator, prepare
from tests import steady

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
T = TypeVar("T")

LIMITS = Limits(push_patience=0.5)


@functools.cache
def authority() -> trustme.CA:
    return trustme.CA()


@functools.cache
def server_tls() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority().issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


@functools.cache
def client_tls(*protocols: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority().configure_trust(context)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


async def until(ready: Callable[[], object], timeout: float = 30) -> None:
    """Wait for something to be true."""
    async with asyncio.timeout(timeout):
        while not ready():  # noqa: ASYNC110 - whatever it is
            await asyncio.sleep(0.002)


class Place(Protocol):
    """Where a server is."""

    @property
    def port(self) -> int: ...

    @property
    def secure(self) -> bool: ...


class Running:
    """A server that runs."""

    def __init__(self, server: uvicorn.Server, port: int, secure: bool) -> None:
        self.server = server
        self.port = port
        self.secure = secure

    @property
    def tasks(self) -> int:
        """Apps that have not ended."""
        return len(self.server.server_state.tasks)


@asynccontextmanager
async def serving(
    app: App, *, secure: bool = False, limits: Limits = LIMITS, grace: int = 2, **options: Any
) -> AsyncIterator[Running]:
    """Serve an app in this loop, until the block ends."""

    class Ours(Negotiator):
        pass

    Ours.limits = limits
    listener = socket.create_server(("127.0.0.1", 0))
    # Megabytes of kernel's buffers would only make tests of ours take longer.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    config = uvicorn.Config(
        app,
        http=Ours,
        ws=WebSockets,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=grace,
        ssl_context_factory=(lambda _config, _default: server_tls()) if secure else None,
        **options,
    )
    prepare(config)
    server = uvicorn.Server(config)
    task = asyncio.ensure_future(server._serve([listener]))
    await until(lambda: server.started)
    try:
        yield Running(server, listener.getsockname()[1], secure)
    finally:
        server.should_exit = True
        await asyncio.wait_for(task, grace + 30)
        listener.close()


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a test in the loop in which uvicorn would, with a clock that stalls do not move."""
    return steady.run(main(), steady.SteadyUv)


class Answer:
    """What has arrived on one stream."""

    def __init__(self) -> None:
        self.fields: dict[bytes, bytes] = {}
        self.body = bytearray()
        self.trailers: dict[bytes, bytes] | None = None
        self.interim: list[bytes] = []
        self.reset: int | None = None
        self.request: dict[bytes, bytes] = {}
        """Of a pushed one."""
        self.head = asyncio.Event()
        self.done = asyncio.Event()
        self.stirred = asyncio.Event()

    @property
    def status(self) -> int:
        return int(self.fields.get(b":status", b"0"))


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        config = h2.config.H2Configuration(client_side=True, header_encoding=None)
        config.validate_outbound_headers = False
        config.normalize_outbound_headers = False
        self.h2 = h2.connection.H2Connection(config)
        self.answers: dict[int, Answer] = {}
        self.promises: dict[int, Answer] = {}
        self.promised_open: set[int] = set()
        self.most_promised = 0
        self.goaway: int | None = None
        self._begun = b""
        self.lost = asyncio.Event()
        self.settled = asyncio.Event()
        self.stirred = asyncio.Event()
        """Set whenever something has come."""
        self.pongs = 0
        self.pump: asyncio.Task[None] | None = None
        self.take = True
        """Whether to give the windows back."""
        self.refuse: frozenset[int] = frozenset()
        """Which promises to refuse: 0 is the first."""

    @property
    def pushed(self) -> list[Answer]:
        """The pushed answers, in the order of their promises."""
        return list(self.promises.values())

    def flush(self) -> None:
        if data := self.h2.data_to_send():
            self.writer.write(data)

    async def _read(self) -> None:
        try:
            while data := await self.reader.read(65536):
                for event in self.h2.receive_data(self._without_goaway(data)):
                    self._handle(event)
                self.flush()
                self.stirred.set()
        except (ConnectionError, h2.exceptions.ProtocolError, ssl.SSLError):
            pass
        finally:
            self.lost.set()
            self.stirred.set()
            for answer in self.answers.values():
                answer.done.set()
                answer.stirred.set()

    def _without_goaway(self, data: bytes) -> bytes:
        """The frames that are whole now. h2 would hear nothing more after a GOAWAY."""
        self._begun += data
        kept, at = b"", 0
        while len(self._begun) - at >= 9:
            size = int.from_bytes(self._begun[at : at + 3], "big") + 9
            if len(self._begun) - at < size:
                break
            frame = self._begun[at : at + size]
            at += size
            if frame[3] == 7:
                self.goaway = int.from_bytes(frame[13:17], "big")
            else:
                kept += frame
        self._begun = self._begun[at:]
        return kept

    def _answer(self, number: int | None) -> Answer:
        return self.answers.setdefault(number or 0, Answer())

    def _handle(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RemoteSettingsChanged):
            self.settled.set()
        elif isinstance(event, h2.events.PingAckReceived):
            self.pongs += 1
        elif isinstance(event, h2.events.PushedStreamReceived):
            answer = self._answer(event.pushed_stream_id)
            answer.request = dict(event.headers or ())
            number = event.pushed_stream_id or 0
            if len(self.promises) in self.refuse:
                # Not by h2, for which the stream may be over: more has arrived with the promise.
                answer.reset = int(ErrorCodes.REFUSED_STREAM)
                head = bytes((0, 0, 4, 3, 0)) + number.to_bytes(4, "big")
                self.writer.write(head + answer.reset.to_bytes(4, "big"))
            self.promises[number] = answer
            self.promised_open.add(event.pushed_stream_id or 0)
            self.most_promised = max(self.most_promised, len(self.promised_open))
        elif isinstance(
            event,
            h2.events.ResponseReceived
            | h2.events.InformationalResponseReceived
            | h2.events.TrailersReceived
            | h2.events.DataReceived
            | h2.events.StreamEnded
            | h2.events.StreamReset,
        ):
            self._on_stream(event, self._answer(event.stream_id))

    def _on_stream(self, event: Any, answer: Answer) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            answer.fields = dict(event.headers or ())
            answer.head.set()
        elif isinstance(event, h2.events.InformationalResponseReceived):
            answer.interim.append(dict(event.headers or ())[b":status"])
        elif isinstance(event, h2.events.TrailersReceived):
            answer.trailers = dict(event.headers or ())
        elif isinstance(event, h2.events.DataReceived):
            answer.body += event.data or b""
            if self.take and event.flow_controlled_length:
                self.h2.acknowledge_received_data(
                    event.flow_controlled_length, event.stream_id or 0
                )
        else:
            if isinstance(event, h2.events.StreamReset):
                answer.reset = int(event.error_code or 0)
            answer.done.set()
            self.promised_open.discard(event.stream_id)
        answer.stirred.set()

    def request(
        self,
        path: str = "/",
        method: str = "GET",
        body: bytes | None = None,
        fields: list[tuple[bytes, bytes]] | None = None,
        *,
        end: bool = True,
    ) -> int:
        """Begin a request; its whole body is sent if it is small."""
        head = [
            (b":method", method.encode()),
            (b":scheme", b"http"),
            (b":authority", b"localhost"),
            (b":path", path.encode()),
            *(fields or []),
        ]
        return self.send_head(head, body, end=end)

    def send_head(
        self, head: list[tuple[bytes, bytes]], body: bytes | None = None, *, end: bool = True
    ) -> int:
        number = self.h2.get_next_available_stream_id()
        self._answer(number)
        self.h2.send_headers(number, head, end_stream=end and body is None)
        if body is not None:
            for at in range(0, len(body), 16384):
                self.h2.send_data(number, body[at : at + 16384])
            if end:
                self.h2.end_stream(number)
        self.flush()
        return number

    async def answer(self, number: int, timeout: float = 30) -> Answer:
        """The whole answer."""
        answer = self._answer(number)
        await asyncio.wait_for(answer.done.wait(), timeout)
        return answer

    async def get(self, path: str = "/", *, timeout: float = 30, **options: Any) -> Answer:
        """Ask, and wait for the whole answer."""
        return await self.answer(self.request(path, **options), timeout)

    async def upload(
        self, number: int, data: bytes, *, end: bool = True, deaf: bool = False
    ) -> int:
        """Send a body as there is room. Gives how much went out before the stream was over.

        A deaf client goes on when it has its answer, until it is reset.
        """
        sent = 0
        answer = self._answer(number)
        while sent < len(data) and (answer.reset is None if deaf else not answer.done.is_set()):
            window = min(self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size)
            if window <= 0:
                await asyncio.sleep(0.002)
                continue
            piece = data[sent : sent + window]
            sent += len(piece)
            self.h2.send_data(number, piece, end_stream=end and sent == len(data))
            self.flush()
            await self.writer.drain()
        return sent


@asynccontextmanager
async def client(
    where: Place,
    settings: dict[int, int] | None = None,
    *,
    raw: bool = False,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Client]:
    """Connect, say hello, and read what comes; a raw one says and reads nothing by itself."""
    if where.secure and tls is None:
        tls = client_tls(*ALPN)
    name = "localhost" if where.secure else None
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", where.port, ssl=tls, server_hostname=name, limit=1 << 20
    )
    one = Client(reader, writer)
    try:
        for code, value in (settings or {}).items():
            one.h2.local_settings[SettingCodes(code)] = value
            one.h2.local_settings.acknowledge()
        if not raw:
            one.h2.initiate_connection()
            one.flush()
            one.pump = asyncio.ensure_future(one._read())
            await asyncio.wait_for(one.settled.wait(), 30)
        yield one
    finally:
        if one.pump is not None:
            one.pump.cancel()
            await asyncio.wait((one.pump,))
        writer.transport.abort()
        await asyncio.sleep(0)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the body, piece by piece."""
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        more = message["more_body"]
        await send({"type": "http.response.body", "body": message["body"], "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def say(send: Send, body: bytes, status: int = 200, **start: Any) -> None:
    """A whole answer."""
    fields = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": fields, **start})
    await send({"type": "http.response.body", "body": body})
