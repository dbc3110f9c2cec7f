"""HTTP/3 beside the TCP server: the same app, the same port number, the same event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket

from aioquic.h3.connection import H3_ALPN, ErrorCode
from aioquic.quic.configuration import QuicConfiguration

from supersoniq.servers.h3.certificate import load_pair
from supersoniq.servers.h3.credit import Connection
from supersoniq.servers.h3.limits import Limits
from supersoniq.servers.h3.listener import Listener
from supersoniq.servers.h3.protocol import Protocol
from supersoniq.servers.h3.resets import Resets
from supersoniq.servers.request import App

__all__ = ["H3Server", "udp_beside", "udp_socket"]

log = logging.getLogger("supersoniq.servers.h3")

SOCKET_BUFFER = 4 * 1024 * 1024
LAST_WORDS = 0.5
"""Seconds that cancelled requests get to say that they end, and clients at least to hear it."""
SILENCE = 3.0
"""Seconds without a datagram after which a client that was told something is taken for gone."""


class H3Server:
    """An ASGI app over HTTP/3.

    Args:
        app: the app.
        certfile: a PEM file with the certificate, and those that vouch for it.
        keyfile: a PEM file with its private key, if that is not in ``certfile``.
        root_path: the path under which a proxy shows the app.
        limits: what clients may have.

    Raises:
        OSError: a file cannot be read.
        ValueError: they do not hold a certificate and its key.
    """

    def __init__(
        self,
        app: App,
        certfile: str | os.PathLike[str],
        keyfile: str | os.PathLike[str] | None = None,
        *,
        root_path: str = "",
        limits: Limits | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self._app = app
        self._root_path = root_path
        self._listener: Listener | None = None
        self._address: tuple[str, int] | None = None
        self._configuration = QuicConfiguration(
            is_client=False,
            alpn_protocols=H3_ALPN,
            idle_timeout=self.limits.idle_timeout,
            max_stream_data=min(self.limits.first_window, self.limits.window),
            max_data=4 * 1024 * 1024,
            # WebTransport asks for datagrams, even where nobody sends any.
            max_datagram_frame_size=65536 if self.limits.sessions else None,
        )
        # Without a store for tickets aioquic gives none, and so nobody can send early data (0-RTT),
        # which an attacker could send again.
        chain, key = load_pair(certfile, keyfile)
        self._configuration.certificate, *self._configuration.certificate_chain = chain
        self._configuration.private_key = self._key = key

    @property
    def connections(self) -> int:
        """How many there are now."""
        return 0 if self._listener is None else len(self._listener.connections)

    @property
    def port(self) -> int:
        """The UDP port that it listens on."""
        assert self._address is not None, "the server is not started"
        return self._address[1]

    async def start(self, sock: socket.socket) -> None:
        """Begin to listen.

        Args:
            sock: a bound UDP socket, which from now on belongs to the server.
        """
        host, port = sock.getsockname()[:2]
        self._address = (str(host), int(port))
        loop = asyncio.get_running_loop()
        _, self._listener = await loop.create_datagram_endpoint(self._listen, sock=sock)

    async def start_beside(self, listener: socket.socket) -> None:
        """Begin to listen on the address and the port number of a TCP socket.

        Raises:
            OSError: the UDP port of that number is taken.
        """
        await self.start(udp_beside(listener))

    async def stop(self, grace: float = 10.0) -> None:
        """Take no new connections and requests, let those that have begun finish, and end.

        Args:
            grace: seconds that they get, and clients to hear their answers; then they are
                cancelled. Cancelling this cuts them now.
        """
        listener = self._listener
        if listener is None:
            return
        self._listener = None
        listener.closing = True
        clock = asyncio.get_running_loop().time
        end = clock() + grace
        for protocol in list(listener.connections):
            protocol.leave()
        try:
            for patience in (grace, LAST_WORDS):
                if tasks := _tasks(listener):
                    _, late = await asyncio.wait(tasks, timeout=patience)
                    if late and patience == grace:
                        text = "%d requests over HTTP/3 did not end within the grace time: cut"
                        log.warning(text, len(late))
                    for task in late:
                        task.cancel()
            await self._drain(listener, max(end, clock() + LAST_WORDS))
        finally:  # also when the one who stops it has no more patience
            for task in _tasks(listener):
                task.cancel()
            for protocol in list(listener.connections):
                protocol.close(ErrorCode.H3_NO_ERROR)
                protocol.abandon()
            listener.close()

    async def _drain(self, listener: Listener, end: float) -> None:
        """Wait for answers to be acknowledged: an app that has said all may not be heard yet."""
        clock = asyncio.get_running_loop().time
        begun = clock()
        while (now := clock()) < end:
            await asyncio.sleep(0.01)  # for what was just said to be sent; nobody tells of the rest
            if not any(
                each.quic.is_sending() and now - max(begun, each.heard) < SILENCE
                for each in listener.connections
            ):
                return

    def _listen(self) -> Listener:
        assert self._address is not None
        limits = self.limits
        resets = Resets(self._key, self._address, limits.resets, limits.resets_per_second)
        return Listener(self._configuration, limits, resets, self._connect)

    def _connect(self, quic: Connection) -> Protocol:
        return Protocol(quic, self.limits, self._app, self._address, self._root_path)


def _tasks(listener: Listener) -> list[asyncio.Task[None]]:
    return [task for each in listener.connections for task in each.requests.tasks]


def udp_beside(listener: socket.socket) -> socket.socket:
    """A UDP socket on the address and the port number of a TCP one.

    Raises:
        OSError: the port is taken.
    """
    host, port = listener.getsockname()[:2]
    return udp_socket(host, port, listener.family)


def udp_socket(host: str, port: int, family: int) -> socket.socket:
    """A UDP socket on an address.

    Raises:
        OSError: the address cannot be had.
    """
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            # One socket receives for all: a burst should wait here and not be lost.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
    except BaseException:
        sock.close()
        raise
    return sock
