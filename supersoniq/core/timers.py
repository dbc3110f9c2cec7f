"""What is due when: lease deadlines, and every other instant.

Both structures delete lazily: an entry whose message has moved on is dropped when it comes up, or
swept when such entries outnumber the others (after trio's ``Deadlines``). ``live`` tells which
ones still count, so nothing has to be searched when a message moves on.

**Leases** nearly all have the length that the policy says, and time does not run backwards, so
their deadlines come in order: a deque for each length replaces a heap. An acknowledged lease is
usually the oldest; it is dropped then, a few at a time, so no more than a few finished messages are
kept in memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heappush

from supersoniq.core.messages import Lease, Record
from supersoniq.core.states import Status

__all__ = ["NEVER", "Alarm", "LeaseClock"]

NEVER = 1 << 62
"""An instant that does not come."""
_TRIM = 16
"""Leases that end between two looks at the lanes: looking each time costs half an ack more."""
_LEASED = Status.LEASED


def held(lease: Lease) -> bool:
    """Whether the lease is its message's present one, with its present deadline."""
    record = lease.record
    return (
        record.status is _LEASED and record.leases == lease.term and record.until == lease.deadline
    )


class LeaseClock:
    """Deadlines of leases."""

    __slots__ = ("_ended", "_lanes", "_total", "_trim_at")

    def __init__(self) -> None:
        self._lanes: dict[int, deque[Lease]] = {}
        self._ended = 0
        self._total = 0
        self._trim_at = 1

    def append(self, length: int, lease: Lease) -> None:
        """Add a lease of that length in milliseconds, which begins now. O(1)."""
        lane = self._lanes.get(length)
        if lane is None:
            lane = self._lanes[length] = deque()
        lane.append(lease)
        self._total += 1

    def extend(self, length: int, leases: Sequence[Lease]) -> None:
        """Add leases of that length in milliseconds, which begin now. O(1) each."""
        lane = self._lanes.get(length)
        if lane is None:
            lane = self._lanes[length] = deque()
        lane.extend(leases)
        self._total += len(leases)

    def ended(self, count: int = 1) -> None:
        """So many leases were settled or extended. Amortised O(count)."""
        self._ended += count
        # Consumers choose their leases' lengths, so lanes may be many: they are all looked at only
        # after as many leases have ended, and empty ones beyond a few are dropped.
        if self._ended >= self._trim_at:
            self._trim()

    def _trim(self) -> None:
        """Drop what has ended from the heads of the lanes. O(lanes), and what it drops."""
        for lane in self._lanes.values():
            self._cut(lane)
        self._drop_empty()
        if self._ended > 64 + self._total // 2:
            self._sweep()
        self._trim_at = self._ended + max(len(self._lanes), _TRIM)

    def _cut(self, lane: deque[Lease]) -> None:
        """Drop what has ended from the head of one lane."""
        length = len(lane)
        # Nearly all are acknowledged: seen here at once, without a call.
        while lane and (lane[0].record.status is not _LEASED or not held(lane[0])):
            lane.popleft()
        dropped = length - len(lane)
        self._ended -= dropped
        self._total -= dropped

    def next(self) -> int:
        """The earliest deadline. Amortised O(lengths)."""
        earliest = NEVER
        for lane in self._lanes.values():
            self._cut(lane)
            if lane and lane[0].deadline < earliest:
                earliest = lane[0].deadline
        return earliest

    def lapsed(self, now: int) -> list[Lease]:
        """Remove and give the leases that are over, by deadline. Amortised O(k log k)."""
        over: list[Lease] = []
        for lane in self._lanes.values():
            while lane and (not held(lane[0]) or lane[0].deadline <= now):
                lease = lane.popleft()
                self._total -= 1
                if held(lease):
                    over.append(lease)
                else:
                    self._ended -= 1
        self._drop_empty()
        over.sort(key=lambda lease: (lease.deadline, lease.record.sequence))
        # A lease that was extended away from its deadline and back to it stands in two lanes.
        return [
            lease for n, lease in enumerate(over) if not n or over[n - 1].record is not lease.record
        ]

    def _drop_empty(self) -> None:
        if len(self._lanes) > 8:
            self._lanes = {length: lane for length, lane in self._lanes.items() if lane}

    def _sweep(self) -> None:
        for length in list(self._lanes):
            kept = deque(lease for lease in self._lanes[length] if held(lease))
            if kept:
                self._lanes[length] = kept
            else:
                del self._lanes[length]
        self._ended = 0
        self._total = sum(map(len, self._lanes.values()))


class Alarm:
    """Instants of one kind for records: a heap with lazy deletion.

    Args:
        live: whether an entry (the record and its instant) still counts.
    """

    __slots__ = ("_heap", "_limit", "_live")

    def __init__(self, live: Callable[[Record, int], bool]) -> None:
        self._heap: list[tuple[int, int, Record]] = []
        self._live = live
        self._limit = 128

    def set(self, at: int, record: Record) -> None:
        """Add an entry. Amortised O(log n)."""
        heap = self._heap
        heappush(heap, (at, record.sequence, record))
        if len(heap) > self._limit:
            live = self._live
            self._heap = [entry for entry in heap if live(entry[2], entry[0])]
            heapify(self._heap)
            self._limit = max(128, 2 * len(self._heap))

    def next(self) -> int:
        """The earliest instant that counts. Amortised O(log n)."""
        heap = self._heap
        while heap:
            at, _, record = heap[0]
            if self._live(record, at):
                return at
            heappop(heap)
        return NEVER

    def rung(self, now: int) -> list[Record]:
        """Remove and give the records whose instant has come, by instant. O(k log n)."""
        due: list[Record] = []
        heap = self._heap
        while heap and heap[0][0] <= now:
            at, _, record = heappop(heap)
            # A record entered twice for the same instant is still only due once.
            if self._live(record, at) and not (due and due[-1] is record):
                due.append(record)
        return due
