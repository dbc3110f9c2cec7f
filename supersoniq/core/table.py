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


class _Page:
    """So many sequences in a row."""

    __slots__ = ("left", "records")

    def __init__(self) -> None:
        self.records: list[Record | None] = [None] * _SIZE
        self.left = 0
        """Records in it."""


class Table:
    """Records by sequence."""

    __slots__ = ("_pages", "_tail", "_tail_number")

    def __init__(self) -> None:
        self._pages: SortedDict[int, _Page] = SortedDict()
        self._tail = _Page()
        self._tail_number = -1

    def __len__(self) -> int:
        return sum(page.left for page in self._pages.values())

    def append(self, record: Record) -> None:
        """Add a record whose sequence is above all others'. O(1)."""
        sequence = record.sequence
        if sequence >> _BITS != self._tail_number:
            self._new_tail(sequence >> _BITS)
        page = self._tail
        page.records[sequence & _MASK] = record
        page.left += 1

    def extend(self, records: Sequence[Record]) -> None:
        """Add records with successive sequences above all others'. Amortised O(1) each."""
        done, count = 0, len(records)
        while done < count:
            sequence = records[done].sequence
            start = sequence & _MASK
            here = min(_SIZE - start, count - done)
            if sequence >> _BITS != self._tail_number:
                self._new_tail(sequence >> _BITS)
            page = self._tail
            # A page's share in one go costs hardly more than a single record.
            page.records[start : start + here] = records[done : done + here]
            page.left += here
            done += here

    def _new_tail(self, number: int) -> None:
        if self._tail_number >= 0 and not self._tail.left:
            del self._pages[self._tail_number]
        self._tail = self._pages[number] = _Page()
        self._tail_number = number

    def get(self, sequence: int) -> Record | None:
        """The record of that sequence. O(1)."""
        page = self._pages.get(sequence >> _BITS)
        return None if page is None else page.records[sequence & _MASK]

    def remove(self, sequence: int) -> None:
        """Drop the record of that sequence, which must be there. Amortised O(1)."""
        page = self._pages[sequence >> _BITS]
        page.records[sequence & _MASK] = None
        page.left -= 1
        if not page.left and page is not self._tail:
            del self._pages[sequence >> _BITS]

    def remove_all(self, records: Sequence[Record]) -> None:
        """Drop records that are in it. Amortised O(1) each."""
        pages, tail = self._pages, self._tail
        for record in records:
            sequence = record.sequence
            page = pages[sequence >> _BITS]
            page.records[sequence & _MASK] = None
            page.left -= 1
            if not page.left and page is not tail:
                del pages[sequence >> _BITS]

    def after(self, sequence: int) -> Iterator[Record]:
        """The records above that sequence, in order. The table must not change meanwhile."""
        start = sequence + 1
        for number in self._pages.irange(start >> _BITS):
            page = self._pages[number]
            for record in page.records[start & _MASK if number == start >> _BITS else 0 :]:
                if record is not None:
                    yield record

    def _check(self) -> None:
        """Raise ``AssertionError`` unless the structure is sound. O(n)."""
        for number, page in self._pages.items():
            here = [record for record in page.records if record is not None]
            assert len(page.records) == _SIZE, f"page {number} has another size"
            assert len(here) == page.left, f"page {number} miscounts"
            assert all(record.sequence >> _BITS == number for record in here), "wrong page"
            assert here or number == self._tail_number, f"page {number} is empty and still kept"
