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
from collections.abc import Callable, Iterator

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import ErrorCode
from aioquic.h3.events import (
    DataReceived,
    H3Event,
    HeadersReceived,
    WebTransportStreamDataReceived,
)
from aioquic.quic.connection import NetworkAddress, stream_is_unidirectional
from aioquic.quic.events import (
    ConnectionTerminated,
    ProtocolNegotiated,
    QuicEvent,
    StopSendingReceived,
    StreamDataReceived,
    StreamReset,
)

from supersoniq.servers.budget import Budget
from supersoniq.servers.h3.credit import Connection
from supersoniq.servers.h3.framing import Framing, Malformed
from supersoniq.servers.h3.limits import Limits
from supersoniq.servers.h3.requests import Requests
from supersoniq.servers.request import App
from supersoniq.servers.stream import Reset
from supersoniq.servers.told import CUT

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
        self.home = b""
        """Where its client was at first."""
        self.blocked: set[int] = set()
        """Streams whose apps wait for room."""
        self.requests = Requests(self, app, server, root_path)
        self._over = False
        self._cancels = Budget(limits.cancels, limits.cancels_per_second)
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._heads: dict[int, float] = {}
        """Until when the heads of requests have time, those first that have begun first."""
        self._used = self.heard = self._loop.time()
        """When a datagram has come last."""
        self._set("unused", limits.unused_timeout, self._on_unused)

    # What the loop calls. Nothing here raises.

    def take(self, datagrams: list[tuple[bytes, NetworkAddress]]) -> None:
        """Take what has come, and then send what there is to send."""
        self.heard = now = self._loop.time()
        with self._surviving():
            for data, addr in datagrams:
                self.quic.receive_datagram(data, addr, now)
            self._process_events()
            self.transmit()

    def transmit(self) -> None:
        """Send what there is to send, once apps had a chance to add to it."""
        with self._surviving():
            for stream_id in list(self.blocked):
                if self.quic.unsent(stream_id) * 2 <= self.limits.send_buffer:
                    self.blocked.discard(stream_id)
                    stream = self.requests.streams.get(stream_id)
                    if stream is not None:
                        stream.writable()
            super().transmit()
            if not self._over and self.quic.is_over():
                self._end("the connection is closed")  # aioquic says it three round trips later

    def _handle_timer(self) -> None:
        with self._surviving():
            super()._handle_timer()

    @contextlib.contextmanager
    def _surviving(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            log.warning("a connection is cut: %s: %s", type(error).__name__, error, extra=CUT)
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
            log.warning(
                "stream %d is cut: %s: %s", stream_id, type(error).__name__, error, extra=CUT
            )
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
        if not self.framing.awaits_head(stream_id):
            self._heads.pop(stream_id, None)
        elif stream_id % 4 == 0 and stream_id not in self._heads:
            self._heads[stream_id] = self._loop.time() + self.limits.head_timeout
            if "head" not in self._timers:
                self._set("head", self.limits.head_timeout, self._on_slow_head)
        for each in events:
            self._http(each)
        # Framing is used up at once; content when the app has it; what nobody will read, never.
        if not self.framing.is_deaf(stream_id):
            self.quic.consumed(stream_id, used)

    def _http(self, event: H3Event) -> None:
        requests = self.requests
        if isinstance(event, HeadersReceived):
            stream_id = event.stream_id
            if stream_id not in requests.streams and stream_id not in requests.sessions:
                requests.begin(stream_id, event.headers)
            # A second block has trailers, which ASGI does not know.
            self._content(stream_id, b"", event.stream_ended)
        elif isinstance(event, DataReceived):
            self._content(event.stream_id, event.data, event.stream_ended)
        elif isinstance(event, WebTransportStreamDataReceived):
            requests.sessions.data(event)
        elif isinstance(event, Malformed):
            stream = requests.streams.get(event.stream_id)
            if stream is not None:
                stream.reset(Reset.MALFORMED)
            else:
                requests.refuse(event.stream_id, event.status, event.reason)

    def _content(self, stream_id: int, data: bytes, end: bool) -> None:
        stream = self.requests.streams.get(stream_id)
        if stream is not None:
            stream.feed(data)
            if end:
                stream.feed_end()
        elif stream_id in self.requests.sessions:
            self.quic.consumed(stream_id, len(data))  # capsules; none of them asks for anything
            if end:
                self.requests.sessions.end(stream_id)

    def _cancelled(self, event: StreamReset | StopSendingReceived) -> None:
        stream_id = event.stream_id
        self.framing.handle_event(event)
        if stream_is_unidirectional(stream_id):
            return
        self._lose(stream_id, f"the client has cancelled it ({event.error_code})")
        if isinstance(event, StreamReset) and not self.quic.is_open(stream_id):
            return  # only the rest of its request, which our whole answer has declined
        self.framing.reset(stream_id, ErrorCode.H3_REQUEST_CANCELLED)
        if not self._cancels.take(self._loop.time()):
            log.info("a client was shown out: it cancelled too much", extra=CUT)
            self.close(ErrorCode.H3_EXCESSIVE_LOAD, "too many cancelled requests")

    def _lose(self, stream_id: int, why: str) -> None:
        self.blocked.discard(stream_id)
        self._heads.pop(stream_id, None)
        self.requests.lose(stream_id, why)
        self.requests.sessions.close(stream_id)

    def _end(self, why: str) -> None:
        self._over = True
        for name in list(self._timers):
            self._timers.pop(name).cancel()
        self._heads.clear()
        self.requests.lose_all(why)
        self.blocked.clear()

    def stay_alive(self) -> None:
        """Keep the way through NATs open while there is work, and see whether anybody is there."""
        if "ping" not in self._timers:
            self._set("ping", self.limits.keep_alive, self._keep_alive)

    def used(self) -> None:
        """A request has ended: the connection is of use."""
        self._used = self._loop.time()

    # Timers. Each is forgotten when it has come.

    def _set(self, name: str, seconds: float, action: Callable[[], None]) -> None:
        def come() -> None:
            del self._timers[name]
            with self._surviving():
                action()

        if not self._over:
            self._timers[name] = self._loop.call_later(seconds, come)

    def _keep_alive(self) -> None:
        if not self.requests.tasks and not self.requests.sessions:
            return
        left = self.heard + self.limits.keep_alive - self._loop.time()
        if left <= 0:
            self.quic.send_ping(0)
            self.transmit()
            left = self.limits.keep_alive
        self._set("ping", left, self._keep_alive)

    def _on_slow_head(self) -> None:
        now = self._loop.time()
        while self._heads:
            stream_id, end = next(iter(self._heads.items()))
            if end > now:
                self._set("head", end - now, self._on_slow_head)
                break
            del self._heads[stream_id]
            with self.mending(stream_id):
                self.framing.reset(stream_id, ErrorCode.H3_REQUEST_INCOMPLETE)
        self.transmit()

    def _on_unused(self) -> None:
        now, timeout = self._loop.time(), self.limits.unused_timeout
        if self.requests.tasks or self.requests.sessions:
            self._used = now
        left = self._used + timeout - now
        if left > 0:
            self._set("unused", left, self._on_unused)
        else:
            log.info("a connection is closed: nothing was asked for %g s", timeout, extra=CUT)
            self.close(ErrorCode.H3_NO_ERROR, "nothing is asked for")

    def leave(self) -> None:
        """Take no more requests; those that have begun may finish."""
        if not self._over:
            with self._surviving():
                first = self.requests.leave()
                if hasattr(self, "framing"):
                    self.framing.send_goaway(first)
                self.transmit()
