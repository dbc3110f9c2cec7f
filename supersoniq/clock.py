"""The store's clock. The core never reads one; backends do, once for each batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from time import time_ns

__all__ = ["Clock", "SystemClock"]


class Clock(ABC):
    """Tells the time to a backend."""

    @abstractmethod
    def now(self) -> int:
        """Milliseconds since the Unix epoch."""

    def subscribe(self, jumped: Callable[[], None]) -> Callable[[], None]:
        """Have a function called when this clock was moved by hand; gives what ends that.

        A clock that runs by itself never calls it.
        """
        return lambda: None


class SystemClock(Clock):
    """The system's wall clock."""

    def now(self) -> int:
        """Milliseconds since the Unix epoch."""
        return time_ns() // 1_000_000
