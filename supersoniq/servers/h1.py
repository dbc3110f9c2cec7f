"""HTTP/1.1: uvicorn's protocol on httptools, with the bounds that it lacks.

A client of HTTP/1.1 can hold a connection by doing nothing, in five ways:

- It says nothing, or says a head byte by byte. A head has ``head_timeout`` seconds, counted from
  the first byte that may belong to it; then it is answered 408.
- It says a head that never ends. Above ``header_list`` bytes it is answered 431. The same bound
  holds for what comes after a head and is no body: trailers, extensions of chunks.
- It says a body slowly. That is for the app to bound, which knows how large and how slow a body may
  be (``adapters/http/deadlines.py``).
  What still comes of a body when its request was answered (413) is thrown away, up to ``discard``
  bytes: most clients look for their answer when they have sent all, and a close would lose it.
- It stays without a request. uvicorn closes it after a while, here after ``idle_timeout``.
- It does not read its answer. The app bounds that while it sends; afterwards it is bounded here: a
  client has to take 64 KiB in ``send_timeout`` seconds, or what is left of the answer.

Nearly always a request arrives whole and in time. So nothing of this costs a timer then, and next
to nothing else: what has to be looked at is looked at only when something is missing.

A connection that was closed may go on for long: see ``closing.py``.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from supersoniq.servers.closing import all_taken
from supersoniq.servers.h2.limits import Limits
from supersoniq.servers.joining import Joining
from supersoniq.servers.slices import SLICE, Slices
from supersoniq.servers.told import CUT

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

__all__ = ["H1Protocol", "problem"]

log = logging.getLogger("supersoniq.servers")

PATIENCE = 1.0
"""Seconds between two looks at a connection that was closed, and until one that was refused is."""
HASTE = 0.05
"""The same, when the server stops."""
STEP = 65536
"""Bytes of an answer that are taken in ``send_timeout``."""


def _is_fault(record: logging.LogRecord) -> bool:
    """Whether an app did something wrong that ended its answer while its client took nothing."""
    if record.exc_info:
        return True
    log.info("HTTP/1.1 answer cut: the client does not take it", extra=CUT)
    return False


unread = logging.getLogger("uvicorn.error.unread")
"""Where uvicorn complains of an app while its client reads nothing: one that gives up may do so."""
unread.addFilter(_is_fault)


class H1Protocol(HttpToolsProtocol):
    """One connection. The arguments are those that uvicorn gives.

    Args:
        config: uvicorn's settings.
        server_state: uvicorn's connections and tasks.
        app_state: the lifespan's state.
        _loop: the loop.
        limits: bounds; those that HTTP/2 has as well.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        limits: Limits | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits = limits or Limits()
        self.timeout_keep_alive: float = self._limits.idle_timeout  # type: ignore[assignment]
        self._active: RequestResponseCycle | None = None
        self._owed = 0
        """Bytes that came since the last one that was of use to somebody."""
        self._discarded = 0
        """Bytes of a body that came after its answer."""
        self._late: asyncio.TimerHandle | None = None
        self._cut: asyncio.TimerHandle | None = None
        self._unsent = 0
        self._unsent_since = 0.0
        self._stopping = False
        self._body: tuple[bytearray, int] | None = None
        self._ignored: int | None = None
        """Bytes that came since the connection's last answer, if that was a refusal."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._joining = Joining(transport, self.loop)
        self._slices = Slices(transport, self.loop, self._take, self._may_read)
        self._joining.resume_reading = self._slices.go_on
        transport.set_write_buffer_limits(STEP)  # over TLS it would be half a megabyte
        super().connection_made(self._joining)  # type: ignore[arg-type]  # as much of one as it uses
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._late, self._cut):
            if timer is not None:
                timer.cancel()
        # uvicorn tells the newest request alone, which is not the one at work if there are several.
        for cycle in (self._active, *(cycle for cycle, _ in self.pipeline)):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        self._stop_waiting()  # from here on it is another protocol's
        self.transport = self._joining.transport  # frames are whole by themselves
        super().handle_websocket_upgrade()
        self._slices.drop()  # nobody may send frames before the handshake is answered

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._active = cycle
        super()._start_asgi_task(cycle, app)

    def data_received(self, data: bytes) -> None:
        self._slices.feed(data)

    def _may_read(self) -> bool:
        return not self.flow.read_paused and self in self.connections

    def _take(self, data: bytes) -> None:
        if self._ignored is not None:
            self._ignored += len(data)
            if self._ignored > self._limits.discard:
                self._close()
            return
        super().data_received(data)
        cycle = self.cycle
        if (
            cycle is None
            or cycle.response_complete
            or cycle.more_body
            or "method" not in self.scope
        ):
            self._look(len(data))
        elif self._late is not None:
            self._nothing_owed()

    def on_message_begin(self) -> None:
        self._discarded = 0
        super().on_message_begin()

    def on_body(self, body: bytes) -> None:
        if self.cycle.response_complete:
            self._discarded += len(body)
            self._owed -= len(body)
        super().on_body(body)
        if len(self.cycle.body) > SLICE:
            self.flow.pause_reading()  # until the app has taken it

    # What is missing.

    def _look(self, size: int) -> None:
        """Something arrived, and more is to come."""
        if self._ignored is not None or self.transport.is_closing() or self not in self.connections:
            return  # refused, or a WebSocket now
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete and "method" in self.scope:
            # A body is on its way. uvicorn makes a new buffer for what the app has not taken.
            seen, self._body = self._body, (cycle.body, len(cycle.body))
            self._stop_waiting()
            if seen is None or seen[0] is not cycle.body or seen[1] != self._body[1]:
                self._owed = 0
                return
        self._owed = max(self._owed + size, 0)
        if self._discarded > self._limits.discard:
            self._close()
        elif self._owed > self._limits.header_list:
            self._refuse(431, "the request's header fields are too large")
        elif not self._is_busy():
            self._wait_for_head()

    def _is_busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _has_begun(self) -> bool:
        """Whether a part of a head is here. uvicorn begins a scope with it."""
        return self.scope is not None and "method" not in self.scope

    def _nothing_owed(self) -> None:
        self._owed = 0
        self._body = None
        self._stop_waiting()

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _wait_for_head(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(self._limits.head_timeout, self._on_late)

    def _on_late(self) -> None:
        self._late = None
        if self.transport.is_closing() or self._is_busy():
            return
        if self._has_begun():
            self._refuse(408, "the request's head did not come in time")
        else:
            self._close()

    def _refuse(self, status: int, text: str) -> None:
        log.info("HTTP/1.1 connection ended with %d: %s", status, text, extra=CUT)
        if self._is_busy():
            self.transport.abort()  # another one's answer is on its way
            return
        self.transport.write(problem(status, text, self.server_state.default_headers))
        self._linger()

    def _linger(self) -> None:
        """Close in stages (RFC 9112, section 9.6): the client may be sending.

        What arrives at a closed socket is answered with a reset, by which a client loses what it
        has not read yet: the reason. So it is thrown away for a moment. A client over TLS is not
        told that there is no more, but it can count.
        """
        self._stop_waiting()
        self._ignored = 0
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._late = self.loop.call_later(PATIENCE, self._close)

    # What is not taken.

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._see_out()

    def timeout_keep_alive_handler(self) -> None:
        self._close()

    def send_400_response(self, msg: str) -> None:
        super().send_400_response(msg)
        self._see_out()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._active is not None:
            self._active.logger = unread
        self._watch(self._limits.send_timeout)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._active is not None:
            self._active.logger = self.logger
        if self._cut is not None and not self.transport.is_closing():
            self._cut.cancel()
            self._cut = None

    def _close(self) -> None:
        self._stop_waiting()
        if not self.transport.is_closing():
            self.transport.close()
        self._see_out()

    def _see_out(self) -> None:
        """It was closed: look whether it is over."""
        if self._cut is not None:
            self._cut.cancel()
            self._cut = None
        self._watch(HASTE if self._stopping else PATIENCE)

    def _watch(self, seconds: float) -> None:
        if self._cut is None:
            self._unsent = self.transport.get_write_buffer_size()
            self._unsent_since = self.loop.time()
            self._cut = self.loop.call_later(seconds, self._on_unread)

    def _on_unread(self) -> None:
        left = self.transport.get_write_buffer_size()
        now, closing = self.loop.time(), self.transport.is_closing()
        if closing and all_taken(self.transport):
            self.transport.abort()
            return
        if left <= self._unsent - STEP:
            self._unsent, self._unsent_since = left, now
        due = self._unsent_since + self._limits.send_timeout
        if now >= due:
            log.info("HTTP/1.1 connection cut: the client reads nothing", extra=CUT)
            self.transport.abort()
            return
        wait = min(due - now, HASTE if self._stopping else PATIENCE) if closing else due - now
        self._cut = self.loop.call_later(wait, self._on_unread)

    # The end.

    def shutdown(self) -> None:
        """Stop gracefully: close when nothing is under way, else after the answer."""
        self._stopping = True
        if self.pipeline and self._active is not None:
            # Those that have not begun are the client's to send again, elsewhere.
            self.pipeline.clear()
            self.cycle = self._active
        if not self.transport.is_closing():  # asyncio's, over TLS, break when they are closed twice
            super().shutdown()
        if self.transport.is_closing():
            self._stop_waiting()
            self._see_out()


def problem(
    status: int, text: str, fields: list[tuple[bytes, bytes]], *, retry_after: int | None = None
) -> bytes:
    """The last answer of an HTTP/1.1 connection."""
    lines = [STATUS_LINE[status]]
    own = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    if retry_after is not None:
        own.append((b"retry-after", b"%d" % retry_after))
    body = text.encode()
    own.append((b"content-length", b"%d" % len(body)))
    lines += [b"%b: %b\r\n" % field for field in (*fields, *own)]
    return b"".join((*lines, b"\r\n", body))
