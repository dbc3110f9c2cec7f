"""The project's own server: HTTP/1.1, 2 and 3 and WebSocket over all of them, in one event loop.

uvicorn listens and runs the app, ``negotiate`` finds out which HTTP is spoken on a TCP connection,
and HTTP/3 is served on the UDP port beside it.

How it stops, so that nobody is cut who need not be and nobody holds it up:

1. It listens no more. Idle HTTP/1.1 connections are closed; on the others the answer under way says
   ``Connection: close``, if it has not begun.
2. ``options.leave()``: long polls are answered, event streams end, WebSockets say goodbye.
3. HTTP/2 and HTTP/3 connections get their GOAWAY, and close when their last request has ended.
4. What has not ended after ``grace`` seconds, or as soon as the user has lost patience, is cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import uvicorn

from supersoniq.servers.accepting import TlsDoor
from supersoniq.servers.alt_svc import alt_svc
from supersoniq.servers.arriving import Arriving
from supersoniq.servers.closing import cut_unread
from supersoniq.servers.descriptors import make_room
from supersoniq.servers.full import courtesy
from supersoniq.servers.h1 import H1Protocol
from supersoniq.servers.h1_websocket import Protocol
from supersoniq.servers.h2.limits import Limits
from supersoniq.servers.h2.protocol import H2Protocol
from supersoniq.servers.negotiate import Negotiator, prepare
from supersoniq.servers.plugin import Feature, Options
from supersoniq.servers.sips import Sips
from supersoniq.servers.told import CUT

if TYPE_CHECKING:
    from supersoniq.servers.h3 import H3Server

__all__ = ["Native", "Server"]

log = logging.getLogger("supersoniq.servers")

MAX_CONNECTIONS = 10_000
LAST_WORDS = 0.5
"""Seconds in which apps that were cut off tidy up, before they are cancelled, and after."""


class Native:
    """The server of the entry point ``native``."""

    carries = frozenset(Feature)
    honours = frozenset(
        {
            "certfile",
            "keyfile",
            "root_path",
            "grace",
            "http3",
            "max_connections",
            "head_timeout",
            "idle_timeout",
            "max_message",
            "arriving",
        }
    )

    async def serve(
        self,
        app: Any,
        listener: socket.socket,
        options: Options,
        *,
        started: Callable[[], None],
        stop: asyncio.Event,
    ) -> None:
        """Serve, as ``ServerPlugin`` says."""
        server = Server(app, options)
        server.on_started = started
        waiting = asyncio.ensure_future(stop.wait())
        waiting.add_done_callback(lambda _: server.stop())
        try:
            await server.serve([listener])
        finally:
            waiting.cancel()


class Server(uvicorn.Server):
    """A uvicorn server that speaks more, and stops in good order.

    Args:
        app: the app.
        options: what was asked for.
    """

    def __init__(self, app: Any, options: Options) -> None:
        most = options.max_connections or MAX_CONNECTIONS
        arriving = options.arriving or Arriving()
        config = uvicorn.Config(
            app,
            http=Negotiator,
            ssl_certfile=options.certfile,
            ssl_keyfile=options.keyfile,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            root_path=options.root_path,
            # Connections have a bound of their own; this one is for the requests on them.
            limit_concurrency=most + courtesy(most) + 1,
            ws=cast(Any, partial(Protocol, arriving=arriving)),
            ws_per_message_deflate=False,  # a small frame can become a very large one
        )
        if options.max_message is not None:
            config.ws_max_size = options.max_message
        prepare(config)
        super().__init__(config)
        self.options = options
        self.on_started: Callable[[], None] | None = None
        self._most = most
        self._limits = replace(_limits(options), arriving=arriving)
        self.servers = []
        self._doors: list[TlsDoor] = []
        self._http3: H3Server | None = None
        if options.certfile is not None and options.http3 is not False:
            self._http3 = _http3(app, options, most, arriving)

    def stop(self) -> None:
        """Stop soon, from any thread."""
        self.should_exit = True

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until told to stop; cut everything at once if that is cancelled."""
        try:
            await super().serve(sockets)
        finally:
            await self._cut()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, and say so."""
        assert sockets, "the sockets are made by the caller"
        config, loop = self.config, asyncio.get_running_loop()
        make_room(self._most + courtesy(self._most), loud=self.options.max_connections is not None)
        for sock in sockets:
            cut_unread(sock, self._limits.send_timeout)
            if config.ssl is None:
                server = await loop.create_server(self._protocol, sock=sock, backlog=config.backlog)
                self.servers.append(server)
                continue
            door = TlsDoor(
                sock,
                self._protocol,
                config.ssl,
                timeout=self._limits.head_timeout,
                backlog=config.backlog,
                has_room=self._has_room,
            )
            self._doors.append(door)
        if self._http3 is not None:
            await self._http3.start_beside(sockets[0])
            config.encoded_headers.append(alt_svc(self._http3.port))
        self.options.counting(self.open_connections)
        self.started = True
        if self.on_started is not None:
            self.on_started()

    def open_connections(self) -> dict[str, int]:
        """How many there are now, by protocol. Those that have said nothing yet are ``new``."""
        counts = {"http/1.1": 0, "http/2": 0, "new": 0}
        for each in self.server_state.connections:
            known = cast(object, each)  # uvicorn has two kinds of its own
            if isinstance(known, Negotiator):
                counts["new"] += 1
            else:
                counts["http/2" if isinstance(known, H2Protocol) else "http/1.1"] += 1
        if self._http3 is not None:
            counts["http/3"] = self._http3.connections
        return counts

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, send everybody home, let requests finish."""
        self._stop_listening(sockets)
        try:
            async with asyncio.timeout(self.options.grace):
                await self._leave()
        except TimeoutError:
            state = self.server_state
            log.warning(
                "%d connections and %d requests did not end within the grace time: cut",
                len(state.connections),
                len(state.tasks),
                extra=CUT,
            )

    def _has_room(self, handshakes: int) -> bool:
        """Whether one more connection may be had, if only to be told that it may not stay."""
        most = self._most + courtesy(self._most)
        return len(self.server_state.connections) + handshakes < most

    def _stop_listening(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for door in self._doors:
            door.close()
        for sock in sockets or []:
            sock.close()

    async def _leave(self) -> None:
        state, clock = self.server_state, asyncio.get_running_loop().time
        end = clock() + self.options.grace
        for connection in list(state.connections):
            if isinstance(connection, H1Protocol | Negotiator):
                connection.shutdown()
        await self.options.leave()
        for connection in list(state.connections):
            connection.shutdown()
        udp = None
        if self._http3 is not None:
            grace = max(end - clock() - 2 * LAST_WORDS, 0)
            udp = asyncio.ensure_future(self._http3.stop(grace))
        try:
            while state.connections or state.tasks:  # noqa: ASYNC110 - uvicorn's, without events
                await asyncio.sleep(0.01)
            if udp is not None:
                await udp
        finally:
            if udp is not None:
                udp.cancel()
                await asyncio.wait((udp,))

    async def _cut(self) -> None:
        """End whatever is left. An app sees its client leave, and is cancelled if it stays."""
        self._stop_listening()
        state = self.server_state
        for connection in list(state.connections):
            connection.transport.abort()
        if self._http3 is not None:
            await self._http3.stop(0)
        for cancel in (False, True):
            if tasks := list(state.tasks):
                if cancel:
                    for task in tasks:
                        task.cancel()
                await asyncio.wait(tasks, timeout=LAST_WORDS)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are for the program that serves."""
        yield

    def _protocol(self) -> asyncio.BaseProtocol:
        return Sips(
            Negotiator(
                self.config,
                self.server_state,
                self.lifespan.state,
                limits=self._limits,
                max_connections=self._most,
            )
        )


def _limits(options: Options) -> Limits:
    limits = Limits()
    if options.head_timeout is not None:
        limits = replace(limits, head_timeout=options.head_timeout)
    if options.idle_timeout is not None:
        limits = replace(limits, idle_timeout=options.idle_timeout)
    return limits


def _http3(app: Any, options: Options, most: int, arriving: Arriving) -> H3Server:
    """The same app over HTTP/3. Imported here: who has no TLS need not wait for it."""
    from supersoniq.servers.h3 import H3Server
    from supersoniq.servers.h3 import Limits as H3Limits

    limits = H3Limits(arriving=arriving)
    if options.max_message is not None:
        limits = replace(limits, message_bytes=options.max_message)
    if options.idle_timeout is not None:
        limits = replace(limits, idle_timeout=options.idle_timeout)
    limits = replace(limits, max_connections=min(most, limits.max_connections))
    assert options.certfile is not None
    return H3Server(
        app, options.certfile, options.keyfile, root_path=options.root_path, limits=limits
    )
