"""What one HTTP/3 server lets its clients have, each bound with its unit."""

from __future__ import annotations

from dataclasses import dataclass, field

from supersoniq.servers.arriving import Arriving

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of an HTTP/3 server.

    A connection can hold ``max_streams * window`` bytes that no app has read, and as many times
    ``send_buffer`` that its client has not acknowledged; both take a client that means it.

    Attributes:
        max_connections: connections at the same time; more are refused.
        connections_per_address: of those, from one IPv4 address or IPv6 network (/64).
        max_streams: requests at the same time on a connection, those counted whose client has left
            while the app still works on them.
        window: bytes of a stream that may wait for the app to read them.
        first_window: the same, as long as the app has not read any. There is room for a head in it.
        send_buffer: bytes of a stream that may wait for the client to take them.
        send_timeout: seconds that a client may take to make room for more.
        header_bytes: bytes of a request's header fields, as they are sent.
        message_bytes: bytes of a WebSocket message.
        arriving: counts what of such messages is half sent, of all connections.
        sessions: WebTransport sessions on a connection; with none it is not offered.
        head_timeout: seconds in which a request's head arrives whole.
        idle_timeout: seconds of silence after which a connection is over.
        unused_timeout: seconds without any request after which a connection is closed, silent or
            not: its place is wanted by others.
        keep_alive: seconds after which a silent connection with open requests is pinged.
        cancels: requests that a client may cancel at a stroke, before it is shown out.
        cancels_per_second: how fast it earns new ones.
        resets: datagrams of connections that are unknown here, as after a restart, that are
            answered at a stroke (stateless resets); each costs some 30 us.
        resets_per_second: how fast there may be more.
    """

    max_connections: int = 1000
    connections_per_address: int = 100
    max_streams: int = 100
    first_window: int = 32 * 1024
    window: int = 128 * 1024
    send_buffer: int = 128 * 1024
    send_timeout: float = 30.0
    header_bytes: int = 16 * 1024
    message_bytes: int = 4 * 1024 * 1024
    sessions: int = 4
    head_timeout: float = 10.0
    idle_timeout: float = 30.0
    unused_timeout: float = 60.0
    keep_alive: float = 10.0
    cancels: int = 500
    cancels_per_second: float = 50.0
    resets: int = 1000
    resets_per_second: float = 1000.0
    arriving: Arriving = field(default_factory=Arriving)
