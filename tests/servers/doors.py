"""Every door of one real server, each asked in the same way: for what must hold at all of them.

HTTP/1.1, HTTP/2 and HTTP/3, a WebSocket over each of them, and WebTransport, all with TLS on one
port. A door that loses its connection, because of what was sent, makes another.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import cache, partial
from typing import Any, NamedTuple

from h2.exceptions import H2Error
from h2.settings import SettingCodes
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from supersoniq.backends.memory import MemoryBackend
from supersoniq.servers.h3.webtransport import FIRST_CODE
from tests.backends.served import House, tls
from tests.servers import h3_client, http2
from tests.servers.talk import PATIENCE, Frame, Talk, either

__all__ = ["HTTP", "SOCKETS", "Answer", "Door", "Doors", "Frame", "Pipe", "doors"]

HTTP = ("HTTP/1.1", "HTTP/2", "HTTP/3")
SOCKETS = ("WebSocket", "WebSocket, HTTP/2", "WebSocket, HTTP/3", "WebTransport")
PROTOCOL = "supersoniq.v1.json"


class Answer(NamedTuple):
    """What came back; of a stream, what came within the time."""

    status: int
    fields: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


LOST = Answer(0, {}, b"")


class Door(ABC):
    """A way of asking. Tokens travel in ``Authorization``."""

    @abstractmethod
    async def ask(
        self, method: str, path: str, token: str | None, body: Any = None, **fields: str
    ) -> Answer:
        """Make a request and take its whole answer; ``LOST`` if the connection is lost instead."""

    @asynccontextmanager
    async def stream(self, path: str, token: str, **fields: str) -> AsyncIterator[Pipe]:
        """Begin a request whose answer goes on, and leave it at the end."""
        raise NotImplementedError
        yield


class Pipe:
    """What comes of a stream."""

    def __init__(self) -> None:
        self.body = bytearray()
        self.ended = False
        self.stirred = asyncio.Event()

    async def until(self, text: bytes) -> None:
        """Wait for a text."""
        async with asyncio.timeout(PATIENCE):
            while text not in self.body:
                assert not self.ended, bytes(self.body)
                self.stirred.clear()
                await self.stirred.wait()

    async def end(self) -> bytes:
        """All that came, once it has ended."""
        async with asyncio.timeout(PATIENCE):
            while not self.ended:
                self.stirred.clear()
                await self.stirred.wait()
        return bytes(self.body)


def _lines(token: str | None, body: Any, fields: dict[str, str]) -> list[tuple[bytes, bytes]]:
    given = [(name.replace("_", "-"), value) for name, value in fields.items()]
    if token is not None:
        given.append(("authorization", f"Bearer {token}"))
    if body is not None:
        given.append(("content-type", "application/json"))
    return [(name.encode(), value.encode("utf-8", "surrogatepass")) for name, value in given]


class Http1(Door):
    """One connection after the other."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._idle: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._idle is not None:
            found, self._idle = self._idle, None
            if not found[1].is_closing() and not found[0].at_eof():
                return found
        trust = trusting("http/1.1")
        return await asyncio.open_connection("localhost", self.port, ssl=trust, limit=1 << 22)

    async def ask(
        self, method: str, path: str, token: str | None, body: Any = None, **fields: str
    ) -> Answer:
        reader, writer = await self._connect()
        try:
            async with asyncio.timeout(PATIENCE):
                self._send(writer, method, path, _lines(token, body, fields), body)
                status, told = await self._head(reader)
                size = int(told.get("content-length", "0"))
                raw = await reader.readexactly(size) if method != "HEAD" else b""
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            writer.transport.abort()
            return LOST
        if told.get("connection") == "close" or "transfer-encoding" in told or status == 101:
            writer.transport.abort()
        else:
            self.close()
            self._idle = reader, writer
        return Answer(status, told, raw)

    @asynccontextmanager
    async def stream(self, path: str, token: str, **fields: str) -> AsyncIterator[Pipe]:
        reader, writer = await self._connect()
        self._send(writer, "GET", path, _lines(token, None, fields), None)
        status, _ = await self._head(reader)
        assert status == 200, status
        pipe = Pipe()

        async def pump() -> None:
            with suppress(ConnectionError, ssl.SSLError):
                while data := await reader.read(65536):
                    pipe.body += data
                    pipe.stirred.set()
                    if pipe.body.endswith(b"0\r\n\r\n"):
                        break
            pipe.ended = True
            pipe.stirred.set()

        task = asyncio.ensure_future(pump())
        try:
            yield pipe
        finally:
            task.cancel()
            writer.transport.abort()
            await asyncio.sleep(0)

    def _send(
        self,
        writer: asyncio.StreamWriter,
        method: str,
        path: str,
        fields: list[tuple[bytes, bytes]],
        body: Any,
    ) -> None:
        raw = b"" if body is None else json.dumps(body).encode()
        head = [b"%s %s HTTP/1.1" % (method.encode(), path.encode()), b"host: localhost"]
        head += [b"%s: %s" % field for field in fields]
        if body is not None:
            head.append(b"content-length: %d" % len(raw))
        writer.write(b"\r\n".join([*head, b"", raw]))

    async def _head(self, reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
        found = (line.partition(":") for line in lines)
        return int(first.split()[1]), {name.lower(): value.strip() for name, _, value in found}

    def close(self) -> None:
        if self._idle is not None:
            self._idle[1].transport.abort()


class Http2(Door):
    """Streams of one connection."""

    def __init__(self, port: int, stack: AsyncExitStack) -> None:
        self._port, self._stack, self._lock = port, stack, asyncio.Lock()
        self._one: http2.Client | None = None

    async def one(self) -> http2.Client:
        async with self._lock:
            if self._one is None or self._one.lost.is_set() or self._one.goaway is not None:
                place = http2.Running(None, self._port, True)  # type: ignore[arg-type]
                here = http2.client(place, {SettingCodes.ENABLE_PUSH: 0}, tls=trusting("h2"))
                self._one = await self._stack.enter_async_context(here)
                # A header of a megabyte would take this library a minute in Huffman's code.
                encoder = self._one.h2.encoder
                encoder.encode = partial(encoder.encode, huffman=False)  # type: ignore[method-assign]
            return self._one

    async def ask(
        self, method: str, path: str, token: str | None, body: Any = None, **fields: str
    ) -> Answer:
        one = await self.one()
        raw = None if body is None else json.dumps(body).encode()
        try:
            number = one.request(path, method, raw, _lines(token, body, fields))
        except H2Error:
            one.writer.transport.abort()
            return LOST
        answer = await one.answer(number, PATIENCE)
        told = {name.decode(): value.decode("latin-1") for name, value in answer.fields.items()}
        return Answer(answer.status, told, bytes(answer.body))

    @asynccontextmanager
    async def stream(self, path: str, token: str, **fields: str) -> AsyncIterator[Pipe]:
        one = await self.one()
        number = one.request(path, "GET", None, _lines(token, None, fields))
        answer = one.answers[number]
        await asyncio.wait_for(answer.head.wait(), PATIENCE)
        assert answer.status == 200, answer.status
        async with _followed(answer.body, answer.stirred, answer.done) as pipe:
            yield pipe
        with suppress(H2Error):
            one.h2.reset_stream(number, 8)
            one.flush()


class Http3(Door):
    """Streams of one connection."""

    def __init__(self, port: int, stack: AsyncExitStack) -> None:
        self._port, self._stack, self._lock = port, stack, asyncio.Lock()
        self._one: h3_client.Client | None = None

    async def one(self) -> h3_client.Client:
        async with self._lock:
            if self._one is None or self._one.ended is not None:
                here = h3_client.visiting(self._port, max_datagram_frame_size=65536)
                self._one = await self._stack.enter_async_context(here)
            return self._one

    async def ask(
        self, method: str, path: str, token: str | None, body: Any = None, **fields: str
    ) -> Answer:
        one = await self.one()
        raw = b"" if body is None else json.dumps(body).encode()
        head = h3_client.request_head(method, path) + _lines(_cut(token), body, fields)
        stream = one.open(head, end=not raw)
        if raw:
            one.send(stream, raw, end=True)
        answer = await one.answer(stream).wait(PATIENCE)
        told = {name.decode(): value.decode("latin-1") for name, value in answer.fields.items()}
        return Answer(answer.status, told, answer.content)

    @asynccontextmanager
    async def stream(self, path: str, token: str, **fields: str) -> AsyncIterator[Pipe]:
        one = await self.one()
        head = h3_client.request_head("GET", path) + _lines(token, None, fields)
        stream = one.open(head, end=True)
        answer = one.answer(stream)
        await answer.until(b"start")
        assert answer.status == 200, answer.status
        async with _followed(answer.received, answer.news, answer.over) as pipe:
            yield pipe
        with suppress(ValueError, AssertionError):
            one.stop(stream)


@asynccontextmanager
async def _followed(
    body: bytearray, news: asyncio.Event, over: asyncio.Event
) -> AsyncIterator[Pipe]:
    """A stream of a connection that is read by somebody else."""
    pipe = Pipe()
    pipe.body = body

    async def watch() -> None:
        while not over.is_set():
            news.clear()
            done, _ = await asyncio.wait(
                {
                    asyncio.ensure_future(news.wait()),
                    (ending := asyncio.ensure_future(over.wait())),
                },
                return_when=asyncio.FIRST_COMPLETED,
            )
            pipe.stirred.set()
            if ending not in done:
                ending.cancel()
        pipe.ended = True
        pipe.stirred.set()

    task = asyncio.ensure_future(watch())
    try:
        yield pipe
    finally:
        task.cancel()


class Clients:
    """A client of each carrier."""

    def __init__(self, port: int, stack: AsyncExitStack) -> None:
        self.http1 = Http1(port)
        self.http2 = Http2(port, stack)
        self.http3 = Http3(port, stack)


class Doors(NamedTuple):
    """The doors of one server. WebSockets have connections of their own."""

    house: House
    plain: Clients
    sockets: Clients

    def http(self, name: str) -> Door:
        one = self.plain
        found: Door = dict(zip(HTTP, (one.http1, one.http2, one.http3), strict=True))[name]
        return found

    async def knock(self, name: str, token: str | None, *, offered: bool = False) -> int:
        """Ask for a WebSocket; gives the status with which that is answered: 101 or 200 lets in.

        Args:
            name: which door.
            token: with it.
            offered: whether it travels as a second subprotocol, as browsers send it.
        """
        protocols = PROTOCOL
        if "3" in name or name == "WebTransport":
            token = _cut(token)
        if offered:
            protocols, token = f"{PROTOCOL}, bearer.{token}", None
        if name == "WebSocket":
            answer = await self.sockets.http1.ask(
                "GET", "/ws", token, connection="Upgrade", upgrade="websocket",
                sec_websocket_version="13", sec_websocket_key="AAAAAAAAAAAAAAAAAAAAAA==",
                sec_websocket_protocol=protocols,
            )  # fmt: skip
            return answer.status
        fields = _lines(token, None, {"sec_websocket_protocol": protocols})
        if name == "WebSocket, HTTP/2":
            one = await self.sockets.http2.one()
            try:
                number = one.send_head(_connect(b"websocket") + fields, end=False)
            except H2Error:
                one.writer.transport.abort()
                return 0
            answer2 = one.answers[number]
            await either(answer2.head, answer2.done)
            with suppress(H2Error):
                one.h2.reset_stream(number, 8)
                one.flush()
            return answer2.status
        three = await self.sockets.http3.one()
        if name == "WebSocket, HTTP/3":
            stream = three.open(_connect(b"websocket") + fields)
            answer3 = three.answer(stream)
            async with asyncio.timeout(PATIENCE):
                while not answer3.fields and not answer3.over.is_set():
                    answer3.news.clear()
                    await either(answer3.news, answer3.over)
            with suppress(ValueError, AssertionError):
                three.reset(stream)
            return answer3.status
        return await self._knock_on_webtransport(three, token, fields, offered)

    async def _knock_on_webtransport(
        self,
        one: h3_client.Client,
        token: str | None,
        fields: list[tuple[bytes, bytes]],
        offered: bool,
    ) -> int:
        """A session is not the app's, its streams are: each has its status as the reset's code."""
        if offered:
            quoted = fields[0][1].decode().split(", ", 1)
            fields = [(b"wt-available-protocols", ", ".join(f'"{q}"' for q in quoted).encode())]
        else:
            fields = fields[1:]
        session = one.open(_connect(b"webtransport") + fields)
        answer = one.answer(session)
        async with asyncio.timeout(PATIENCE):
            while not answer.fields and not answer.over.is_set():
                answer.news.clear()
                await either(answer.news, answer.over)
        if answer.status != 200:
            return answer.status
        stream = one.under(session).answer
        async with asyncio.timeout(PATIENCE):
            while not stream.received and not stream.over.is_set():
                stream.news.clear()
                await either(stream.news, stream.over)
        one.send(session, b"", end=True)
        if stream.received:
            return 200
        code = (stream.reset or FIRST_CODE) - FIRST_CODE
        return code - code // 0x1F

    @asynccontextmanager
    async def socket(self, name: str, token: str) -> AsyncIterator[Talk]:
        """A WebSocket that was let in and welcomed."""
        if name == "WebSocket":
            async with connect(
                f"wss://localhost:{self.house.port}/ws",
                ssl=trusting("http/1.1"),
                subprotocols=[Subprotocol(PROTOCOL)],
                additional_headers={"authorization": f"Bearer {token}"},
                compression=None,
                close_timeout=1,
            ) as socket:
                talk: Talk = Talk(socket.send, socket.recv)
                await talk.next("welcome")
                yield talk
            return
        fields = _lines(token, None, {"sec_websocket_protocol": PROTOCOL})
        if name == "WebSocket, HTTP/2":
            one = await self.sockets.http2.one()
            number = one.send_head(_connect(b"websocket") + fields, end=False)
            answer = one.answers[number]
            talk = Talk.framed(
                answer.body, answer.stirred, answer.done, lambda d: _put2(one, number, d)
            )
        else:
            three = await self.sockets.http3.one()
            if name == "WebTransport":
                session = await three.session("/ws", fields[1:])
                socket3 = three.under(session)
            else:
                socket3 = h3_client.Socket(three, three.open(_connect(b"websocket") + fields))
            got = socket3.answer
            talk = Talk.framed(
                got.received, got.news, got.over, lambda d: socket3.put(socket3.stream_id, d)
            )
        await talk.next("welcome")
        yield talk


def _put2(one: http2.Client, number: int, data: bytes) -> None:
    one.h2.send_data(number, data)
    one.flush()


def _cut(token: str | None) -> str | None:
    """As much of a token as the client's QPACK can send: a field of 64 KiB."""
    return token if token is None else token[:60_000]


def _connect(protocol: bytes) -> list[tuple[bytes, bytes]]:
    head = [
        (b":method", b"CONNECT"),
        (b":protocol", protocol),
        (b":scheme", b"https"),
        (b":authority", b"localhost"),
        (b":path", b"/ws"),
    ]
    return head if protocol == b"webtransport" else [*head, (b"sec-websocket-version", b"13")]


@cache
def trusting(protocol: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls()[0])
    context.set_alpn_protocols([protocol])
    return context


@asynccontextmanager
async def doors(**options: Any) -> AsyncIterator[Doors]:
    """A server on a memory store, and a client at each of its doors."""
    async with (
        House(MemoryBackend(), certificate=tls()[1], **options) as house,
        AsyncExitStack() as stack,
    ):
        clients = Doors(house, Clients(house.port, stack), Clients(house.port, stack))
        yield clients
        clients.plain.http1.close()
        clients.sockets.http1.close()
