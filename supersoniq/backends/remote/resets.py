"""Stateless resets (RFC 9000, section 10.3): what a server says that knows nothing of a connection.

So does one that was killed and is back. Such a datagram looks like any other, but for its end:
a token that the server told with the connection's name. aioquic keeps these tokens and never looks
at them; this is all that reaches into it for that.
"""

from __future__ import annotations

import hmac

from aioquic.quic.connection import END_STATES, QuicConnection
from aioquic.quic.events import ConnectionTerminated
from aioquic.quic.packet import STATELESS_RESET_TOKEN_SIZE, QuicErrorCode

__all__ = ["drain", "is_reset"]


def is_reset(quic: QuicConnection, datagram: bytes) -> bool:
    """Whether a datagram says that the connection is over.

    Only the names count that are in use: the tokens of others, those who carry datagrams may know.
    """
    names = [quic._peer_cid, *(path.peer_cid for path in quic._network_paths if path.peer_cid)]
    end = datagram[-STATELESS_RESET_TOKEN_SIZE:]
    found = False
    for each in names:
        # A server that has given no token is not believed anything. In constant time, lest a
        # stranger find a token byte by byte.
        if len(each.stateless_reset_token) == STATELESS_RESET_TOKEN_SIZE:
            found |= hmac.compare_digest(each.stateless_reset_token, end)
    return found


def drain(quic: QuicConnection, now: float) -> None:
    """Send nothing any more, a farewell neither: it would only be answered with another reset."""
    if quic._state not in END_STATES:
        quic._close_event = ConnectionTerminated(QuicErrorCode.NO_ERROR, None, "reset")
        quic._close_begin(is_initiator=False, now=now)
