"""What came of a load."""

from __future__ import annotations

import msgspec

from supersoniq.load.latency import Percentiles

__all__ = ["Moment", "Report"]


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """How far it was at one moment."""

    seconds: float
    published: int
    finished: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a load."""

    seconds: float
    """How long was published."""
    seconds_worked_off: float
    """How long it took until nothing was queued any more."""
    published: int
    finished: int
    """Acknowledged."""
    failed: int
    """Deliveries that failed as planned."""
    dead: int
    """Messages that failed too often."""
    queued: int
    """Messages left in the queue."""
    lost: int
    """Stored, and then neither finished, nor dead, nor queued. Must be 0."""
    delivered_after_finished: int
    """Deliveries of what was acknowledged already. Must be 0."""
    errors: dict[str, int]
    """Messages whose publish was refused, or whose publish or acknowledgement had an unknown
    outcome, by the error's code."""
    published_per_second: float
    finished_per_second: float
    publish_ms: Percentiles | None
    """From when a publish was due until the store had answered."""
    delivery_ms: Percentiles | None
    """From then until a consumer had the message in hand for the first time."""
    timeline: list[Moment]
    """About every second, and the end."""

    @property
    def sound(self) -> bool:
        """Whether the store did nothing wrong."""
        return not (self.lost or self.delivered_after_finished)
