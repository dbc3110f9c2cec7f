"""hypercorn: HTTP/1.1, HTTP/2, and HTTP/3 when asked for; WebSocket over all of them."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from typing import Any

from hypercorn.asyncio import serve
from hypercorn.config import Config

from supersoniq.servers.plugin import Feature, Options

__all__ = ["Hypercorn"]

log = logging.getLogger("hypercorn.error")


class Hypercorn:
    """The server of the entry point ``hypercorn``."""

    carries = frozenset(
        {
            Feature.HTTP1,
            Feature.HTTP2,
            Feature.H2C,
            Feature.WEBSOCKET,
            Feature.WEBSOCKET_H2,
            Feature.HTTP3,
            Feature.WEBSOCKET_H3,
        }
    )
    honours = frozenset(
        {
            "certfile",
            "keyfile",
            "root_path",
            "grace",
            "http3",
            "idle_timeout",
            "max_message",
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
        config = Config()
        # Hypercorn makes a socket of its own of the number, and closes it.
        config.bind = [f"fd://{os.dup(listener.fileno())}"]
        config.errorlog = log
        config.root_path = options.root_path
        config.include_server_header = False
        config.graceful_timeout = options.grace
        if options.certfile is not None:
            config.certfile = os.fspath(options.certfile)
            # Without a key of its own hypercorn would speak clear text.
            config.keyfile = os.fspath(options.keyfile or options.certfile)
            if options.http3:
                host, port = listener.getsockname()[:2]
                config.quic_bind = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}"]
        if options.idle_timeout is not None:
            config.keep_alive_timeout = options.idle_timeout
        if options.max_message is not None:
            config.websocket_max_message_size = options.max_message

        async def stopped() -> None:
            await stop.wait()
            await options.leave()

        await serve(_Started(app, started), config, shutdown_trigger=stopped, mode="asgi")


class _Started:
    """Answers the lifespan itself: hypercorn asks for one before it listens, and for its end."""

    def __init__(self, app: Any, started: Callable[[], None]) -> None:
        self._app = app
        self._started = started

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        # The socket is bound: who connects now waits until hypercorn takes it, a moment later.
        self._started()
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
