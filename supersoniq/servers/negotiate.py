"""Which HTTP is spoken on a new connection: found out, and handed to the one who speaks it.

Over TLS the client says so in the handshake (ALPN). On clear text, the first bytes say it: HTTP/2
begins with a preface that no HTTP/1.1 request can begin with ("prior knowledge"). The third way,
``Upgrade: h2c``, is gone from HTTP (RFC 9113, section 3.1), and smuggled requests past proxies.

The transport is handed over to who speaks it (``h1.py``, ``h2/protocol.py``) before they have seen
a byte of it. Who comes when there is no room is handed to those who say so (``full.py``).
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, ClassVar, cast

from supersoniq.servers.full import FullH1, FullH2, courtesy
from supersoniq.servers.h1 import H1Protocol
from supersoniq.servers.h2.frames import PREFACE
from supersoniq.servers.h2.limits import Limits
from supersoniq.servers.h2.protocol import H2Protocol
from supersoniq.servers.sips import SIP, Sips
from supersoniq.servers.told import REFUSED

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

__all__ = ["ALPN", "Negotiator", "prepare"]

log = logging.getLogger("supersoniq.servers")

ALPN = ["h2", "http/1.1"]


class Negotiator(asyncio.Protocol):
    """For uvicorn's ``http=`` option; the arguments are those that uvicorn gives.

    Args:
        config: uvicorn's settings; see ``prepare``.
        server_state: uvicorn's connections and tasks.
        app_state: the lifespan's state.
        _loop: the loop.
        limits: bounds of a connection; those of the class, by default.
        max_connections: TCP connections at the same time; without, there is no bound.
    """

    limits: Limits = Limits()
    """Bounds of a connection; a subclass may have others."""
    alpn_protocols: ClassVar[list[str]] = ALPN

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        limits: Limits | None = None,
        max_connections: int | None = None,
    ) -> None:
        if limits is not None:
            self.limits = limits
        self._most = max_connections
        self._full = False
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
        if self._most is not None:
            others = len(self._server.connections)
            self._full = others >= self._most
            if self._full:
                log.warning("over the limit of %d connections: refused", self._most, extra=REFUSED)
            if others >= self._most + courtesy(self._most):
                transport.abort()
                return
        secure = transport.get_extra_info("ssl_object")
        chosen = None
        if secure is not None:
            chosen = secure.selected_alpn_protocol()
            # What was read and not decrypted: it would be half a megabyte, or more.
            cast(Any, transport).set_read_buffer_limits(SIP)
        if chosen == "h2":
            self._choose(self._h2())
        elif chosen is not None:
            self._choose(self._h1())
        else:
            self._server.connections.add(self)  # type: ignore[arg-type]
            self._timer = self._loop.call_later(self.limits.head_timeout, transport.abort)

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

    @property
    def transport(self) -> asyncio.Transport:
        """The connection's; uvicorn's own protocols have it too."""
        assert self._transport is not None
        return self._transport

    def shutdown(self) -> None:
        """The server stops: nothing was asked yet."""
        self.transport.abort()

    def _leave(self) -> None:
        self._server.connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    def _choose(self, protocol: asyncio.Protocol) -> None:
        transport, begun = self._transport, self._begun
        assert transport is not None
        self._leave()
        transport.set_protocol(Sips(protocol) if isinstance(protocol, H1Protocol) else protocol)
        protocol.connection_made(transport)
        if begun:
            protocol.data_received(begun)

    def _h2(self) -> asyncio.Protocol:
        kind = FullH2 if self._full else H2Protocol
        return kind(self._config, self._server, self._app_state, self._loop, self.limits)

    def _h1(self) -> asyncio.Protocol:
        if self._full:
            return FullH1(self._server, self._loop, self.limits)
        return H1Protocol(self._config, self._server, self._app_state, self._loop, self.limits)


def prepare(config: Config) -> None:
    """Load uvicorn's settings, and offer HTTP/2 in its TLS handshake; newer ones do so alone."""
    if not config.loaded:
        config.load()
    if config.ssl is not None:
        config.ssl.set_alpn_protocols(ALPN)
