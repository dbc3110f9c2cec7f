"""The table of a queue's messages, by sequence.

Sequences are given out in order and never again, so the table is a row of fixed-size pages instead
of a hash table: eight bytes a message. A page whose messages are all gone is dropped. Any single
message that stays keeps its page of 256 alive: at most 2 KiB beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sortedcontainers import SortedDict

from supersoniq.core.messages import Record

__all__ = ["Table"]

_BITS = 8
_SIZE = 1 << _BITS
_MASK = _SIZE - 1


class Table:
    """Records by sequence."""

    __slots__ = ("_left", "_pages", "_tail", "_tail_number", "length")

    def __init__(self) -> None:
        self._pages: SortedDict[int, list[Record | None]] = SortedDict()
        self._left: dict[int, int] = {}
        self._tail: list[Record | None] = []
        self._tail_number = -1
        self.length = 0

    def __len__(self) -> int:
        return self.length

    def extend(self, records: Sequence[Record]) -> None:
        """Add records with successive sequences above all others'. Amortised O(1) each."""
        done, count = 0, len(records)
        self.length += count
        if count == 1:
            record = records[0]
            number = record.sequence >> _BITS
            if number != self._tail_number:
                self._new_tail(number)
            self._tail[record.sequence & _MASK] = record
            self._left[number] += 1
            return
        while done < count:
            sequence = records[done].sequence
            start = sequence & _MASK
            here = min(_SIZE - start, count - done)
            number = sequence >> _BITS
            if number != self._tail_number:
                self._new_tail(number)
            # A page's share in one go costs hardly more than a single record.
            self._tail[start : start + here] = records[done : done + here]
            self._left[number] += here
            done += here

    def _new_tail(self, number: int) -> None:
        if self._left.get(self._tail_number) == 0:
            del self._pages[self._tail_number], self._left[self._tail_number]
        self._tail = self._pages[number] = [None] * _SIZE
        self._tail_number = number
        self._left[number] = 0

    def get(self, sequence: int) -> Record | None:
        """The record of that sequence. O(1)."""
        page = self._pages.get(sequence >> _BITS)
        return None if page is None else page[sequence & _MASK]

    def remove(self, sequence: int) -> None:
        """Drop the record of that sequence, which must be there. Amortised O(1)."""
        number = sequence >> _BITS
        self._pages[number][sequence & _MASK] = None
        self.length -= 1
        left = self._left[number] = self._left[number] - 1
        if not left and number != self._tail_number:
            del self._pages[number], self._left[number]

    def after(self, sequence: int) -> Iterator[Record]:
        """The records above that sequence, in order. The table must not change meanwhile."""
        start = sequence + 1
        for number in self._pages.irange(start >> _BITS):
            page = self._pages[number]
            for record in page[start & _MASK if number == start >> _BITS else 0 :]:
                if record is not None:
                    yield record

    def _check(self) -> None:
        """Raise ``AssertionError`` unless the structure is sound. O(n)."""
        count = 0
        for number, page in self._pages.items():
            here = [record for record in page if record is not None]
            assert len(here) == self._left[number], f"page {number} miscounts"
            assert all(record.sequence >> _BITS == number for record in here), "wrong page"
            assert here or number == self._tail_number, f"page {number} is empty and still kept"
            count += len(here)
        assert count == self.length, f"{count} records, length {self.length}"
