"""HTTP/3 (RFC 9114) on ``aioquic``.

Nobody says that a connection has ended when its server was killed. What there is instead: the
server that is started again, which knows nothing of it (``resets``), and the system, to which the
server's machine says that nobody listens there (ICMP), if the socket is connected. Both come only
in answer to what is sent, and so a silent connection is pinged sooner than one over TCP.

A request that is refused with H3_REQUEST_REJECTED was not looked at (section 4.1.1); ``aioquic``
passes over a GOAWAY, so that is also how a server is noticed that goes away.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from typing import Any, cast

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import ErrorCode, H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted, QuicEvent, StreamReset

from supersoniq.backends.remote.address import Address
from supersoniq.backends.remote.line import Request, words
from supersoniq.backends.remote.racing import race
from supersoniq.backends.remote.resets import drain, is_reset
from supersoniq.backends.remote.shared import Link, SharedLine, fields
from supersoniq.core.errors import OutcomeUnknown

__all__ = ["dial"]

QUIET = 5.0
"""Seconds without a word after which the server is pinged."""
DOUBT = 1.0
"""Seconds in which it must answer when the system says that it is not there."""
WINDOW, CONNECTION_WINDOW = 1 << 22, 1 << 24
"""Bytes of an answer, and of all answers together, that may be under way."""


def dial(
    address: Address, host: str, patience: float, ca: str | os.PathLike[str] | None
) -> SharedLine:
    """A line to a server.

    Args:
        address: where it is.
        host: its name for requests.
        patience: seconds for a connection to stand.
        ca: a file of certificates to trust, instead of the system's.
    """

    async def connect() -> Link:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)
        return await race(link, [(family, there) for family, _, _, _, there in found])

    async def link(found: tuple[int, Any]) -> Link:
        family, there = found
        loop = asyncio.get_running_loop()
        configuration = _configuration(address.host, ca)
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.connect(there)
            _, carrier = await loop.create_datagram_endpoint(
                lambda: Carrier(QuicConnection(configuration=configuration)), sock=sock
            )
        except BaseException:
            sock.close()
            raise
        made = Http3(carrier, host)
        carrier.connect(there)
        try:
            await made.stands()
        except BaseException:
            made.close()
            raise
        return made

    return SharedLine(connect, f"{address.host}:{address.port}", patience=patience)


class Connected:
    """A transport whose socket has its peer. uvloop will not be told of it again."""

    def __init__(self, transport: asyncio.DatagramTransport) -> None:
        self._transport = transport
        self.close = transport.close

    def sendto(self, data: bytes, _addr: Any) -> None:
        """Send to the peer."""
        self._transport.sendto(data)


class Carrier(QuicConnectionProtocol):
    """What aioquic has of it, is called by asyncio and tells the link."""

    link: Http3

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(
            asyncio.DatagramTransport, Connected(cast(asyncio.DatagramTransport, transport))
        )

    def datagram_received(self, data: bytes | str, addr: Any) -> None:
        if is_reset(self._quic, cast(bytes, data)):
            drain(self._quic, self._loop.time())
            self.link.lose("the server knows nothing of the connection: it was started again")
            return
        self.link.heard()
        super().datagram_received(data, self._quic.get_peer_address())

    def error_received(self, exc: Exception) -> None:
        self.link.unreachable(exc)

    def quic_event_received(self, event: QuicEvent) -> None:
        self.link.event(event)


class Http3(Link):
    """A connection.

    Args:
        carrier: below it.
        host: the server's name for requests.
    """

    def __init__(self, carrier: Carrier, host: str) -> None:
        super().__init__()
        carrier.link = self
        self._carrier = carrier
        self._quic = carrier._quic  # there is no other way to it, nor do its subclasses need one
        self._host = host
        self._h3 = H3Connection(self._quic)
        self._uid = 0
        self._decided = asyncio.Event()
        """Whether it stands, or has ended before."""
        self._doubt: asyncio.TimerHandle | None = None

    async def stands(self) -> None:
        """Wait until it does.

        Raises:
            OSError: it does not come to that.
        """
        # aioquic's own waiter fails when it is left, and asyncio complains that nobody has looked.
        await self._decided.wait()
        if self._problem is not None:
            raise OSError(self._problem)
        self.standing()

    @property
    def _quiet(self) -> float:
        return min(QUIET, super()._quiet)

    # What comes.

    def unreachable(self, error: Exception) -> None:
        """The system says that nobody is there.

        That ends an attempt. A connection that stands is first asked: a stranger who guesses its
        ports can have the system say so, and a router may for a moment.
        """
        if not self._decided.is_set():
            self.lose(str(error))
        elif self._problem is None and self._doubt is None:
            self._doubt = self._clock.call_later(DOUBT, self._doubted, self._heard, error)
            self._ping()

    def _doubted(self, heard: float, error: Exception) -> None:
        self._doubt = None
        if self._heard == heard:
            self.lose(words(error))

    def event(self, event: QuicEvent) -> None:
        """Something came."""
        if isinstance(event, HandshakeCompleted):
            self._decided.set()
        elif isinstance(event, ConnectionTerminated):
            reason = event.reason_phrase or "without a word"
            self.lose(f"the connection has ended (code {event.error_code}): {reason}")
        elif isinstance(event, StreamReset):
            self._was_reset(event.stream_id, event.error_code)
        else:
            for told in self._h3.handle_event(event):
                self._told(told)

    def _told(self, event: H3Event) -> None:
        if not isinstance(event, HeadersReceived | DataReceived):
            return
        reply = self._replies.get(event.stream_id)
        if reply is None:
            return
        if isinstance(event, HeadersReceived):
            status = dict(event.headers).get(b":status")
            if status is not None and status.isdigit():  # else they are trailers
                reply.head(int(status))
        elif event.data:
            reply.data(event.data)
        if event.stream_ended:
            self._done(event.stream_id)
            reply.end()

    def _was_reset(self, stream: int, code: int) -> None:
        if code == ErrorCode.H3_REQUEST_REJECTED:
            self._leaving = True
            self._refused(stream, "the server takes no more requests")
        elif (reply := self._done(stream)) is not None:
            reply.fail(OutcomeUnknown(f"the server broke off the answer (code {code})"))

    # What leaves.

    def _number(self) -> int:
        return self._quic.get_next_available_stream_id()

    def _send(self, stream: int, request: Request) -> None:
        head = fields(request, "https", self._host)
        self._h3.send_headers(stream, head, end_stream=not request.body)
        if request.body:
            self._h3.send_data(stream, request.body, end_stream=True)
        self._carrier.transmit()

    def _taken(self, stream: int, size: int) -> None:
        """It makes room by itself."""

    def _reset(self, stream: int) -> None:
        try:
            self._quic.reset_stream(stream, ErrorCode.H3_REQUEST_CANCELLED)
            self._quic.stop_stream(stream, ErrorCode.H3_REQUEST_CANCELLED)
        except ValueError:
            pass  # both have said all
        self._carrier.transmit()

    def _ping(self) -> None:
        self._uid += 1
        self._quic.send_ping(self._uid)
        self._carrier.transmit()

    def _hang_up(self) -> None:
        self._decided.set()
        if self._doubt is not None:
            self._doubt.cancel()
        self._carrier.close(ErrorCode.H3_NO_ERROR)
        if self._carrier._transport is not None:
            self._carrier._transport.close()


def _configuration(host: str, ca: str | os.PathLike[str] | None) -> QuicConfiguration:
    """Trusts what the system trusts, as over TCP, or what the file says."""
    configuration = QuicConfiguration(
        is_client=True,
        alpn_protocols=["h3"],
        server_name=host,
        idle_timeout=60.0,
        max_data=CONNECTION_WINDOW,
        max_stream_data=WINDOW,
    )
    system = ssl.get_default_verify_paths()
    cafile, capath = (os.fspath(ca), None) if ca is not None else (system.cafile, system.capath)
    if cafile is not None or capath is not None:
        configuration.load_verify_locations(cafile=cafile, capath=capath)
    return configuration
