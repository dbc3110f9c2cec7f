"""What still comes of requests that were answered already.

A request may be answered before all of it has come. RFC 9113 (8.1) lets a server reset it then,
with NO_ERROR; but curl before 8 loses the answer by that, and httpx waits for ever for leave to
send the rest. So the rest is taken and thrown away, up to a bound.
"""

from __future__ import annotations

from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError

from supersoniq.servers.h2.engine import Engine
from supersoniq.servers.h2.limits import Limits

__all__ = ["Discards"]


class Discards:
    """The streams of one connection whose rest is thrown away.

    Args:
        engine: the connection's.
        limits: how many streams, and how much of each.
    """

    def __init__(self, engine: Engine, limits: Limits) -> None:
        self._engine = engine
        self._limits = limits
        self._left: dict[int, int] = {}
        """By stream, the bytes that may still come."""

    def __contains__(self, number: int) -> bool:
        return number in self._left

    def begin(self, number: int) -> None:
        """That stream was answered. Where there are too many, the oldest is reset."""
        self._left[number] = self._limits.discard
        if len(self._left) > self._limits.discards:
            self._stop(next(iter(self._left)))
        self.take(number, self._limits.window)

    def take(self, number: int, size: int) -> bool:
        """So many bytes of a stream have come. Gives whether they are thrown away."""
        if number not in self._left:
            return False
        self._left[number] -= size
        if self._left[number] < 0:
            self._stop(number)
        elif size:
            try:
                self._engine.increment_flow_control_window(size, number)
            except (ProtocolError, KeyError):  # it is over
                del self._left[number]
        return True

    def end(self, number: int) -> None:
        """All of it has come, or the client has reset it."""
        self._left.pop(number, None)

    def _stop(self, number: int) -> None:
        del self._left[number]
        try:
            self._engine.reset_stream(number, ErrorCodes.NO_ERROR)
        except (ProtocolError, KeyError):
            pass  # it is over
