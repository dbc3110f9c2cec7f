"""The UDP socket: which datagram belongs to which connection, and who may have one.

Everything that arrives here was written by strangers, and one loop serves them all. So every
datagram is handled within its own ``try``: whatever it makes a library do, it costs its own
connection at most. There is nothing that could end the listener but ``close``.

And one loop serves them all: what arrives waits by sender (``inbox.py``), and a turn of the loop
works on a few datagrams of each, one sender after the other, until it has done enough. Those who
have no connection are one sender for each address. What comes for a connection that is over does
not wait at all. What comes for one that is not known is answered with a reset (``resets.py``), as
often as may be.

A new connection is made only for a client that has shown that it is where it says it is: its first
packet is answered with a Retry, which costs us nothing to remember, and which a forged address
never sees (RFC 9000, section 8.1). Then there must be room for it, or it is told that there is
none.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, cast

from aioquic._buffer import Buffer
from aioquic.quic.configuration import SMALLEST_MAX_DATAGRAM_SIZE, QuicConfiguration
from aioquic.quic.connection import NetworkAddress
from aioquic.quic.crypto import CryptoPair
from aioquic.quic.packet import (
    QuicErrorCode,
    QuicFrameType,
    QuicHeader,
    QuicPacketType,
    encode_quic_retry,
    encode_quic_version_negotiation,
    pull_quic_header,
)
from aioquic.quic.packet_builder import QuicPacketBuilder
from aioquic.quic.retry import QuicRetryTokenHandler

from supersoniq.servers.h3.credit import Connection
from supersoniq.servers.h3.inbox import Inbox
from supersoniq.servers.h3.limits import Limits
from supersoniq.servers.h3.protocol import Protocol
from supersoniq.servers.h3.resets import Resets
from supersoniq.servers.told import REFUSED

__all__ = ["Listener"]

log = logging.getLogger("supersoniq.servers.h3")

SHARE = 8
"""Datagrams of one sender that are worked on before the next one's turn."""
TURN, TURN_SECONDS = 32, 0.002
"""Datagrams, and seconds of work on them, after which all else in the loop has its turn."""


LONG_HEADER = 0x80
Arrived = tuple[bytes, NetworkAddress, QuicHeader | None]
"""A datagram, from where, and its first header if that is a long one."""


