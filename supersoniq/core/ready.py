"""The line of ready messages: who is next.

Order is priority, then sequence. A heap of everything would do, but nearly all messages arrive in
sequence, so each priority has a deque of the *fresh*, and only what comes back (nacked, lapsed,
due, redriven) goes through a small heap of the *returned*. The next message is the lower sequence
of the two heads. That is three times as fast as one heap at depth and takes half the memory.

A message that leaves without being taken (cancelled, expired) leaves its entry behind, to be
skipped when it comes up, or swept when such entries outnumber the others. The line notes their
sequences, so a message that comes back meanwhile gets no second entry. All others, the millions
that are published and taken, are spared the noting.

A queue has a line for unaddressed messages and one for each recipient.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from heapq import heappop, heappush

from sortedcontainers import SortedDict

from supersoniq.core.messages import Record
from supersoniq.core.states import Status

__all__ = ["Line"]

_READY = Status.READY


class _Rank:
    """The messages of one priority."""

    __slots__ = ("fresh", "returned")

    def __init__(self) -> None:
        self.fresh: deque[Record] = deque()
        self.returned: list[tuple[int, Record]] = []


class Line:
    """Ready messages in the order of their delivery."""

    __slots__ = ("_behind", "_best", "_best_priority", "_ranks", "length")

    def __init__(self) -> None:
        self._ranks: SortedDict[int, _Rank] = SortedDict()
        self._best: _Rank | None = None
        self._best_priority = 0
        self._behind: set[int] = set()
        self.length = 0
        """Messages, entries left behind not counted."""

    def __len__(self) -> int:
        return self.length

    @property
    def empty(self) -> bool:
        """Whether nothing is in it, not even an entry left behind. O(1)."""
        return not (self.length or self._behind)

    def append(self, record: Record) -> None:
        """Add a new message, whose sequence is above all others'. O(1) for a known priority."""
        self.length += 1
        rank = self._ranks.get(-record.priority) or self._rank(record.priority)
        rank.fresh.append(record)

    def extend(self, records: Sequence[Record]) -> None:
        """Add new messages in sequence, above all others. O(1) each for known priorities."""
        self.length += len(records)
        priority, rank = self._best_priority, self._best
        for record in records:
            if record.priority != priority or rank is None:
                priority = record.priority
                rank = self._rank(priority)
            rank.fresh.append(record)

    def put_back(self, record: Record) -> None:
        """Add a message at its old place. O(log r) for r returned ones of its priority."""
        self.length += 1
        if record.sequence in self._behind:
            self._behind.remove(record.sequence)
            return
        heappush(self._rank(record.priority).returned, (record.sequence, record))

    def left(self, record: Record) -> None:
        """A message of this line is no longer ready, and was not popped. Amortised O(1)."""
        self._behind.add(record.sequence)
        self.length -= 1
        if len(self._behind) > 64 + self.length or not self.length:
            self._sweep()

    def head(self) -> Record | None:
        """The next message. Amortised O(log r)."""
        while (rank := self._best) is not None:
            fresh, returned = rank.fresh, rank.returned
            if returned and not (fresh and fresh[0].sequence < returned[0][0]):
                record = returned[0][1]
                if record.status is _READY:
                    return record
                heappop(returned)
            elif fresh:
                record = fresh[0]
                if record.status is _READY:
                    return record
                fresh.popleft()
            elif len(self._ranks) == 1:
                return None  # keep the empty rank: the next message will want it
            else:
                self._next_rank()
                continue
            self._behind.remove(record.sequence)
        return None

    def pop(self) -> Record | None:
        """Remove and give the next message. Amortised O(log r)."""
        rank = self._best
        if rank is not None and rank.fresh and not rank.returned and not self._behind:
            self.length -= 1
            return rank.fresh.popleft()
        record = self.head()
        if record is None or self._best is None:
            return None
        returned = self._best.returned
        if returned and returned[0][1] is record:
            heappop(returned)
        else:
            self._best.fresh.popleft()
        self.length -= 1
        return record

    def pop_many(self, limit: int) -> list[Record]:
        """Remove and give up to ``limit`` messages. O(limit), amortised."""
        popped: list[Record] = []
        while len(popped) < limit and (record := self.pop()) is not None:
            popped.append(record)
            rank = self._best
            if limit > 1 and rank is not None and not rank.returned and not self._behind:
                # The common case, in one go: nothing has come back, and nothing has left.
                popleft = rank.fresh.popleft
                count = min(limit - len(popped), len(rank.fresh))
                popped += [popleft() for _ in range(count)]
                self.length -= count
        return popped

    def ahead_of(self, priority: int, sequence: int) -> int:
        """How many messages come before such a one. O(n)."""
        count = 0
        for negative, rank in self._ranks.items():
            if -negative < priority:
                break
            records = [*rank.fresh, *(record for _, record in rank.returned)]
            for record in records:
                sooner = -negative > priority or record.sequence < sequence
                count += sooner and record.status is _READY
        return count

    def _rank(self, priority: int) -> _Rank:
        rank = self._ranks.get(-priority)
        if rank is None:
            rank = self._ranks[-priority] = _Rank()
            if self._best is None or priority > self._best_priority:
                self._best, self._best_priority = rank, priority
        return rank

    def _next_rank(self) -> None:
        """The best rank is empty: drop it and turn to the next one. O(log p)."""
        del self._ranks[-self._best_priority]
        if self._ranks:
            negative, self._best = self._ranks.peekitem(0)
            self._best_priority = -negative
        else:
            self._best = None

    def _sweep(self) -> None:
        for rank in self._ranks.values():
            rank.fresh = deque(r for r in rank.fresh if r.status is _READY)
            rank.returned = [pair for pair in rank.returned if pair[1].status is _READY]
            rank.returned.sort(key=lambda pair: pair[0])
        self._behind.clear()

    def _check(self) -> None:
        """Raise ``AssertionError`` unless the structure is sound. O(n)."""
        ready = 0
        behind: set[int] = set()
        for rank in self._ranks.values():
            sequences = [record.sequence for record in rank.fresh]
            assert sequences == sorted(sequences), "fresh messages out of sequence"
            for record in [*rank.fresh, *(record for _, record in rank.returned)]:
                ready += record.status is _READY
                if record.status is not _READY:
                    behind.add(record.sequence)
        assert ready == self.length, f"{ready} ready, length {self.length}"
        assert behind == self._behind, f"{behind} left behind, noted {self._behind}"
        if self._ranks:
            assert self._best is self._ranks.peekitem(0)[1], "the best rank is not the first"
