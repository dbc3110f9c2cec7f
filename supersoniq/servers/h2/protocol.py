"""HTTP/2 on an asyncio transport, inside uvicorn: bytes, timers, and the way to stop.

What leaves is bounded twice. Answers stop at ``limits.output``: apps wait. Acknowledgements, which
nobody can make wait, stop at ``limits.control_output``: then nothing more is read until the peer
has read. The first bound alone would let a flood of PINGs grow; one bound for both could leave two
sides that each wait for the other one to read.

What arrives is worked on in turns (``limits.turn``): 256 KiB that come at once can be 26,000
frames, and nobody else shall wait for all of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl

from supersoniq.servers.h2.connection import Connection
from supersoniq.servers.h2.limits import Limits
from supersoniq.servers.head import Endpoints
from supersoniq.servers.request import App, plain
from supersoniq.servers.told import CUT, REFUSED

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

__all__ = ["H2Protocol"]

log = logging.getLogger("supersoniq.servers")

FAREWELL = 5.0
"""Seconds in which a closed connection has to take what was written."""


class H2Protocol(asyncio.Protocol):
    """One connection. The arguments are those that uvicorn gives.

    Args:
        config: uvicorn's settings.
        server_state: uvicorn's connections and tasks.
        app_state: the lifespan's state.
        _loop: the loop, for uvicorn's own tests.
        limits: bounds.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        limits: Limits | None = None,
    ) -> None:
        if not config.loaded:
            config.load()
        self._config = config
        self._server = server_state
        self._app_state = app_state
        self._loop = _loop or asyncio.get_running_loop()
        limits = limits or Limits()
        if config.ws_max_size < limits.websocket_message:
            limits = replace(limits, websocket_message=config.ws_max_size)
        self._limits = limits
        self._transport: asyncio.Transport | None = None
        self._connection: Connection | None = None
        self._flushing = False
        self._deaf = False
        """Whether too much of what was said to the client waits to be sent."""
        self._busy = False
        """Whether something that was read waits to be worked on."""
        self._coming = False
        self._rest = b""
        self._heard = 0.0
        self._asked: float | None = None
        self._idle = 0.0
        self._timers: dict[str, asyncio.TimerHandle] = {}

    @property
    def transport(self) -> asyncio.Transport:
        """The connection's, as long as it is one; uvicorn's own protocols have it too."""
        assert self._transport is not None
        return self._transport

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the client."""
        transport = cast(asyncio.Transport, transport)  # uvloop has its own
        limits = self._limits
        self._transport = transport
        transport.set_write_buffer_limits(limits.output // 2)
        ends = Endpoints(
            "2",
            is_ssl(transport),
            get_local_addr(transport),
            get_remote_addr(transport),
            self._config.root_path,
        )
        self._connection = Connection(self, limits, ends)
        self._server.connections.add(self)  # type: ignore[arg-type]
        self._heard = self._idle = self.now()
        self._set("head", limits.head_timeout, self._on_slow_head)
        self._set("tick", min(limits.idle_timeout, limits.ping_after), self._tick)
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Take what has arrived."""
        self._heard = self.now()
        if self._busy:
            self._rest += data  # it was on its way already
        else:
            self._work(data)

    def _work(self, data: bytes) -> None:
        """Work on the next frames; the others wait, and nothing more is read until then."""
        connection = self._connection
        assert connection is not None
        more = connection.receive(data)
        if more != self._busy:
            self._busy = more
            self._heed()
        if more:
            self._go_on_soon()
        if connection.owed and not more:
            if "head" not in self._timers:
                self._set("head", self._limits.head_timeout, self._on_slow_head)
        else:
            self._drop("head")
        self._flush()

    def _go_on_soon(self) -> None:
        if self._busy and not self._coming:
            self._coming = True
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._coming = False
        if self._transport is not None and not self._deaf:
            rest, self._rest = self._rest, b""
            self._work(rest)

    def _heed(self) -> None:
        """Read, or do not."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._deaf or self._busy:
            transport.pause_reading()
        else:
            transport.resume_reading()

    def eof_received(self) -> None:
        """The client sends nothing more, and so cannot hold a conversation: close."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell all apps."""
        assert self._connection is not None
        self._server.connections.discard(self)
        for name in list(self._timers):
            self._drop(name)
        self._connection.lost()
        self._transport = None

    def pause_writing(self) -> None:
        """The peer has stopped reading."""
        self._set("stuck", self._limits.send_timeout, self._on_stuck)

    def resume_writing(self) -> None:
        """The peer has read."""
        self._drop("stuck")
        if self._deaf:
            self._deaf = False
            self._heed()
            self._go_on_soon()
        assert self._connection is not None
        self._connection.wake()

    def shutdown(self) -> None:
        """Stop gracefully: uvicorn calls it, and then waits for the connection to close."""
        assert self._connection is not None
        self._connection.drain()
        self._flush()

    # What the connection calls.

    def app(self) -> App:
        """The app, or the one that says that there is too much going on."""
        server, most = self._server, self._config.limit_concurrency
        server.total_requests += 1
        if most is not None and (len(server.connections) >= most or len(server.tasks) >= most):
            log.warning("over the limit of %d connections or requests: 503", most, extra=REFUSED)
            return _unavailable
        app: App = self._config.loaded_app
        return app

    def state(self) -> dict[str, Any]:
        """The lifespan's state."""
        return self._app_state

    def defaults(self) -> list[tuple[bytes, bytes]]:
        """Fields that every answer has."""
        return self._server.default_headers

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a task that uvicorn waits for."""
        task = self._loop.create_task(work)
        self._server.tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._server.tasks.discard(task)
        self._idle = self.now()

    def now(self) -> float:
        """The loop's clock."""
        return self._loop.time()

    def buffered(self) -> int:
        """Bytes that the transport holds."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def flush_soon(self) -> None:
        """Write once, for all that happens until then."""
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        transport, connection = self._transport, self._connection
        if transport is None or connection is None:
            return
        if connection.engine.pending:
            data = connection.engine.data_to_send()
            if transport.is_closing():
                return
            transport.write(data)
        if not self._deaf and self.buffered() > self._limits.control_output:
            self._deaf = True
            self._heed()
        if connection.waiting and "stuck" not in self._timers:
            connection.wake()

    def finish(self) -> None:
        """Close, once what was said is written."""
        self.flush_soon()
        self._loop.call_soon(self._close)

    def give_up(self) -> None:
        """Say why, wait for the peer to read it while it may still be writing, and close."""
        self._flush()
        transport = self._transport
        if transport is None:
            return
        if transport.can_write_eof():
            transport.write_eof()
        self._set("close", self._limits.linger, self._close)

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self._set("close", FAREWELL, self._abort)

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # Timers.

    def _set(self, name: str, seconds: float, action: Any) -> None:
        self._drop(name)
        self._timers[name] = self._loop.call_later(seconds, action)

    def _drop(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def _on_slow_head(self) -> None:
        assert self._connection is not None
        self._connection.fail(0, "what was begun did not come in time")

    def _on_stuck(self) -> None:
        log.info("HTTP/2 connection cut: the client reads nothing", extra=CUT)
        self._abort()

    def _tick(self) -> None:
        """Look whether anybody is still there: without requests, and during them."""
        limits, connection, now = self._limits, self._connection, self.now()
        assert connection is not None
        if not connection.lanes:
            due = self._idle + limits.idle_timeout
            if now >= due:
                connection.drain()
                return
        elif self._asked is not None and self._asked > self._heard:
            due = self._asked + limits.ping_timeout
            if now >= due:
                log.info("HTTP/2 connection cut: the client gives no sign of life", extra=CUT)
                self._abort()
                return
        else:
            due = self._heard + limits.ping_after
            if now >= due:
                connection.engine.ping(b"hello???")
                self._asked = now
                due = now + limits.ping_timeout
                self._flush()
        self._set("tick", max(due - now, 0.01), self._tick)


async def _unavailable(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await receive()
        kind = "websocket.http.response"
    else:
        kind = "http.response"
    for message in plain(503, "Service Unavailable"):
        await send({**message, "type": message["type"].replace("http.response", kind, 1)})
