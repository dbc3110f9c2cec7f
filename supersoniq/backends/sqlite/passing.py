"""What time does to a queue in the file, a slice at a time.

The machine lets time catch up with a queue before anything else is done with it, however many
messages that moves: lapses, dues, expiries, then what is to be forgotten. Here a million leases may
be over at once, when a fleet of consumers has died, and to move them all takes seconds, in which
no other process could write. So ``catch_up`` moves at most ``SLICE`` of them, in the machine's
order, and says whether that was all. The store commits each slice by itself and steps aside before
the next (``store``): others get their turn between two slices. Whoever comes for this very queue
meanwhile finds its ``next`` in the past, and goes on with the slices before doing anything else
with it. So nobody ever sees a queue that time has half caught up with: every answer is the
machine's.

The rows of a slice are read by one statement where nobody wants to hear of the moves, changed by
the core's rules, and written by one statement for each table (``Shelves.together``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Protocol

from supersoniq.backends.sqlite.journal import Journal
from supersoniq.backends.sqlite.shelves import Shelves
from supersoniq.core import rules
from supersoniq.core.messages import EventKind, Record
from supersoniq.core.policy import Terms
from supersoniq.core.states import Move, Status

__all__ = ["SLICE", "catch_up"]

SLICE = 2_000
"""Most messages that time moves in one transaction: some 30 ms."""
_SCHEDULED, _READY, _LEASED = Status.SCHEDULED, Status.READY, Status.LEASED
_TOLD = (EventKind.LAPSED, EventKind.DUE, EventKind.EXPIRED, EventKind.FORGOTTEN)


class Queue(Protocol):
    """What time needs of a queue in the file."""

    shelves: Shelves
    journal: Journal
    terms: Terms
    tally: list[int]
    next: int
    paused_until: int | None
    stirs: int
    dirty: bool

    def prune_keys(self, now: int) -> None:
        """Forget keys that no longer hold."""

    def prune_imports(self, now: int) -> None:
        """Forget imported ids that need not be known any longer."""

    def came_back(self, record: Record, move: Move, now: int) -> None:
        """A lease has ended."""

    def expire(self, record: Record, now: int) -> None:
        """Its ttl ran out."""

    def moved(
        self,
        record: Record,
        move: Move,
        source: Status,
        now: int,
        gone_from: Status | None = None,
    ) -> None:
        """Store a record where its new status belongs, and tell watchers."""


def catch_up(queue: Queue, now: int) -> bool:
    """Let time catch up for at most ``SLICE`` messages. O(log n) for each.

    Args:
        queue: the queue, in an open transaction.
        now: the transaction's instant.

    Returns:
        Whether that was all.
    """
    queue.dirty = True
    shelves, journal = queue.shelves, queue.journal
    bare = not any(journal.records(kind, now) for kind in _TOLD)
    left = SLICE
    for come, where, happen in _CHANGES:
        sequences = come(shelves, now, left)
        with shelves.together():
            for record in _records(shelves, sequences, where, bare):
                happen(queue, record, now)
        left -= len(sequences)
        if not left:
            break
    else:
        if queue.paused_until is not None and now >= queue.paused_until:
            queue.paused_until = None
            queue.stirs += 1
        queue.prune_keys(now)
        queue.prune_imports(now)
        journal.idle(now)
    queue.next = shelves.next()
    if queue.paused_until is not None:
        queue.next = min(queue.next, queue.paused_until)
    return left > 0


def _records(
    shelves: Shelves, sequences: Sequence[int], where: Collection[Status | None], bare: bool
) -> Iterator[Record]:
    """The messages whose instant has come; without content if no event will tell of it."""
    # Contents may be large: then one at a time.
    known = shelves.find_bare(sequences) if bare else None
    for sequence in sequences:
        record = shelves.find(sequence) if known is None else known.get(sequence)
        if record is not None and record.status in where:
            yield record
        else:
            # Its rows have rotted and contradict each other. Without this the timer would ring
            # for ever, and nothing else in this queue would go on.
            shelves.discard(sequence)


def _lapse(queue: Queue, record: Record, now: int) -> None:
    rules.lapse(record, now, queue.terms, queue.tally)
    queue.came_back(record, Move.LAPSE, now)


def _due(queue: Queue, record: Record, now: int) -> None:
    rules.due(record, queue.tally)
    queue.moved(record, Move.DUE, _SCHEDULED, now)


def _expire(queue: Queue, record: Record, now: int) -> None:
    queue.expire(record, now)


def _forget(queue: Queue, record: Record, now: int) -> None:
    source = record.status
    assert source is not None
    rules.forget(record, queue.tally)
    queue.moved(record, Move.FORGET, source, now, gone_from=source)


_Come = Callable[[Shelves, int, int], list[int]]
_Happen = Callable[[Queue, Record, int], None]
_CHANGES: tuple[tuple[_Come, tuple[Status, ...], _Happen], ...] = (
    (Shelves.lapsed, (_LEASED,), _lapse),
    (Shelves.due, (_SCHEDULED,), _due),
    (Shelves.expired, (_SCHEDULED, _READY), _expire),
    (Shelves.forgettable, (Status.DONE, Status.DEAD), _forget),
)
"""What comes, from where, and what then happens: in the order of the machine's."""
