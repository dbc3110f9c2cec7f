"""Percentiles of any number of latencies in little memory."""

from __future__ import annotations

import math

import msgspec

__all__ = ["Latency", "Percentiles"]


class Percentiles(msgspec.Struct, frozen=True, kw_only=True):
    """Latencies in milliseconds."""

    count: int
    mean: float
    min: float
    p50: float
    p90: float
    p99: float
    p999: float
    max: float


class Latency:
    """A sketch of latencies, each percentile of it right to 1 %.

    Values are counted in buckets whose borders grow by a constant factor, as in DDSketch (Masson,
    Rim and Lee, 2019): from a microsecond to an hour that makes some 1,100 of them. Adding one is
    O(1).
    """

    ACCURACY = 0.01
    SMALLEST = 1e-6
    """Seconds; what is shorter counts as this."""

    def __init__(self) -> None:
        self._growth = math.log((1 + self.ACCURACY) / (1 - self.ACCURACY))
        self._buckets: dict[int, int] = {}
        self.count = 0
        self._sum = 0.0
        self._least = math.inf
        self._most = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        seconds = max(seconds, self.SMALLEST)
        bucket = math.ceil(math.log(seconds) / self._growth)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1
        self.count += 1
        self._sum += seconds
        self._least = min(self._least, seconds)
        self._most = max(self._most, seconds)

    def at(self, share: float) -> float:
        """The seconds that this share of all, 0 to 1, did not exceed; 0 if there are none."""
        left = share * self.count
        for bucket in sorted(self._buckets):
            left -= self._buckets[bucket]
            if left <= 0:
                # The middle of the bucket, in the sense that it is at most 1 % from either border.
                middle = math.exp(bucket * self._growth) * (1 - self.ACCURACY)
                return min(max(middle, self._least), self._most)
        return self._most

    def summary(self) -> Percentiles | None:
        """The usual percentiles; ``None`` if there was nothing to measure."""
        if not self.count:
            return None

        def ms(seconds: float) -> float:
            return round(seconds * 1000, 3)

        return Percentiles(
            count=self.count,
            mean=ms(self._sum / self.count),
            min=ms(self._least),
            p50=ms(self.at(0.5)),
            p90=ms(self.at(0.9)),
            p99=ms(self.at(0.99)),
            p999=ms(self.at(0.999)),
            max=ms(self._most),
        )

    def curve(self, points: int = 200) -> list[tuple[float, float]]:
        """Seconds by share, evenly in the number of nines: for drawing (share, seconds)."""
        if not self.count:
            return []
        nines = math.log10(max(self.count, 10))
        shares = (1 - 10 ** (-nines * step / points) for step in range(points + 1))
        return [(share, self.at(share)) for share in shares]