class Listener(asyncio.DatagramProtocol):
    """One UDP socket and its connections.

    Args:
        configuration: certificate and transport parameters.
        limits: the server's bounds.
        resets: what those are told who have a connection that is not known here.
        make: makes the protocol of a new connection.
    """

    def __init__(
        self,
        configuration: QuicConfiguration,
        limits: Limits,
        resets: Resets,
        make: Callable[[Connection], Protocol],
    ) -> None:
        self.connections: set[Protocol] = set()
        self.closing = False
        """Whether new connections are turned away."""
        self._configuration = configuration
        self._limits = limits
        self._resets = resets
        self._make = make
        self._by_id: dict[bytes, Protocol] = {}
        self._homes: Counter[bytes] = Counter()
        self._inbox: Inbox[Protocol | bytes, Arrived] = Inbox()
        self._working = False
        self._retry = QuicRetryTokenHandler()
        self._transport: asyncio.DatagramTransport | None = None
        self._loop = asyncio.get_running_loop()
        self._now = self._loop.time

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is there."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    def error_received(self, exc: Exception) -> None:
        """Some client's address was unreachable; its connection will time out."""

    def datagram_received(self, data: bytes, addr: NetworkAddress) -> None:
        """Somebody sent something: it waits for its sender's turn. Never raises."""
        with self._surviving():
            header = None
            if data and not data[0] & LONG_HEADER:
                name = data[1 : 1 + self._configuration.connection_id_length]
            else:
                try:
                    header = pull_quic_header(Buffer(data=data), host_cid_length=0)
                except ValueError:
                    return
                name = header.destination_cid
            protocol = self._by_id.get(name)
            if protocol is None:
                if header is not None:
                    self._inbox.put(_home(addr), (data, addr, header))
                elif reset := self._resets.answer(len(data), name, self._now()):
                    self._send(reset, addr)
            elif not protocol.quic.is_over():
                self._inbox.put(protocol, (data, addr, header))
            self._work_soon()

    def _work_soon(self) -> None:
        if self._inbox and not self._working:
            self._working = True
            self._loop.call_soon(self._work)

    def _work(self) -> None:
        """A turn's work."""
        self._working = False
        left, end = TURN, time.perf_counter() + TURN_SECONDS
        while self._inbox and left > 0 and time.perf_counter() < end:
            sender, arrived = self._inbox.take(min(SHARE, left))
            left -= len(arrived)
            if isinstance(sender, Protocol):
                sender.take([(data, addr) for data, addr, _ in arrived])
                continue
            for data, addr, header in arrived:
                with self._surviving():
                    assert header is not None
                    self._received(data, addr, header)
        self._work_soon()

    @contextlib.contextmanager
    def _surviving(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            log.warning("a datagram was dropped: %s: %s", type(error).__name__, error)
            log.debug("where that happened", exc_info=True)

    def close(self) -> None:
        """Close the socket."""
        self._inbox.clear()
        if self._transport is not None:
            self._transport.close()

    def _received(self, data: bytes, addr: NetworkAddress, header: QuicHeader) -> None:
        protocol = self._by_id.get(header.destination_cid)  # it may have begun since
        if protocol is None:
            protocol = self._first(data, header, addr)
        if protocol is not None:
            protocol.take([(data, addr)])

    def _first(self, data: bytes, header: QuicHeader, addr: NetworkAddress) -> Protocol | None:
        """What to do with a packet that belongs to no connection; answers are never longer."""
        known = self._configuration.supported_versions
        if len(data) < SMALLEST_MAX_DATAGRAM_SIZE or header.version is None:
            return None
        if header.packet_type == QuicPacketType.VERSION_NEGOTIATION:
            return None
        if header.version not in known:
            self._send(
                encode_quic_version_negotiation(
                    source_cid=header.destination_cid,
                    destination_cid=header.source_cid,
                    supported_versions=known,
                ),
                addr,
            )
            return None
        if header.packet_type != QuicPacketType.INITIAL:
            return None
        if not header.token:
            self._send_retry(header, addr)
            return None
        try:
            original = self._retry.validate_token(
                address=addr,
                destination_cid=header.destination_cid,
                token=header.token,
                now=self._now(),
            )
        except ValueError:
            self._refuse(header, QuicErrorCode.INVALID_TOKEN, addr)
            return None
        home = _home(addr)
        full = len(self.connections) >= self._limits.max_connections
        if self.closing:
            self._refuse(header, QuicErrorCode.CONNECTION_REFUSED, addr)
            return None
        if full or self._homes[home] >= self._limits.connections_per_address:
            log.warning("too many HTTP/3 connections, in all or of one address", extra=REFUSED)
            self._refuse(header, QuicErrorCode.CONNECTION_REFUSED, addr)
            return None
        return self._open(original, header, home)

    def _open(self, original: bytes, header: QuicHeader, home: bytes) -> Protocol:
        quic = Connection(
            self._limits,
            self._resets.token,
            configuration=self._configuration,
            original_destination_connection_id=original,
            retry_source_connection_id=header.destination_cid,
        )
        protocol = self._make(quic)
        assert self._transport is not None
        protocol.connection_made(self._transport)
        handlers: Any = protocol  # aioquic's own server reaches for these as well
        handlers._connection_id_issued_handler = lambda name: self._issued(name, protocol)
        handlers._connection_id_retired_handler = lambda name: self._retired(name, protocol)
        handlers._connection_terminated_handler = lambda: self._ended(protocol)
        protocol.ids = {header.destination_cid, quic.host_cid}
        for name in protocol.ids:
            self._by_id[name] = protocol
        protocol.home = home
        self._homes[home] += 1
        self.connections.add(protocol)
        return protocol

    def _issued(self, name: bytes, protocol: Protocol) -> None:
        protocol.ids.add(name)
        self._by_id[name] = protocol

    def _retired(self, name: bytes, protocol: Protocol) -> None:
        protocol.ids.discard(name)
        self._by_id.pop(name, None)

    def _ended(self, protocol: Protocol) -> None:
        if protocol in self.connections:
            self.connections.remove(protocol)
            self._homes[protocol.home] -= 1
            if not self._homes[protocol.home]:
                del self._homes[protocol.home]
        for name in protocol.ids:
            if self._by_id.get(name) is protocol:
                del self._by_id[name]

    def _send(self, data: bytes, addr: NetworkAddress) -> None:
        assert self._transport is not None
        self._transport.sendto(data, addr)

    def _send_retry(self, header: QuicHeader, addr: NetworkAddress) -> None:
        source = os.urandom(self._configuration.connection_id_length)
        token = self._retry.create_token(
            address=addr,
            original_destination_connection_id=header.destination_cid,
            retry_source_connection_id=source,
            now=self._now(),
        )
        assert header.version is not None
        self._send(
            encode_quic_retry(
                version=header.version,
                source_cid=source,
                destination_cid=header.source_cid,
                original_destination_cid=header.destination_cid,
                retry_token=token,
            ),
            addr,
        )

    def _refuse(self, header: QuicHeader, code: QuicErrorCode, addr: NetworkAddress) -> None:
        """Close a connection that was never there."""
        assert header.version is not None
        crypto = CryptoPair()
        crypto.setup_initial(cid=header.destination_cid, is_client=False, version=header.version)
        builder = QuicPacketBuilder(
            host_cid=header.destination_cid,
            is_client=False,
            max_datagram_size=SMALLEST_MAX_DATAGRAM_SIZE,
            peer_cid=header.source_cid,
            version=header.version,
        )
        builder.start_packet(QuicPacketType.INITIAL, crypto)
        frame = builder.start_frame(QuicFrameType.TRANSPORT_CLOSE, capacity=32)
        frame.push_uint_var(code)
        frame.push_uint_var(QuicFrameType.PADDING)
        frame.push_uint_var(0)
        for datagram in builder.flush()[0]:
            self._send(datagram, addr)


def _home(addr: NetworkAddress) -> bytes:
    """What one client can hardly have many of: an IPv4 address, or the network of an IPv6 one."""
    packed: bytes = ipaddress.ip_address(addr[0].partition("%")[0]).packed
    return packed[:8]
