"""granian, embedded: HTTP/1.1, HTTP/2 and WebSocket from Rust, the app in this process's loop."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from granian import net
from granian.constants import Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

from supersoniq.servers.plugin import Feature, Options

__all__ = ["Granian"]

BACKLOG = 2048


class Granian:
    """The server of the entry point ``granian``."""

    carries = frozenset({Feature.HTTP1, Feature.HTTP2, Feature.H2C, Feature.WEBSOCKET})
    honours = frozenset({"certfile", "keyfile", "grace", "head_timeout"})

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
        http1 = HTTP1Settings()
        if options.head_timeout is not None:
            http1.header_read_timeout = max(round(options.head_timeout * 1000), 1)
        certfile, keyfile = options.certfile, options.keyfile or options.certfile
        server = _Server(
            app,
            address="",
            port=0,
            interface=Interfaces.ASGINL,
            backlog=BACKLOG,
            http1_settings=http1,
            log_enabled=False,
            ssl_cert=None if certfile is None else Path(certfile),
            ssl_key=None if keyfile is None else Path(keyfile),
        )
        server.workers_kill_timeout = max(round(options.grace), 1)
        server.listener = listener
        server.on_startup(started)
        serving = asyncio.ensure_future(server.serve())
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not serving.done():
                await options.leave()
                server.stop()  # type: ignore[no-untyped-call]
            await serving
        finally:
            stopping.cancel()
            serving.cancel()


class _Server(Server):
    """Listens on a socket that is there; granian would make one."""

    listener: socket.socket

    def _init_shared_socket(self) -> None:
        self.listener.listen(BACKLOG)
        # Its own number: granian closes it.
        holder: Any = net
        self._shd = holder.SocketHolder(os.dup(self.listener.fileno()), False, BACKLOG)
