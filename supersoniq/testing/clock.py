"""A clock that only a test moves."""

from __future__ import annotations

from collections.abc import Callable

from supersoniq.clock import Clock

__all__ = ["START", "ManualClock"]

START = 1_800_000_000_000
"""Where a manual clock begins unless told otherwise: an instant in 2027."""


class ManualClock(Clock):
    """Stands still until it is moved.

    Args:
        start: its first instant, in milliseconds since the Unix epoch.
    """

    def __init__(self, start: int = START) -> None:
        self._now = start
        self._jumped: list[Callable[[], None]] = []

    def now(self) -> int:
        """Milliseconds since the Unix epoch."""
        return self._now

    def advance(self, seconds: float = 0.0, *, ms: int = 0) -> int:
        """Move forward by both together, call the subscribers, and give the new instant.

        Raises:
            ValueError: that would be backwards. Clocks do that; a test says so with ``set``.
        """
        step = round(seconds * 1000) + ms
        if step < 0:
            raise ValueError(f"cannot advance by {step} ms")
        return self.set(self._now + step)

    def set(self, instant: int) -> int:
        """Move to an instant in milliseconds, backwards too, and call the subscribers."""
        self._now = instant
        for jumped in list(self._jumped):
            jumped()
        return instant

    def subscribe(self, jumped: Callable[[], None]) -> Callable[[], None]:
        """Have a function called, there and then, whenever this clock was moved."""
        entry = _Call(jumped)
        self._jumped.append(entry)

        def stop() -> None:
            if entry in self._jumped:
                self._jumped.remove(entry)

        return stop


class _Call:
    """A subscription: one of its own even when the same function subscribes twice."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function

    def __call__(self) -> None:
        self._function()
