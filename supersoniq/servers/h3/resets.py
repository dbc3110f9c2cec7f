"""Stateless resets (RFC 9000, section 10.3): how clients of a server that died learn of it.

Over UDP nobody else tells them. They go on sending to a server that was started again and knows
nothing of their connections, and until they give up (20 s in our client, 30 in others) nothing
comes. So a datagram that belongs to no connection is answered with a token that only the server
which gave out the connection's name can know, and which the client was told in the beginning.

The token is a keyed hash of the name. Its key must be the same after a restart, and is derived from
that of the certificate; with another certificate's key all goes on as if there were no resets. It
must not be the same for two servers: whoever has seen a name could have the token of one server's
connection told by the other (section 21.11). So the machine's name and the address go into it.

aioquic sends no resets, and makes tokens from random bytes in two places, of which one is private;
``tests/servers/test_h3_resets.py`` fails if it makes them elsewhere.
"""

from __future__ import annotations

import hmac
import os
import socket
from collections.abc import Callable
from typing import Any

from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import STATELESS_RESET_TOKEN_SIZE
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from supersoniq.servers.budget import Budget
from supersoniq.servers.h3.certificate import Key

__all__ = ["Named", "Resets"]

SMALLEST, LARGEST = 21, 43
"""Bytes of a reset. Each is shorter than what it answers, so two servers do not go on for ever."""


class Resets:
    """Makes tokens, and resets within bounds.

    Args:
        key: that of the certificate.
        address: host and port on which the server listens.
        burst: resets at a stroke.
        rate: resets a second.
    """

    def __init__(self, key: Key, address: tuple[str, int], burst: int, rate: float) -> None:
        place = f"supersoniq stateless reset {socket.gethostname()} {address[0]} {address[1]}"
        secret = key.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        hkdf = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=place.encode())
        self._key = hkdf.derive(secret)
        self._budget = Budget(burst, rate)

    def token(self, name: bytes) -> bytes:
        """That of a connection id."""
        return hmac.digest(self._key, name, "sha256")[:STATELESS_RESET_TOKEN_SIZE]

    def answer(self, size: int, name: bytes, now: float) -> bytes | None:
        """A reset, or nothing.

        Args:
            size: bytes of the datagram that it answers.
            name: the connection id in it.
            now: the loop's time.
        """
        size = min(size - 1, LARGEST)
        if size < SMALLEST or not self._budget.take(now):
            return None
        noise = bytearray(os.urandom(size - STATELESS_RESET_TOKEN_SIZE))
        noise[0] = noise[0] & 0x3F | 0x40  # as a packet with a short header begins
        return bytes(noise) + self.token(name)


class Named(QuicConnection):
    """A connection whose names have the tokens that they will have again.

    Args:
        token: makes them.
        options: those of aioquic's ``QuicConnection``.
    """

    def __init__(self, token: Callable[[bytes], bytes], **options: Any) -> None:
        super().__init__(**options)
        self._token = token
        self._give_tokens()

    def _replenish_connection_ids(self) -> None:
        super()._replenish_connection_ids()
        self._give_tokens()

    def _give_tokens(self) -> None:
        for each in self._host_cids:
            each.stateless_reset_token = self._token(each.cid)
