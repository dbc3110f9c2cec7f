"""What the store does not count: times, batches, requests, pushes, what was refused.

Plain numbers, added to in the event loop and read in it. What a client can choose never becomes a
key here without a bound: queues have labels of their own only up to a limit (``labels``); leases in
hand are remembered up to ``MOST_HELD``, the oldest forgotten first.

**Time in queue** is on the store's clock: from the instant at which a message became ready (again)
to its lease. **Time in hand** is on this process's clock: from a lease that was taken through it to
its end by a settlement, if that comes through here, too.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from time import monotonic

from supersoniq.api.observer import Observer
from supersoniq.core.errors import SupersoniqError
from supersoniq.core.ids import Seal, term_of
from supersoniq.core.messages import Lease
from supersoniq.core.ops import AnyOp, Settle, Taken
from supersoniq.observe.histogram import Histogram
from supersoniq.observe.labels import Labels
from supersoniq.port import Result

__all__ = ["MOST_HELD", "QueueTally", "Tally", "error_code"]

MOST_HELD = 50_000
"""Leases whose beginning is remembered."""
TIMES = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800, 3600, 21600, 86400)
"""Seconds: of messages."""
COMMITS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)
"""Seconds: of batches."""
SIZES = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000)
"""Operations in a batch."""

Request = tuple[str, str, str, int]
"""Route, method, protocol and status; the status is 0 where the client left before it."""


class QueueTally:
    """What is counted of one queue, or of all that share a label."""

    __slots__ = ("in_hand", "in_queue")

    def __init__(self) -> None:
        self.in_queue = Histogram(TIMES)
        self.in_hand = Histogram(TIMES)


class Tally(Observer):
    """What one process counts of one broker.

    Args:
        labels: of queues.
    """

    def __init__(self, labels: Labels) -> None:
        self.queues: dict[str, QueueTally] = {}
        """By label."""
        self.commit_seconds = Histogram(COMMITS)
        self.commit_operations = Histogram(SIZES)
        self.failed_batches: Counter[str] = Counter()
        """By the code of the error."""
        self.failed_operations: Counter[str] = Counter()
        """By the code of the error."""
        self.requests: dict[Request, int] = {}
        self.pushes: Counter[str] = Counter()
        """``taken``, ``refused``, or ``streamed``."""
        self.refused: Counter[str] = Counter()
        """Calls of those who may not do that, by the code of the error."""
        self.websockets: Counter[str] = Counter()
        """Open ones, by protocol."""
        self._labels = labels
        self._held: dict[int, float] = {}

    def forget(self, labels: set[str]) -> None:
        """Drop what was counted of queues that are gone."""
        for label in labels:
            self.queues.pop(label, None)

    def batch(self, size: int, seconds: float) -> None:
        self.commit_operations.add(size)
        self.commit_seconds.add(seconds)

    def failed(self, size: int, error: BaseException) -> None:
        self.failed_batches[error_code(error)] += 1

    def done(self, op: AnyOp, result: Result) -> None:
        kind = result.__class__
        if kind is Taken:
            if leases := result.leases:
                self._taken(leases[0].queue, leases, result.length)
        elif kind is list:
            if op.__class__ is Settle:
                self._settled(op, result)
        elif isinstance(result, SupersoniqError):
            self.failed_operations[result.code] += 1

    def leased(self, lease: Lease, length: int) -> None:
        self._taken(lease.queue, (lease,), length)

    def acked(self, lease: Lease) -> None:
        since = self._held.pop(_term(lease), None)
        if since is not None:
            self._of(lease.queue).in_hand.add(monotonic() - since)

    def request(self, key: Request) -> None:
        """Count a request."""
        requests = self.requests
        requests[key] = requests.get(key, 0) + 1

    def _taken(self, queue: str, leases: list[Lease] | tuple[Lease, ...], length: int) -> None:
        now, held, times = monotonic(), self._held, self._of(queue).in_queue
        counts, bounds, total = times.counts, times.bounds, 0
        for lease in leases:
            record = lease.record
            waited = lease.deadline - length - record.available_at
            if waited > 0:  # milliseconds
                total += waited
                counts[bisect_left(bounds, waited / 1000)] += 1
            else:
                counts[0] += 1  # most are taken at once
            held[_term(lease)] = now
        times.sum += total / 1000
        while len(held) > MOST_HELD:
            del held[next(iter(held))]

    def _settled(self, op: Settle, verdicts: list[object]) -> None:
        now, held = monotonic(), self._held
        add = None
        for settlement, verdict in zip(op.settlements, verdicts, strict=True):
            if verdict is not None:
                continue  # it was refused, or extended
            receipt = settlement.receipt
            term = term_of(receipt) if receipt.__class__ is str else _term(receipt)  # type: ignore[arg-type]
            since = held.pop(term, None)  # type: ignore[arg-type]
            if since is not None:
                if add is None:
                    add = self._of(op.queue).in_hand.add
                add(now - since)

    def _of(self, queue: str) -> QueueTally:
        label = self._labels.of(queue)
        found = self.queues.get(label)
        if found is None:
            found = self.queues[label] = QueueTally()
        return found


def _term(lease: Lease) -> int:
    """A number for a lease. Of one from another server, only its receipt knows it."""
    seal = lease.seal
    if seal.__class__ is Seal:
        return seal.number << 96 | lease.record.sequence << 32 | lease.term
    return term_of(lease.receipt) or 0


def error_code(error: BaseException) -> str:
    """The word for an error; ``bug`` if it is none that should happen."""
    return error.code if isinstance(error, SupersoniqError) else "bug"
