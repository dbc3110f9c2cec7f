"""What a connection has sent at once, read in slices, so that others have their turns in between.

A protocol hands what arrives to ``feed`` and is given it back in slices, one in a turn of the loop.
As long as something waits here, nothing more is read from the socket.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["SLICE", "Slices"]

SLICE = 16384
"""Bytes that are read before others have their turn."""


class Slices:
    """What waits of one connection.

    Args:
        transport: the connection's.
        loop: its loop.
        take: reads a slice.
        may: whether another one may be read now. When it may again, call ``go_on``.
    """

    __slots__ = ("_at", "_going", "_held", "_loop", "_may", "_rest", "_take", "_transport")

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        take: Callable[[bytes], None],
        may: Callable[[], bool],
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._take = take
        self._may = may
        self._rest = b""
        self._at = 0
        """Bytes of the rest that were read: cutting them off would copy all others."""
        self._going = False
        self._held = False

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return len(self._rest) - self._at

    def feed(self, data: bytes) -> None:
        """Something has arrived."""
        if not self._rest and len(data) <= SLICE:
            self._take(data)
            return
        self._rest = self._rest[self._at :] + data
        self._at = 0
        self._held = True
        self._transport.pause_reading()
        self.go_on()

    def go_on(self) -> None:
        """Read on: what waits, slice by slice, and then the socket."""
        if self._rest:
            if not self._going:
                self._going = True
                self._loop.call_soon(self._next)
        elif not self._transport.is_closing():
            self._held = False
            self._transport.resume_reading()

    def drop(self) -> None:
        """Forget what waits; another one reads the socket from now on."""
        self._rest, self._at = b"", 0
        if self._held:
            self.go_on()

    def _next(self) -> None:
        self._going = False
        if self._transport.is_closing():
            self._rest, self._at = b"", 0
        elif self._rest and self._may():
            piece = self._rest[self._at : self._at + SLICE]
            self._at += SLICE
            if self._at >= len(self._rest):
                self._rest, self._at = b"", 0
            self._take(piece)
            if self._may():
                self.go_on()
