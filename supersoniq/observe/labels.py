"""Labels for queues: as many as there is room for, and one for all the others.

Every label is a line, or dozens of them, in each answer to a scrape and in the memory of whoever
scrapes, and clients make queues. So the first ``most`` queues have labels of their own, which they
keep as long as they exist, and the rest share ``OTHER``.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["OTHER", "Labels"]

OTHER = "_other"
"""Stands for all queues beyond the bound. No queue can have that name."""


class Labels:
    """Gives queues their labels.

    Args:
        most: labels beside ``OTHER``.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._own: set[str] = set()

    def of(self, queue: str) -> str:
        """The queue's label. O(1)."""
        if queue in self._own:
            return queue
        if len(self._own) < self._most:
            self._own.add(queue)
            return queue
        return OTHER

    def keep(self, queues: Iterable[str]) -> set[str]:
        """Take the labels of all but these queues back; gives which."""
        gone = self._own.difference(queues)
        self._own -= gone
        return gone
