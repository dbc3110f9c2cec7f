"""Where each message of a queue stands, and what time does to it.

It is pure. Time is passed in as ``now``, milliseconds since the epoch, and never runs backwards
(a smaller ``now`` counts as the last one). Nothing happens between calls: each call first lets time
catch up (``tick``) and ``next`` tells when time alone will change something, so that whoever drives
the machine knows how long it may sleep.

- ``Table`` holds every record; a message that is gone is in no structure but perhaps, as an entry
  to be skipped, in those that delete lazily;
- ready ones also stand in the ``Line`` of their recipient;
- leased ones in the ``LeaseClock``, the others in the ``Alarm`` for their next instant.

``_moved`` puts a record where its status belongs, and tells those who watch.
"""

from __future__ import annotations

from supersoniq.core import rules
from supersoniq.core.errors import (
    MessageNotFound,
)
from supersoniq.core.ids import Seal, format_id
from supersoniq.core.imports import ImportBook
from supersoniq.core.keys import KeyBook
from supersoniq.core.log import KIND_OF, EventLog
from supersoniq.core.messages import (
    Durability,
    Record,
)
from supersoniq.core.policy import Policy, Terms
from supersoniq.core.ready import Line
from supersoniq.core.states import ARCS, Move, Status
from supersoniq.core.table import Table
from supersoniq.core.tally import Extra
from supersoniq.core.timers import NEVER, Alarm, LeaseClock

__all__ = ["Places"]

_READY, _DEAD = Status.READY, Status.DEAD


def _is_due(record: Record, at: int) -> bool:
    return record.status is Status.SCHEDULED and record.available_at == at


def _may_expire(record: Record, at: int) -> bool:
    return record.status in (Status.SCHEDULED, _READY) and record.details.expires_at == at


def _is_kept(record: Record, at: int) -> bool:
    return record.status in (Status.DONE, _DEAD) and record.until == at


class Places:
    """The records of one queue.

    Args:
        name: its name, already checked.
        seal: its ids and receipts.
        now: the instant it is made.
        durability: what its publishes report.
    """

    def __init__(self, name: str, seal: Seal, now: int, durability: Durability = "memory") -> None:
        self.name = name
        self.policy = Policy()
        self.next = NEVER
        """When time alone will change something, at the earliest."""
        self.stirs = 0
        """Grows whenever a waiting consumer or watcher should look again."""
        self._seal = seal
        self._now = now
        self._durability = durability
        self._terms = Terms.of(self.policy)
        self._tally = [0] * len(ARCS)
        self._extra = Extra()
        self._sequence = 0
        self._table = Table()
        self._line = Line()
        self._addressed: dict[str, Line] = {}
        self._leases = LeaseClock()
        self._due = Alarm(_is_due)
        self._expiries = Alarm(_may_expire)
        self._retention = Alarm(_is_kept)
        self._keys = KeyBook()
        self._imports = ImportBook()
        self._paused_until: int | None = None
        self._log = EventLog(now)

    # Time.

    def tick(self, now: int) -> int:
        """Let time catch up and give the present instant. O(1) when nothing is due.

        After calling it, ``next`` is when to call it again at the latest.
        """
        if now < self._now:
            now = self._now
        self._now = now
        if now >= self.next:
            self._catch_up(now)
        return now

    def _catch_up(self, now: int) -> None:
        terms, tally = self._terms, self._tally
        for lease in self._leases.lapsed(now):
            rules.lapse(lease.record, now, terms, tally)
            self._came_back(lease.record, Move.LAPSE, now)
        for record in self._due.rung(now):
            rules.due(record, tally)
            self._moved(record, Move.DUE, now)
        for record in self._expiries.rung(now):
            self._expire(record, now)
        for record in self._retention.rung(now):
            source = record.status
            rules.forget(record, tally)
            self._moved(record, Move.FORGET, now, gone_from=source)
        if self._paused_until is not None and now >= self._paused_until:
            self._paused_until = None
            self.stirs += 1
        self._keys.prune(now)
        self._imports.prune(now, self._table)
        self._log.idle(now)
        self.next = min(
            self._leases.next(),
            self._due.next(),
            self._expiries.next(),
            self._retention.next(),
            NEVER if self._paused_until is None else self._paused_until,
        )

    def _wake_in(self, now: int) -> int | None:
        return None if self.next >= NEVER else max(self.next - now, 0)

    # Moving.

    def _came_back(self, record: Record, move: Move, now: int) -> None:
        """A lease has ended: put its message where it belongs now, or let it expire."""
        self._moved(record, move, now)
        if record.status in (Status.SCHEDULED, _READY) and rules.overdue(record, now):
            self._expire(record, now)

    def _expire(self, record: Record, now: int) -> None:
        source = record.status
        rules.expire(record, now, self._terms, self._tally)
        if source is _READY:
            # Not before: it may sweep out what is no longer ready.
            self._left(record)
        self._moved(record, Move.EXPIRE, now, gone_from=source)

    def _moved(
        self,
        record: Record,
        move: Move,
        now: int,
        *,
        fresh: bool = False,
        gone_from: Status | None = None,
    ) -> None:
        """Enter a record where its new status belongs, and tell watchers."""
        status = record.status
        at = NEVER
        if status is None:
            self._table.remove(record.sequence)
        elif status is _READY:
            line = self._line_of(record)
            if fresh:
                line.append(record)
            else:
                line.put_back(record)
            self.stirs += 1
        elif status is Status.SCHEDULED:
            at = record.available_at
            self._due.set(at, record)
        else:
            at = record.until
            self._retention.set(at, record)
        if status is _READY or status is Status.SCHEDULED:
            expires_at = record.details.expires_at
            if expires_at is not None and move is not Move.DUE:
                self._expiries.set(expires_at, record)
                at = min(at, expires_at)
        if at < self.next:
            self.next = at
        self._tell(move, record, now, gone_from)

    def _line_of(self, record: Record) -> Line:
        recipient = record.details.recipient
        if recipient is None:
            return self._line
        line = self._addressed.get(recipient)
        if line is None:
            line = self._addressed[recipient] = Line()
        return line

    def _left(self, record: Record) -> None:
        """A ready message is no longer so, and was not taken."""
        line = self._line_of(record)
        line.left(record)
        self._close_line(record.details.recipient, line)

    def _close_line(self, recipient: str | None, line: Line) -> None:
        """Forget a recipient's line once nothing is in it: recipients come and go."""
        if recipient is not None and line.empty:
            self._addressed.pop(recipient, None)

    def _tell(self, move: Move, record: Record, now: int, gone_from: Status | None = None) -> None:
        log = self._log
        if log.active and log.records(kind := KIND_OF[move], now):
            was = gone_from or (Status.DONE if move is Move.ACK else _DEAD)
            log.add(kind, now, record.snapshot(self.name, self._seal, was))
            self.stirs += 1

    # Finding.

    def _find(self, number: int) -> Record:
        record = self._known(number)
        if record is None:
            raise MessageNotFound(self.name, format_id(number))
        return record

    def _known(self, number: int) -> Record | None:
        sequence = self._place(number)
        record = self._table.get(sequence) if sequence is not None else None
        return record if record is not None and record.number(self._seal) == number else None

    def _place(self, number: int) -> int | None:
        """The sequence of an id of this queue, whether or not its message is still there."""
        found = self._imports.find(number, self._now, self._table)
        return self._seal.sequence_of(number) if found is None else found
