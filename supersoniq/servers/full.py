"""A server that is full: newcomers are told so, and those who were there before are served.

Above ``max_connections`` a new connection gets 503 for an answer, whichever HTTP it speaks, and has
to leave. To tell it takes a connection too, so there is room for a tenth more of them. Above that,
nothing is said any more: the connection is cut.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from supersoniq.servers.h1 import problem
from supersoniq.servers.h2.limits import Limits
from supersoniq.servers.h2.protocol import H2Protocol
from supersoniq.servers.request import App, plain

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

__all__ = ["RETRY_AFTER", "FullH1", "FullH2", "courtesy"]

RETRY_AFTER = 5
"""Seconds after which a client that was refused may try again."""
TEXT = "the server has as many connections as it takes"
LINGER = 1.0
"""Seconds in which a client can read that it was refused, while it may still be sending."""


def courtesy(most: int) -> int:
    """Connections above the bound that are told why."""
    return max(most // 10, 16)


class FullH1(asyncio.Protocol):
    """Answers the first request with 503.

    Args:
        server_state: uvicorn's connections.
        loop: the loop.
        limits: the time for a head, and its size.
    """

    def __init__(
        self, server_state: ServerState, loop: asyncio.AbstractEventLoop, limits: Limits
    ) -> None:
        self._server = server_state
        self._loop = loop
        self._limits = limits
        self._head = b""
        self._done = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the request."""
        self.transport = cast(asyncio.Transport, transport)
        self._server.connections.add(self)  # type: ignore[arg-type]
        self._timer = self._loop.call_later(self._limits.head_timeout, self.transport.abort)

    def data_received(self, data: bytes) -> None:
        """Answer it, once its head is there; what comes after is thrown away."""
        if self._done:
            return
        self._head += data
        if b"\r\n\r\n" not in self._head and len(self._head) <= self._limits.header_list:
            return
        self._done, self._head = True, b""
        fields = self._server.default_headers
        self.transport.write(problem(503, TEXT, fields, retry_after=RETRY_AFTER))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._timer.cancel()
        self._timer = self._loop.call_later(LINGER, self._close)

    def _close(self) -> None:
        self.transport.close()
        self._timer = self._loop.call_later(LINGER, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """It has left."""
        self._timer.cancel()
        self._server.connections.discard(self)

    def shutdown(self) -> None:
        """The server stops."""
        self.transport.abort()


class FullH2(H2Protocol):
    """Answers every request with 503, and shows the client out when it has no more of them."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        loop: asyncio.AbstractEventLoop,
        limits: Limits,
    ) -> None:
        short = replace(limits, idle_timeout=LINGER)
        super().__init__(config, server_state, app_state, loop, short)

    def app(self) -> App:
        """The one that refuses."""
        return _full


async def _full(scope: Any, receive: Any, send: Any) -> None:
    kind = "http.response"
    if scope["type"] == "websocket":
        await receive()
        kind = "websocket.http.response"
    start, body = plain(503, TEXT)
    start["headers"] = [*start["headers"], (b"retry-after", b"%d" % RETRY_AFTER)]
    for message in (start, body):
        await send({**message, "type": message["type"].replace("http.response", kind, 1)})
