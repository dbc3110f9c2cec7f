"""Which HTTP is spoken on a new connection: found out, and handed to the one who speaks it.

Over TLS the client says so in the handshake (ALPN). On clear text, the first bytes say it: HTTP/2
begins with a preface that no HTTP/1.1 request can begin with ("prior knowledge"). The third way,
``Upgrade: h2c``, is gone from HTTP (RFC 9113, section 3.1), and smuggled requests past proxies.

HTTP/1.1, and WebSockets over it, are uvicorn's own: the transport is handed over before they have
seen a byte of it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar, cast

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from supersoniq.servers.h2.frames import PREFACE
from supersoniq.servers.h2.limits import Limits
from supersoniq.servers.h2.protocol import H2Protocol

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

__all__ = ["ALPN", "Negotiator", "prepare"]

ALPN = ["h2", "http/1.1"]


class Negotiator(asyncio.Protocol):
    """For uvicorn's ``http=`` option; the arguments are those that uvicorn gives.

    Args:
        config: uvicorn's settings; see ``prepare``.
        server_state: uvicorn's connections and tasks.
        app_state: the lifespan's state.
        _loop: the loop.
    """

    limits: ClassVar[Limits] = Limits()
    """Bounds of HTTP/2; a subclass may have others."""
    alpn_protocols: ClassVar[list[str]] = ALPN

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._config = config
        self._server = server_state
        self._app_state = app_state
        self._loop = _loop or asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._begun = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask the handshake, or wait for the first bytes."""
        transport = cast(asyncio.Transport, transport)  # uvloop has its own
        self._transport = transport
        secure = transport.get_extra_info("ssl_object")
        chosen = None if secure is None else secure.selected_alpn_protocol()
        if chosen == "h2":
            self._choose(self._h2())
        elif chosen is not None:
            self._choose(self._h1())
        else:
            self._server.connections.add(self)  # type: ignore[arg-type]
            self._timer = self._loop.call_later(self.limits.head_timeout, transport.close)

    def data_received(self, data: bytes) -> None:
        """Decide, as soon as the bytes do."""
        begun = self._begun = self._begun + data
        if begun.startswith(PREFACE):
            self._choose(self._h2())
        elif not PREFACE.startswith(begun):
            self._choose(self._h1())

    def connection_lost(self, exc: Exception | None) -> None:
        """It has left without a word."""
        self._leave()

    def shutdown(self) -> None:
        """The server stops: nothing was asked yet."""
        if self._transport is not None:
            self._transport.close()

    def _leave(self) -> None:
        self._server.connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    def _choose(self, protocol: asyncio.Protocol) -> None:
        transport, begun = self._transport, self._begun
        assert transport is not None
        self._leave()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if begun:
            protocol.data_received(begun)

    def _h2(self) -> asyncio.Protocol:
        return H2Protocol(
            self._config, self._server, self._app_state, self._loop, limits=self.limits
        )

    def _h1(self) -> asyncio.Protocol:
        return AutoHTTPProtocol(self._config, self._server, self._app_state, self._loop)  # type: ignore[call-arg]


def prepare(config: Config) -> None:
    """Load uvicorn's settings, and offer HTTP/2 in its TLS handshake; newer ones do so alone."""
    if not config.loaded:
        config.load()
    if config.ssl is not None:
        config.ssl.set_alpn_protocols(ALPN)
