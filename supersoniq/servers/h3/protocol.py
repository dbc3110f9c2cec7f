"""One QUIC connection: from its events to streams and tasks.

The fault of a request stays with its stream, and the fault of a connection with the connection:
each event is handled within its own ``try``, and so is each datagram and each timer. What aioquic
raises for a peer's bytes is a line in the log and the end of that stream or connection, whatever it
was.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator
from email.utils import formatdate

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import ErrorCode
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.connection import NetworkAddress, stream_is_unidirectional
from aioquic.quic.events import (
    ConnectionTerminated,
    ProtocolNegotiated,
    QuicEvent,
    StopSendingReceived,
    StreamDataReceived,
    StreamReset,
)

from supersoniq.servers.h3.allowance import Allowance
from supersoniq.servers.h3.carrier import QuicCarrier
from supersoniq.servers.h3.credit import Connection
from supersoniq.servers.h3.framing import Framing, Malformed
from supersoniq.servers.h3.limits import Limits
from supersoniq.servers.head import BadHead, Endpoints, http_scope, read_head, websocket_scope
from supersoniq.servers.request import App, Request, answer_fields, plain
from supersoniq.servers.stream import Fields, Reset, Stream
from supersoniq.servers.websocket import WebSocket

__all__ = ["Protocol"]

log = logging.getLogger("supersoniq.servers.h3")


class Protocol(QuicConnectionProtocol):
    """A connection.

    Args:
        quic: aioquic's side of it.
        limits: the server's bounds.
        app: answers requests.
        server: the address that they come to.
        root_path: the path under which a proxy shows the app.
    """

    framing: Framing

    def __init__(
        self,
        quic: Connection,
        limits: Limits,
        app: App,
        server: tuple[str, int] | None = None,
        root_path: str = "",
    ) -> None:
        super().__init__(quic)
        self.quic = quic
        self.limits = limits
        self.ids: set[bytes] = set()
        """The names under which the listener knows it."""
        self.blocked: set[int] = set()
        """Streams whose apps wait for room."""
        self.tasks: set[asyncio.Task[None]] = set()
        self._app = app
        self._server = server
        self._root_path = root_path
        self._sockets: set[WebSocket] = set()
        self._streams: dict[int, Stream] = {}
        self._leaving: int | None = None
        self._next_stream = 0
        self._over = False
        self._cancels = Allowance(limits.cancels, limits.cancels_per_second)
        self._ping: asyncio.TimerHandle | None = None

    # What the loop calls. Nothing here raises.

    def datagram_received(self, data: bytes | str, addr: NetworkAddress) -> None:
        """Take a datagram."""
        with self._surviving():
            super().datagram_received(data, addr)

    def transmit(self) -> None:
        """Send what there is to send, once apps had a chance to add to it."""
        with self._surviving():
            for stream_id in list(self.blocked):
                if self.quic.unsent(stream_id) * 2 <= self.limits.send_buffer:
                    self.blocked.discard(stream_id)
                    stream = self._streams.get(stream_id)
                    if stream is not None:
                        stream.writable()
            super().transmit()

    def _handle_timer(self) -> None:
        with self._surviving():
            super()._handle_timer()

    @contextlib.contextmanager
    def _surviving(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            log.warning("a connection is cut: %s: %s", type(error).__name__, error)
            log.debug("where that happened", exc_info=True)
            self.abandon()

    def abandon(self) -> None:
        """Forget the connection, without a word to its client."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._connection_terminated_handler()
        self._closed.set()
        self._end("the connection is lost")

    @contextlib.contextmanager
    def mending(self, stream_id: int) -> Iterator[None]:
        """Do something on a stream; should that fail, the stream is over."""
        try:
            yield
        except Exception as error:
            log.warning("stream %d is cut: %s: %s", stream_id, type(error).__name__, error)
            log.debug("where that happened", exc_info=True)
            self._lose(stream_id, "a fault in the connection")
            with contextlib.suppress(Exception):
                self.quic.reset(stream_id, ErrorCode.H3_INTERNAL_ERROR)
                self.quic.stop(stream_id, ErrorCode.H3_INTERNAL_ERROR)

    def transmit_soon(self) -> None:
        """Send what there is to send when all who run now have had their turn."""
        if not self._over:
            self._transmit_soon()

    # Events.

    def quic_event_received(self, event: QuicEvent) -> None:
        """Take an event of aioquic's."""
        if isinstance(event, StreamDataReceived):
            with self.mending(event.stream_id):
                self._data(event)
        elif isinstance(event, StreamReset | StopSendingReceived):
            with self.mending(event.stream_id):
                self._cancelled(event)
        elif isinstance(event, ProtocolNegotiated):
            self.framing = Framing(self.quic, self.limits)
        elif isinstance(event, ConnectionTerminated):
            self._end("the connection is closed")

    def _data(self, event: StreamDataReceived) -> None:
        stream_id = event.stream_id
        events, used = self.framing.receive(event)
        for each in events:
            self._http(each)
        # Framing is used up at once; content when the app has it; what nobody will read, never.
        if not self.framing.is_deaf(stream_id):
            self.quic.consumed(stream_id, used)

    def _http(self, event: H3Event) -> None:
        if isinstance(event, HeadersReceived | DataReceived):
            stream = self._streams.get(event.stream_id)
            if isinstance(event, HeadersReceived):
                if stream is None:
                    stream = self._request(event.stream_id, event.headers)
                # A second block has trailers, which ASGI does not know.
            elif stream is not None:
                stream.feed(event.data)
            if stream is not None and event.stream_ended:
                stream.feed_end()
        elif isinstance(event, Malformed):
            stream = self._streams.get(event.stream_id)
            if stream is not None:
                stream.reset(Reset.MALFORMED)
            else:
                self._refuse(event.stream_id, event.status, event.reason)

    def _cancelled(self, event: StreamReset | StopSendingReceived) -> None:
        stream_id = event.stream_id
        self.framing.handle_event(event)
        if stream_is_unidirectional(stream_id):
            return
        self._lose(stream_id, f"the client has cancelled it ({event.error_code})")
        self.framing.reset(stream_id, ErrorCode.H3_REQUEST_CANCELLED)
        if not self._cancels.take(self._loop.time()):
            log.info("a client was shown out: it cancelled too much")
            self.close(ErrorCode.H3_EXCESSIVE_LOAD, "too many cancelled requests")

    def _lose(self, stream_id: int, why: str) -> None:
        self.blocked.discard(stream_id)
        stream = self._streams.get(stream_id)
        if stream is not None:
            stream.lose(why)

    def _end(self, why: str) -> None:
        self._over = True
        if self._ping is not None:
            self._ping.cancel()
            self._ping = None
        for stream in list(self._streams.values()):
            stream.lose(why)
        self.blocked.clear()

    # Requests.

    def _request(self, stream_id: int, fields: Fields) -> Stream | None:
        late = self._leaving is not None and stream_id >= self._leaving
        if late or len(self.quic.running) >= self.limits.max_streams:
            self.framing.reset(stream_id, ErrorCode.H3_REQUEST_REJECTED)
            return None
        self._next_stream = max(self._next_stream, stream_id + 4)
        try:
            head = read_head(fields, self.limits.header_bytes * 2)
        except BadHead as bad:
            self._refuse(stream_id, bad.status, bad.problem)
            return None
        address = self.quic.get_peer_address()
        client = (str(address[0]), int(address[1])) if address else None
        ends = Endpoints("3", True, self._server, client, self._root_path)
        stream = self._open(stream_id, head.length)
        exchange: Request | WebSocket
        if head.protocol:
            scope = websocket_scope(head, ends, {})
            exchange = WebSocket(stream, scope, _defaults(), self.limits.message_bytes)
            self._sockets.add(exchange)
        else:
            exchange = Request(stream, head, http_scope(head, ends, {}), _defaults())
        self._start(stream_id, exchange)
        return stream

    def _refuse(self, stream_id: int, status: int, problem: str) -> None:
        """Answer something that is no request."""
        self.framing.ignore(stream_id)
        stream = Stream(QuicCarrier(self, stream_id))
        start, body = plain(status, problem)
        stream.send_head(answer_fields(status, _defaults(), start["headers"]))
        stream.offer(body["body"], end=True)
        stream.reset(Reset.DONE)

    def _open(self, stream_id: int, length: int | None) -> Stream:
        stream = self._streams[stream_id] = Stream(
            QuicCarrier(self, stream_id), send_timeout=self.limits.send_timeout, expected=length
        )
        return stream

    def _start(self, stream_id: int, exchange: Request | WebSocket) -> None:
        task = self._loop.create_task(exchange.run(self._app))
        self.tasks.add(task)
        self.quic.running.add(stream_id)
        if self._ping is None and not self._over:
            self._ping = self._loop.call_later(self.limits.keep_alive, self._keep_alive)

        def done(task: asyncio.Task[None]) -> None:
            self.tasks.discard(task)
            if isinstance(exchange, WebSocket):
                self._sockets.discard(exchange)
            self.quic.running.discard(stream_id)
            self.blocked.discard(stream_id)
            del self._streams[stream_id]
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error("a request ended with an error", exc_info=error)
            self.transmit_soon()  # its client may open another one

        task.add_done_callback(done)

    def _keep_alive(self) -> None:
        """Keep the way through NATs open, and learn whether somebody is there."""
        self._ping = None
        if self.tasks and not self._over:
            with self._surviving():
                self.quic.send_ping(0)
                self.transmit()
            self._ping = self._loop.call_later(self.limits.keep_alive, self._keep_alive)

    # The end.

    def leave(self) -> None:
        """Take no more requests; those that have begun may finish."""
        if self._leaving is None and not self._over:
            self._leaving = self._next_stream
            for each in list(self._sockets):
                each.shutdown()
            with self._surviving():
                if hasattr(self, "framing"):
                    self.framing.send_goaway(self._leaving)
                self.transmit()


_dated: tuple[int, list[tuple[bytes, bytes]]] = (0, [])


def _defaults() -> list[tuple[bytes, bytes]]:
    """The fields that every answer has."""
    global _dated
    now = int(time.time())
    if _dated[0] != now:
        _dated = (now, [(b"date", formatdate(now, usegmt=True).encode())])
    return _dated[1]
