"""The requests of one connection: from a head to a task that lets the app answer."""

from __future__ import annotations

import asyncio
import logging
import time
from email.utils import formatdate
from typing import Protocol

from aioquic.h3.connection import ErrorCode

from supersoniq.servers.h3.carrier import QuicCarrier, Road
from supersoniq.servers.h3.webtransport import Sessions, StreamCarrier
from supersoniq.servers.head import (
    BadHead,
    Endpoints,
    Head,
    http_scope,
    read_head,
    websocket_scope,
)
from supersoniq.servers.request import App, Request, answer_fields, plain
from supersoniq.servers.stream import Fields, Reset, Stream
from supersoniq.servers.websocket import WebSocket

__all__ = ["Requests"]

log = logging.getLogger("supersoniq.servers.h3")

PROTOCOLS = (b"websocket",), (b"websocket", b"webtransport")


class Host(Road, Protocol):
    """What requests need of their connection."""

    def stay_alive(self) -> None:
        """Keep the way through NATs open while there is work."""

    def used(self) -> None:
        """A request has ended: the connection is of use."""


class Requests:
    """What a connection has under way.

    Args:
        host: the connection.
        app: answers requests.
        server: the address that they come to.
        root_path: the path under which a proxy shows the app.
    """

    def __init__(
        self, host: Host, app: App, server: tuple[str, int] | None, root_path: str
    ) -> None:
        self.streams: dict[int, Stream] = {}
        """Those whose apps still run."""
        self.tasks: set[asyncio.Task[None]] = set()
        self.sessions = Sessions(host, self.begin_under)
        self._host = host
        self._app = app
        self._server = server
        self._root_path = root_path
        self._sockets: set[WebSocket] = set()
        self._leaving: int | None = None
        self._next = 0

    def begin(self, stream_id: int, fields: Fields) -> Stream | None:
        """Let the app answer a request; the stream for its content, unless nobody wants that."""
        limits = self._host.limits
        if not self._may_begin(stream_id):
            return None
        try:
            # The limit is one of bytes as they are sent; unpacked they may be more.
            head = read_head(fields, limits.header_bytes * 2, PROTOCOLS[limits.sessions > 0])
        except BadHead as bad:
            self.refuse(stream_id, bad.status, bad.problem)
            return None
        if head.protocol == "webtransport":
            if len(self.sessions) < limits.sessions:
                self.sessions.open(stream_id, head, _defaults())
                self._host.stay_alive()
            else:
                self.refuse(stream_id, 429, f"a connection may have {limits.sessions} sessions")
            return None
        stream = Stream(
            QuicCarrier(self._host, stream_id),
            send_timeout=limits.send_timeout,
            expected=head.length,
        )
        self._start(stream_id, stream, head)
        return stream

    def begin_under(self, head: Head, stream_id: int) -> Stream | None:
        """Let the app have a stream of a WebTransport session."""
        if not self._may_begin(stream_id):
            return None
        carrier = StreamCarrier(self._host, stream_id)
        stream = Stream(carrier, send_timeout=self._host.limits.send_timeout)
        self._start(stream_id, stream, head)
        return stream

    def refuse(self, stream_id: int, status: int, problem: str) -> None:
        """Answer something that is no request."""
        self._host.framing.ignore(stream_id)
        stream = Stream(QuicCarrier(self._host, stream_id))
        start, body = plain(status, problem)
        stream.send_head(answer_fields(status, _defaults(), start["headers"]))
        stream.offer(body["body"], end=True)
        stream.reset(Reset.DONE)

    def lose(self, stream_id: int, why: str) -> None:
        """A stream is over."""
        stream = self.streams.get(stream_id)
        if stream is not None:
            stream.lose(why)

    def lose_all(self, why: str) -> None:
        """The connection is over."""
        for stream in list(self.streams.values()):
            stream.lose(why)

    def leave(self) -> int:
        """Begin no more, and say goodbye where one can; gives the first stream not taken."""
        if self._leaving is None:
            self._leaving = self._next
            for each in list(self._sockets):
                each.shutdown()
        return self._leaving

    def _may_begin(self, stream_id: int) -> bool:
        host = self._host
        late = self._leaving is not None and stream_id >= self._leaving
        if late or len(self.tasks) >= host.limits.max_streams:
            host.framing.reset(stream_id, ErrorCode.H3_REQUEST_REJECTED)
            return False
        self._next = max(self._next, stream_id + 4)
        return True

    def _start(self, stream_id: int, stream: Stream, head: Head) -> None:
        host = self._host
        address = host.quic.get_peer_address()
        client = (str(address[0]), int(address[1])) if address else None
        ends = Endpoints("3", True, self._server, client, self._root_path)
        exchange: Request | WebSocket
        if head.protocol:
            scope = websocket_scope(head, ends, {})
            limits = host.limits
            exchange = WebSocket(stream, scope, _defaults(), limits.message_bytes, limits.arriving)
            self._sockets.add(exchange)
        else:
            exchange = Request(stream, head, http_scope(head, ends, {}), _defaults())
        task = asyncio.get_running_loop().create_task(exchange.run(self._app))
        self.streams[stream_id] = stream
        self.tasks.add(task)
        host.quic.running.add(stream_id)
        host.stay_alive()

        def done(task: asyncio.Task[None]) -> None:
            self.tasks.discard(task)
            del self.streams[stream_id]
            if isinstance(exchange, WebSocket):
                self._sockets.discard(exchange)
                self.sessions.forget(stream_id)
            host.quic.running.discard(stream_id)
            host.quic.forget(stream_id)
            host.blocked.discard(stream_id)
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error("a request ended with an error", exc_info=error)
            host.used()
            host.transmit_soon()  # its client may open another one

        task.add_done_callback(done)


_dated: tuple[int, list[tuple[bytes, bytes]]] = (0, [])


def _defaults() -> list[tuple[bytes, bytes]]:
    """The fields that every answer has."""
    global _dated
    now = int(time.time())
    if _dated[0] != now:
        _dated = (now, [(b"date", formatdate(now, usegmt=True).encode())])
    return _dated[1]
