"""Which messages came from other stores, and where they stand here.

A message that is moved keeps its id, which says nothing of this queue: the sequence in it is
another queue's. So there is a book of such ids. It is also what makes ``Import`` safe to repeat: an
id in it is not stored again, even when its message has long been acknowledged here, since whoever
moves messages may have been killed before it could take them away at the other end. An id stays in
it for as long as its message is there, and for ``REMEMBERED`` in any case: within that time a move
that was cut off must be taken up again. A message that is moved on takes its id along (``Purge``
with ``ids``): it may come back. One that is cancelled, or dropped in any other way, leaves it.
"""

from __future__ import annotations

from heapq import heappop, heappush

from supersoniq.core.table import Table

__all__ = ["REMEMBERED", "ImportBook"]

REMEMBERED = 7 * 86_400_000
"""Milliseconds for which an imported id is known, whatever becomes of its message."""


class ImportBook:
    """Imported ids of one queue, by their numbers."""

    __slots__ = ("_ends", "_known")

    def __init__(self) -> None:
        self._known: dict[int, tuple[int, int]] = {}
        self._ends: list[tuple[int, int]] = []

    def find(self, number: int, now: int, table: Table) -> int | None:
        """The sequence under which that id stands here, or stood not too long ago. O(1)."""
        known = self._known.get(number)
        if known is None or (now >= known[1] and table.get(known[0]) is None):
            return None
        return known[0]

    def note(self, number: int, sequence: int, now: int) -> None:
        """Remember an id. O(log n)."""
        self._known[number] = sequence, now + REMEMBERED
        heappush(self._ends, (now + REMEMBERED, number))

    def forget(self, number: int) -> None:
        """Let an id come in anew. O(1)."""
        self._known.pop(number, None)  # what rings for it in ``prune`` finds nothing

    def prune(self, now: int, table: Table) -> None:
        """Forget what is over. Amortised O(log n) an id."""
        while self._ends and self._ends[0][0] <= now:
            until, number = heappop(self._ends)
            known = self._known.get(number)
            if known is None or known[1] != until:
                continue
            if table.get(known[0]) is None:
                del self._known[number]
            else:
                self.note(number, known[0], now)

    def __len__(self) -> int:
        return len(self._known)
