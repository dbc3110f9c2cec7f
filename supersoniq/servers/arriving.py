"""The memory that takes what is half sent, of all clients together: bodies, WebSocket messages.

Each has a bound of its own, and a larger body comes only when it is let in: what those have taken
(``adapters/http/admission.py``) is not there for others. But who opens a thousand connections can
have a thousand of them on their way, each nearly whole and none of them ever ended. So what has
come is counted. Above a limit the one that has been arriving for longest is given up: those of
honest clients are there within moments, and are not the oldest where anybody dawdles.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

__all__ = ["KEPT", "MAX_ARRIVING", "Arriving", "HalfSent", "Part"]

MAX_ARRIVING = 32 * 1024 * 1024
LITTLE = 16 * 1024
"""Bytes of a message that are not worth counting."""
AT_ONCE = 256 * 1024
"""Bytes that uvloop reads at once over TLS, if they are there."""
KEPT = 600 * 1024
"""Bytes that it and OpenSSL keep of a connection which has sent so much, about, until it ends."""


class Part(Protocol):
    """What has come of something."""

    size: int

    def give_up(self) -> None:
        """Await no more of it, soon."""


class Arriving:
    """Everything of which more is to come.

    Args:
        limit: bytes that have come of it all, and that others have taken.
    """

    __slots__ = ("_parts", "limit", "reserved", "size")

    def __init__(self, limit: int = MAX_ARRIVING) -> None:
        self.limit = limit
        self.size = 0
        """Bytes that have come."""
        self.reserved = 0
        """Bytes that others have taken, who were let in and are not given up here."""
        self._parts: dict[Part, None] = {}

    @property
    def share(self) -> int:
        """Bytes that may have come now: what others leave, and a quarter at least."""
        return max(self.limit - self.reserved, self.limit // 4)

    def begin(self, part: Part) -> None:
        """Count it. O(1)."""
        self._parts[part] = None
        self.grow(part, part.size)

    def grow(self, part: Part, size: int) -> None:
        """So many bytes more have come. O(1) amortised: a part is given up once."""
        if part not in self._parts:
            return  # it was given up, and will hear of it when it next waits
        self.size += size
        self._make_room()

    def reserve(self, size: int) -> None:
        """So many bytes more are taken by others; or fewer."""
        self.reserved += size
        self._make_room()

    def _make_room(self) -> None:
        while self.size > self.share and self._parts:
            oldest = next(iter(self._parts))
            self.end(oldest)
            oldest.give_up()

    def end(self, part: Part) -> None:
        """Count it no more. O(1)."""
        if part in self._parts:
            del self._parts[part]
            self.size -= part.size


class HalfSent:
    """What has come of a connection's WebSocket messages, and its app has not taken.

    Args:
        arriving: what of all connections has.
        cut: ends the connection.
        kept: bytes that much of a message counts for besides: ``KEPT`` over TLS.
    """

    __slots__ = ("_arriving", "_cut", "_given_up", "kept", "size")

    def __init__(self, arriving: Arriving, cut: Callable[[], None], kept: int = 0) -> None:
        self.size = 0
        """Bytes that are counted."""
        self.kept = kept
        self._arriving = arriving
        self._cut = cut
        self._given_up = False

    def is_now(self, size: int) -> None:
        """So many bytes of it are here now. O(1)."""
        if size >= AT_ONCE:
            size += self.kept
        self._count(size)

    def _count(self, size: int) -> None:
        if size > LITTLE and self.size <= size:
            grown, self.size = size - self.size, size
            if grown == size:
                self._arriving.begin(self)
            elif grown:
                self._arriving.grow(self, grown)
        elif self.size:
            # That message is here; this is another one.
            self._arriving.end(self)
            self.size, self._given_up = 0, False
            self._count(size)

    def give_up(self) -> None:
        """End the connection soon, unless the message is here until then."""
        self._given_up = True
        asyncio.get_running_loop().call_soon(self._cut_off)

    def _cut_off(self) -> None:
        if self._given_up:
            self._cut()
