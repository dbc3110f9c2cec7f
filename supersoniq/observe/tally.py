"""What the store does not count: times, batches, requests, pushes, what was refused.

Plain numbers, added to in the event loop and read in it. What a client can choose never becomes a
key here without a bound: queues have labels of their own only up to a limit (``labels``); leases in
hand are remembered up to about ``MOST_HELD``, the oldest forgotten first.

**Time in queue** is on the store's clock: from the instant at which a message became ready (again)
to its lease. **Time in hand** is on this process's clock: from a lease that was taken through it to
its end by a settlement, if that comes through here, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import islice
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
            if op.__class__ is not Settle:
                return
            if len(result) > 1:
                self._settled(op, result)
            elif result == [None]:
                self._ended(op.queue, op.settlements[0].receipt)
        elif isinstance(result, SupersoniqError):
            self.failed_operations[result.code] += 1

    def leased(self, lease: Lease, length: int) -> None:
        self._taken(lease.queue, (lease,), length)

    def acked(self, lease: Lease) -> None:
        self._ended(lease.queue, lease)

    def request(self, key: Request) -> None:
        """Count a request."""
        requests = self.requests
        requests[key] = requests.get(key, 0) + 1

    def _taken(self, queue: str, leases: Sequence[Lease], length: int) -> None:
        """Leases of one queue were given, at one instant."""
        now, held, add = monotonic(), self._held, self._of(queue).in_queue.add
        first = leases[0]
        at, (seal, base) = first.deadline - length, _base(first)
        waited, alike = 0, 0  # neighbours were often published together
        for lease in leases:
            record = lease.record
            ready = record.available_at
            each = at - ready if at > ready else 0  # milliseconds
            if each != waited:
                if alike:
                    add(waited / 1000, alike)
                waited, alike = each, 0
            alike += 1
            if lease.term == 1 and lease.seal is seal:
                held[base | record.sequence] = now
            else:
                held[_key(lease)] = now
        add(waited / 1000, alike)
        if len(held) > MOST_HELD + MOST_HELD // 16:
            # Many at a time, as a dictionary finds its first key by passing over all that are gone.
            for key in list(islice(held, len(held) - MOST_HELD)):
                del held[key]

    def _ended(self, queue: str, lease: Lease | str) -> None:
        since = self._held.pop(_key(lease), None)
        if since is not None:
            self._of(queue).in_hand.add(monotonic() - since)

    def _settled(self, op: Settle, verdicts: list[object]) -> None:
        now, end = monotonic(), self._held.pop
        begun, alike = 0.0, 0  # neighbours were often leased together
        seal, base = _base(op.settlements[0].receipt)
        for settlement, verdict in zip(op.settlements, verdicts, strict=True):
            if verdict is not None:
                continue  # it was refused, or extended
            lease = settlement.receipt
            if isinstance(lease, Lease) and lease.term == 1 and lease.seal is seal:
                since = end(base | lease.record.sequence, None)
            else:
                since = end(_key(lease), None)
            if since == begun:
                alike += 1
            elif since is not None:
                if alike:
                    self._of(op.queue).in_hand.add(now - begun, alike)
                begun, alike = since, 1
        if alike:
            self._of(op.queue).in_hand.add(now - begun, alike)

    def _of(self, queue: str) -> QueueTally:
        found = self.queues.get(queue)
        if found is None:  # it has no label of its own, or is new
            label = self._labels.of(queue)
            found = self.queues.get(label)
            if found is None:
                found = self.queues[label] = QueueTally()
        return found


def _base(lease: Lease | str) -> tuple[object, int]:
    """A seal, and what with a sequence is the key of the first lease of a message of its queue."""
    if isinstance(lease, Lease) and isinstance(lease.seal, Seal):
        return lease.seal, lease.seal.number << 40
    return None, 0  # only the receipt knows it


def _key(lease: Lease | str) -> int:
    """A number for a lease: positive for a message's first, as nearly all are."""
    if isinstance(lease, Lease):
        seal = lease.seal
        if isinstance(seal, Seal):
            place = seal.number << 40 | lease.record.sequence
            return place if lease.term == 1 else ~(place << 32 | lease.term)
        lease = lease.receipt
    number, sequence, term = term_of(lease) or (0, 0, 0)
    place = number << 40 | sequence
    return place if term == 1 else ~(place << 32 | term)


def error_code(error: BaseException) -> str:
    """The word for an error; ``bug`` if it is none that should happen."""
    return error.code if isinstance(error, SupersoniqError) else "bug"
