"""Rates by name, as token buckets: so many at once, then so many a second.

Time is passed in as a function, and nothing waits here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Buckets", "Rate"]

MOST = 100_000
"""Names that are remembered; beyond that those that have most room are forgotten first."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate.

    Args:
        per_second: more than 0.
        burst: how many may come at once; 1 or more.
    """

    per_second: float
    burst: float

    def buckets(self, now: Callable[[], float] = time.monotonic) -> Buckets:
        """What holds names to it."""
        return Buckets(self, now)


class Buckets:
    """Holds names to a rate. Each call is O(1), but for a sweep now and then.

    Args:
        rate: the rate of each.
        now: seconds that only grow.
    """

    def __init__(self, rate: Rate, now: Callable[[], float]) -> None:
        self._rate, self._now = rate, now
        self._full_at: dict[str, float] = {}
        """When a bucket will be full again; those that are full are not here."""

    def wait(self, name: str, count: float = 1.0) -> float:
        """Seconds until so many are free; 0: now. More than the burst never are all at once."""
        full_at = self._full_at.get(name)
        if full_at is None:
            return 0.0
        missing = max(full_at - self._now(), 0.0) * self._rate.per_second
        over = missing + min(count, self._rate.burst) - self._rate.burst
        return over / self._rate.per_second if over > 1e-9 else 0.0

    def take(self, name: str, count: float = 1.0) -> None:
        """So many were used, whether or not they were free."""
        now = self._now()
        begin = max(self._full_at.get(name, now), now)
        self._full_at[name] = begin + count / self._rate.per_second
        if len(self._full_at) > MOST:
            kept = sorted(self._full_at.items(), key=lambda each: each[1])[MOST // 2 :]
            self._full_at = {name: at for name, at in kept if at > now}
