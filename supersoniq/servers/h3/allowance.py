"""How often something is all right."""

from __future__ import annotations

__all__ = ["Allowance"]


class Allowance:
    """A bucket that refills.

    Args:
        size: what it holds, and holds at first.
        rate: how much of that comes back a second.
    """

    __slots__ = ("_left", "_rate", "_size", "_then")

    def __init__(self, size: float, rate: float) -> None:
        self._size = self._left = float(size)
        self._rate = rate
        self._then: float | None = None

    def take(self, now: float) -> bool:
        """Take one out; whether there was one."""
        if self._then is not None:
            self._left = min(self._size, self._left + (now - self._then) * self._rate)
        self._then = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
