"""What one HTTP/2 connection may ask of the server."""

from __future__ import annotations

from dataclasses import dataclass, field

from supersoniq.servers.arriving import Arriving

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a connection. Times are in seconds, sizes in bytes.

    What a connection can make the server hold is about ``streams * (window + header_list)`` of
    requests, ``output`` of answers and acknowledgements, and what the apps of its streams hold.
    """

    streams: int = 100
    """Requests at the same time. One that was reset counts until its app has ended."""
    header_list: int = 65536
    """Of a request's head, with 32 for each field. Above it: 431. Above twice: the connection."""
    first_window: int = 16384
    """Of a request's body of which its app has not read anything: a thousand that wait for their
    turn shall not have a window each."""
    window: int = 65535
    """Of a request's body that its app has not read, as soon as it reads."""
    connection_window: int = 1024 * 1024
    """Of all bodies on their way. Given back on arrival: no stream waits for another one's app."""
    discard: int = 16 * 1024 * 1024
    """Of a body that is still on its way when its request was answered. What is more is reset."""
    discards: int = 16
    """Requests of which that is so, at the same time."""
    turn: int = 64
    """Frames that are worked on before other connections have their turn."""
    output: int = 65536
    """Answers that wait to be sent; apps wait above it."""
    control_output: int = 262144
    """The same with acknowledgements; nothing more is read above it."""
    resets: int = 500
    """Streams that were opened in vain: reset, refused or malformed. A burst of them."""
    resets_rate: float = 50.0
    """The same, for each second."""
    nuisances: int = 2000
    """Frames that carry nothing: SETTINGS, PING, PRIORITY, empty DATA, and the like. A burst."""
    nuisances_rate: float = 200.0
    """The same, for each second."""
    pushes: int = 100
    """Pushed responses at the same time, if the client allows as many."""
    unsure_pushes: int = 1000
    """Pushed responses of which it is not certain yet that the client has taken them."""
    push_patience: float = 1.0
    """How long a push waits for an earlier one to end, before it is called impossible."""
    websocket_message: int = 16 * 1024 * 1024
    """Of a WebSocket message."""
    arriving: Arriving = field(default_factory=Arriving)
    """Counts what of such messages is half sent, of all connections."""
    send_timeout: float = 30.0
    """In which a client takes 64 KiB of an answer, or what is left of it."""
    head_timeout: float = 10.0
    """In which a connection says its first word, and in which a head arrives whole."""
    idle_timeout: float = 60.0
    """Without any request, after which the connection is closed."""
    ping_after: float = 20.0
    """Of silence during requests, after which the client is asked for a sign of life."""
    ping_timeout: float = 20.0
    """In which it has to give one."""
    linger: float = 1.0
    """After a connection error, in which what still arrives is thrown away, so that it is read."""
