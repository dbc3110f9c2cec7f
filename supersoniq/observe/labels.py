"""Labels for queues: as many as there is room for, and one for all the others.

Every label is a line, or dozens of them, in each answer to a scrape and in the memory of whoever
scrapes, and clients make queues. So the first ``most`` queues have labels of their own, which they
keep as long as they exist, and the rest share ``OTHER``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import monotonic

__all__ = ["OTHER", "Labels"]

OTHER = "_other"
"""Stands for all queues beyond the bound. No queue can have that name."""


class Labels:
    """Gives queues their labels.

    Args:
        most: labels beside ``OTHER``.
        now: seconds on a clock that never goes back.
    """

    def __init__(self, most: int, now: Callable[[], float] = monotonic) -> None:
        self._most = most
        self._now = now
        self._own: dict[str, float] = {}
        """Since when each has its own."""

    def of(self, queue: str) -> str:
        """The queue's label. O(1)."""
        if queue in self._own:
            return queue
        if len(self._own) < self._most:
            self._own[queue] = self._now()
            return queue
        return OTHER

    def keep(self, queues: Iterable[str], asked: float) -> set[str]:
        """Take the labels of all but these queues back; gives which.

        Args:
            queues: those that exist.
            asked: when somebody began to find out. Whoever got a label since keeps it.
        """
        gone = {queue for queue in self._own.keys() - set(queues) if self._own[queue] < asked}
        for queue in gone:
            del self._own[queue]
        return gone
