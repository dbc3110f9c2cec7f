"""Reading little at a time, where nobody has asked for more yet.

An event loop reads a quarter of a megabyte at once, if that is there, before anybody could say that
it is too much. Hundreds of connections whose requests wait for their turn would have that each. So
their reads are bounded: what is more waits in the kernel, and soon at the client.
"""

from __future__ import annotations

import asyncio
import threading

__all__ = ["SIP", "Sips"]

SIP = 32768
"""Bytes of one read."""


class _Cup(threading.local):
    """One for all of a loop: it fills it and has it emptied, before it reads anything else."""

    def __init__(self) -> None:
        self.memory = memoryview(bytearray(SIP))


_cup = _Cup()


class Sips(asyncio.BufferedProtocol):
    """Hands everything on to a protocol, and bounds what it is handed at once.

    Args:
        protocol: that one. Both are of the loop of this thread.
    """

    __slots__ = ("_memory", "_protocol", "_take", "eof_received", "pause_writing", "resume_writing")

    def __init__(self, protocol: asyncio.Protocol) -> None:
        self._memory = _cup.memory
        self._protocol = protocol
        self._take = protocol.data_received
        self.eof_received = protocol.eof_received  # type: ignore[method-assign]
        self.pause_writing = protocol.pause_writing  # type: ignore[method-assign]
        self.resume_writing = protocol.resume_writing  # type: ignore[method-assign]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """There is a connection."""
        self._protocol.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._protocol.connection_lost(exc)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to read to."""
        return self._memory

    def buffer_updated(self, nbytes: int) -> None:
        """So much was read."""
        self._take(bytes(self._memory[:nbytes]))
