"""uvicorn as it is: HTTP/1.1 and WebSocket."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from supersoniq.servers.plugin import Feature, Options

__all__ = ["Uvicorn"]


class Uvicorn:
    """The server of the entry point ``uvicorn``."""

    carries = frozenset({Feature.HTTP1, Feature.WEBSOCKET})
    honours = frozenset(
        {
            "certfile",
            "keyfile",
            "root_path",
            "grace",
            "max_connections",
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
        config = uvicorn.Config(
            app,
            ssl_certfile=options.certfile,
            ssl_keyfile=options.keyfile,
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            root_path=options.root_path,
            limit_concurrency=options.max_connections,
            timeout_graceful_shutdown=max(round(options.grace), 1),
            ws="websockets-sansio",
            ws_per_message_deflate=False,
        )
        if options.idle_timeout is not None:
            config.timeout_keep_alive = max(round(options.idle_timeout), 1)
        if options.max_message is not None:
            config.ws_max_size = options.max_message
        server = _Server(config, options, started)
        serving = asyncio.ensure_future(server.serve([listener]))
        waiting = asyncio.ensure_future(stop.wait())
        waiting.add_done_callback(lambda _: server.stop())
        try:
            await serving
        finally:
            waiting.cancel()


class _Server(uvicorn.Server):
    def __init__(
        self, config: uvicorn.Config, options: Options, started: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._options = options
        self._started = started

    def stop(self) -> None:
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._options.leave()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
