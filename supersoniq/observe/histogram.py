"""A histogram in plain numbers: what observing costs on the way of a message is one ``bisect``."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

import msgspec

__all__ = ["Distribution", "Histogram"]


class Distribution(msgspec.Struct, frozen=True):
    """How values are distributed, as it is told."""

    count: int
    """How many there were."""
    sum: float
    """All of them together."""
    buckets: dict[str, int]
    """How many were not above each bound; ``+Inf`` is all of them."""


class Histogram:
    """How often values fell below each of some bounds.

    Args:
        bounds: upper bounds, each part of its bucket; ascending.
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """Of each bucket alone."""
        self.sum = 0.0

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)

    def add(self, value: float, times: int = 1) -> None:
        """Count a value, as often as it was there. O(log n) in the bounds."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.sum += value * times

    def told(self) -> Distribution:
        """What was counted so far."""
        names = [str(float(bound)) for bound in self.bounds] + ["+Inf"]
        buckets = dict(zip(names, accumulate(self.counts), strict=True))
        return Distribution(buckets["+Inf"], self.sum, buckets)
