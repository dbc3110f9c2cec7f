"""The machine of one queue: what every store must do, at its plainest.

It is pure. Time is passed in as ``now``, milliseconds since the epoch, and never runs backwards
(a smaller ``now`` counts as the last one). Nothing happens between calls: each call first lets time
catch up (``tick``) and ``next`` tells when time alone will change something, so that whoever drives
the machine knows how long it may sleep.

Every call either does all it says or raises and changes nothing but what time had already brought.

What lives where:

- ``Table`` holds every record; a message that is gone is in no structure but perhaps, as an entry
  to be skipped, in those that delete lazily;
- ready ones also stand in the ``Line`` of their recipient;
- leased ones in the ``LeaseClock``, the others in the ``Alarm`` for their next instant.

``_place`` puts a record where its status belongs. Publishing and leasing, which are done by the
million, have loops of their own that do the same for a whole batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from supersoniq.core import rules
from supersoniq.core.errors import (
    ContentTooLarge,
    IllegalMove,
    KeyConflict,
    LeaseLost,
    MessageLeased,
    MessageNotFound,
    QueueFull,
)
from supersoniq.core.explain import explain
from supersoniq.core.ids import Seal, format_id
from supersoniq.core.keys import KeyBook, KeyUse, digest
from supersoniq.core.log import KIND_OF, EventLog
from supersoniq.core.messages import (
    Durability,
    Entry,
    EventKind,
    Lease,
    Message,
    Published,
    Record,
)
from supersoniq.core.ops import (
    Followed,
    Outcome,
    QueueStats,
    Settlement,
    Taken,
    Verdict,
)
from supersoniq.core.policy import Policy, Terms, changed
from supersoniq.core.ready import Line
from supersoniq.core.states import ARCS, Move, Status
from supersoniq.core.table import Table
from supersoniq.core.tally import Extra, figures, sizes
from supersoniq.core.timers import NEVER, Alarm, LeaseClock

__all__ = ["QueueMachine"]

_READY, _LEASED, _DEAD = Status.READY, Status.LEASED, Status.DEAD
_ACK = Outcome.ACK
_PUBLISHED, _SCHEDULED = rules.PUBLISH_READY.slot, rules.PUBLISH_SCHEDULED.slot


def _is_due(record: Record, at: int) -> bool:
    return record.status is Status.SCHEDULED and record.available_at == at


def _may_expire(record: Record, at: int) -> bool:
    return record.status in (Status.SCHEDULED, _READY) and record.details.expires_at == at


def _is_kept(record: Record, at: int) -> bool:
    return record.status in (Status.DONE, _DEAD) and record.until == at


class QueueMachine:
    """One queue.

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

    # Publishing.

    def publish(self, entries: Sequence[Entry], now: int) -> list[Published]:
        """Store messages, all or none. O(1) each."""
        now = self.tick(now)
        keyed, plain = self._admit(entries, now)
        answers: list[Published] | None = None
        if keyed:
            answers, entries = self._match(entries, now)
        prefix, durability, sequence = self._seal.prefix(now), self._durability, self._sequence
        born = rules.born
        records: list[Record] = []
        published: list[Published] = []
        for entry in entries:
            sequence += 1
            records.append(born(entry, sequence, now))
            published.append(Published(prefix | sequence, False, durability))
        self._sequence = sequence
        self._table.extend(records)
        if plain and not self._log.active:
            # The common case, in one go: all of them go to the end of one line.
            self._line.extend(records)
            self._tally[_PUBLISHED] += len(records)
        else:
            for record in records:
                self._tally[_PUBLISHED if record.status is _READY else _SCHEDULED] += 1
                self._moved(record, Move.PUBLISH, now, fresh=True)
        self.stirs += 1
        return published if answers is None else answers

    def _admit(self, entries: Sequence[Entry], now: int) -> tuple[bool, bool]:
        """Raise unless all entries can be stored.

        Says whether any has a key, and whether all are plain: ready, unaddressed, without expiry.
        """
        terms = self._terms
        longest = terms.max_content
        keyed, plain = False, True
        fresh = 0
        batch: dict[str, bytes] | None = None
        for entry in entries:
            if len(entry.content) > longest:
                raise ContentTooLarge(self.name, len(entry.content), longest)
            details = entry.details
            if entry.delay or entry.ttl is not None or details.recipient is not None:
                plain = False
            key = details.key
            if key is None or not terms.dedup_window:
                fresh += 1
                continue
            if batch is None:
                batch, keyed = {}, True
            mine = digest(entry.content)
            use = self._keys.find(key, now)
            known = use.digest if use is not None else batch.get(key)
            if known is not None and known != mine:
                number = use.number if use is not None else 0
                raise KeyConflict(self.name, key, format_id(number) if number else "of this batch")
            fresh += known is None
            batch[key] = mine
        if terms.max_length is not None:
            size = sizes(self._tally)
            length = size[Status.SCHEDULED] + size[_READY] + size[_LEASED]
            # Duplicates alone store nothing, so they are answered even where the queue is over.
            if fresh and length + fresh > terms.max_length:
                raise QueueFull(self.name, length, terms.max_length)
        return keyed, plain

    def _match(self, entries: Sequence[Entry], now: int) -> tuple[list[Published], Sequence[Entry]]:
        """Note the keys of admitted entries: the answer to all, and those that are to be stored."""
        prefix, durability = self._seal.prefix(now), self._durability
        published: list[Published] = []
        fresh: list[Entry] = []
        for entry in entries:
            key = entry.details.key
            if key is not None and (use := self._keys.find(key, now)) is not None:
                self._extra.duplicates += 1
                published.append(Published(use.number, True, durability))
                continue
            fresh.append(entry)
            number = prefix | self._sequence + len(fresh)
            if key is not None:
                self._keys.prune(now)
                until = now + self._terms.dedup_window
                self._keys.note(key, KeyUse(number, digest(entry.content), until))
            published.append(Published(number, False, durability))
        return published, fresh

    # Leasing.

    def take(self, limit: int, recipient: str | None, duration: int | None, now: int) -> Taken:
        """Lease up to ``limit`` messages. O(1) each, O(log r) for those that had come back."""
        now = self.tick(now)
        if self._paused_until is not None:
            return Taken([], self._wake_in(now))
        line = self._addressed.get(recipient) if recipient is not None else None
        records = self._line.pop_many(limit) if line is None else self._pop_merged(line, limit)
        if not records:
            return Taken([], self._wake_in(now))
        length = self._terms.lease if duration is None else duration
        deadline = now + length
        name, seal = self.name, self._seal
        rules.lease_all(records, deadline, self._tally)
        leases: list[Lease] = []
        for record in records:
            # No comprehension: most batches are of one, and it costs a call.
            lease = Lease(name, record, seal, record.leases, record.deliveries, deadline)
            leases.append(lease)
        self._leases.extend(length, leases)
        if deadline < self.next:
            self.next = deadline
        if self._log.active:
            for record in records:
                self._tell(Move.LEASE, record, now)
        return Taken(leases, self._wake_in(now), length)

    def _pop_merged(self, line: Line, limit: int) -> list[Record]:
        """The next of two lines together: a recipient's own messages and the unaddressed."""
        records: list[Record] = []
        while len(records) < limit:
            own, common = line.head(), self._line.head()
            if own is None and common is None:
                break
            mine = common is None or (
                own is not None
                and (-own.priority, own.sequence) < (-common.priority, common.sequence)
            )
            record = line.pop() if mine else self._line.pop()
            assert record is not None
            records.append(record)
        return records

    # Settling.

    def settle(self, settlements: Sequence[Settlement], now: int) -> list[Verdict]:
        """End or extend leases, each with its own verdict. O(1) each, amortised."""
        now = self.tick(now)
        seal, terms, tally = self._seal, self._terms, self._tally
        remove = self._table.remove
        # The common case, without detours: an ack after which nothing is kept or told.
        leaves_no_trace = not terms.keep_done and not self._log.active
        ended = 0
        verdicts: list[Verdict] = []
        for settlement in settlements:
            lease = settlement.receipt
            if (
                leaves_no_trace
                and settlement.outcome is _ACK
                and isinstance(lease, Lease)
                and lease.seal is seal
                and (record := lease.record).status is _LEASED
                and record.leases == lease.term
            ):
                rules.ack(record, now, terms, tally)
                remove(record.sequence)
                ended += 1
                verdicts.append(None)
                continue
            try:
                verdicts.append(self._settle(settlement, now))
            except LeaseLost as error:
                self._extra.stale += 1
                verdicts.append(error)
        self._leases.ended(ended)
        return verdicts

    def _settle(self, settlement: Settlement, now: int) -> int | None:
        outcome = settlement.outcome
        record, term = self._held(settlement.receipt)
        if record.status is not _LEASED or record.leases != term:
            if rules.repeated(record, term, outcome):
                return None
            raise LeaseLost("it lapsed, or was settled otherwise")
        terms, tally = self._terms, self._tally
        if outcome is Outcome.ACK:
            rules.ack(record, now, terms, tally)
        elif outcome is Outcome.EXTEND:
            return self._extend(record, settlement.duration, now)
        elif outcome is Outcome.NACK:
            rules.nack(record, now, terms, tally, settlement.delay, settlement.reason)
        elif outcome is Outcome.RELEASE:
            rules.release(record, now, tally, settlement.delay)
        else:
            rules.reject(record, now, terms, tally, settlement.reason)
        self._leases.ended()
        self._came_back(record, _MOVES[outcome], now)
        return None

    def _held(self, receipt: Lease | str) -> tuple[Record, int]:
        """The record and term that a receipt names."""
        if isinstance(receipt, Lease):
            if receipt.seal is self._seal and receipt.record.status is not None:
                return receipt.record, receipt.term
        else:
            sequence, term = self._seal.open(receipt)
            record = self._table.get(sequence)
            if record is not None and term <= record.leases:
                return record, term
        raise LeaseLost("its message is gone: settled and forgotten, or of a deleted queue")

    def _extend(self, record: Record, duration: int | None, now: int) -> int:
        length = self._terms.lease if duration is None else duration
        deadline = now + length
        if deadline == record.until:
            return deadline
        rules.extend(record, deadline, self._tally)
        lease = Lease(self.name, record, self._seal, record.leases, record.deliveries, deadline)
        self._leases.extend(length, [lease])
        self._leases.ended()
        self.next = min(self.next, deadline)
        self._tell(Move.EXTEND, record, now)
        return deadline

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
            self._line_of(record).left(record)
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

    def _tell(self, move: Move, record: Record, now: int, gone_from: Status | None = None) -> None:
        log = self._log
        if log.active and log.records(kind := KIND_OF[move], now):
            was = gone_from or (Status.DONE if move is Move.ACK else _DEAD)
            log.add(kind, now, record.snapshot(self.name, self._seal, was))
            self.stirs += 1

    # Looking.

    def _find(self, number: int) -> Record:
        sequence = self._seal.sequence_of(number)
        record = self._table.get(sequence) if sequence is not None else None
        if record is None or self._seal.prefix(record.created_at) | record.sequence != number:
            raise MessageNotFound(self.name, format_id(number))
        return record

    def look(self, number: int, now: int) -> Message:
        """One message. O(1)."""
        self.tick(now)
        return self._find(number).snapshot(self.name, self._seal)

    def browse(
        self, status: Status | None, after: int | None, limit: int, now: int
    ) -> list[Message]:
        """Messages in publish order. O(n) in the messages passed over."""
        self.tick(now)
        start = 0
        if after is not None:
            sequence = self._seal.sequence_of(after)
            if sequence is None:
                raise MessageNotFound(self.name, format_id(after))
            start = sequence
        page: list[Message] = []
        for record in self._table.after(start):
            if status is None or record.status is status:
                page.append(record.snapshot(self.name, self._seal))
                if len(page) >= limit:
                    break
        return page

    def explain(self, number: int, now: int) -> str:
        """Why the message is not being delivered. O(n) for a ready one, else O(1)."""
        now = self.tick(now)
        record = self._find(number)
        ahead = 0
        if record.status is _READY:
            ahead = self._line.ahead_of(record.priority, record.sequence)
            if record.details.recipient is not None:
                line = self._line_of(record)
                ahead += line.ahead_of(record.priority, record.sequence)
        message = record.snapshot(self.name, self._seal)
        return explain(
            message, now=now, until=record.until, paused_until=self._paused_until, ahead=ahead
        )

    def stats(self, now: int) -> QueueStats:
        """The queue at this moment. O(1)."""
        self.tick(now)
        return figures(self.name, self._tally, self._extra, self._paused_until)

    # Managing.

    def cancel(self, number: int, now: int) -> None:
        """Drop a message that nobody holds. Amortised O(1)."""
        now = self.tick(now)
        record = self._find(number)
        if record.status is _LEASED:
            raise MessageLeased(move=str(Move.CANCEL), status=str(_LEASED))
        source = record.status
        rules.cancel(record, self._tally)
        if source is _READY:
            self._line_of(record).left(record)
        self._moved(record, Move.CANCEL, now, gone_from=source)

    def redrive(self, numbers: Sequence[int] | None, limit: int | None, now: int) -> int:
        """Make dead messages ready again. O(n) in the queue's messages without ``numbers``."""
        now = self.tick(now)
        if numbers is None:
            dead = [record for record in self._table.after(0) if record.status is _DEAD]
        else:
            dead = [self._find(number) for number in dict.fromkeys(numbers)]
            for record in dead:
                if record.status is not _DEAD:
                    raise IllegalMove(move=str(Move.REDRIVE), status=str(record.status))
        dead = dead if limit is None else dead[:limit]
        for record in dead:
            rules.redrive(record, now, self._tally)
            self._moved(record, Move.REDRIVE, now)
        return len(dead)

    def purge(self, status: Status | None, now: int) -> int:
        """Drop all messages of a status. O(n) in the queue's messages."""
        now = self.tick(now)
        if status is _LEASED:
            raise IllegalMove(move=str(Move.PURGE), status=str(_LEASED))
        wanted = (Status.SCHEDULED, _READY, _DEAD) if status is None else (status,)
        doomed = [record for record in self._table.after(0) if record.status in wanted]
        for record in doomed:
            source = record.status
            rules.purge(record, self._tally)
            if source is _READY:
                self._line_of(record).left(record)
            self._moved(record, Move.PURGE, now, gone_from=source)
        return len(doomed)

    def pause(self, until: int | None, duration: int | None, now: int) -> None:
        """Give no more leases. O(1)."""
        now = self.tick(now)
        if duration is not None:
            until = now + duration
        self._paused_until = NEVER if until is None else until
        self.next = min(self.next, self._paused_until)

    def resume(self, now: int) -> None:
        """Give leases again. O(1)."""
        self.tick(now)
        self._paused_until = None
        self.stirs += 1

    def configure(self, changes: Mapping[str, Any], now: int) -> Policy:
        """Change the policy, for what happens from now on. O(1)."""
        self.tick(now)
        self.policy = changed(self.policy, changes)
        self._terms = Terms.of(self.policy)
        return self.policy

    def follow(
        self, since: int | None, kinds: frozenset[EventKind], limit: int, now: int
    ) -> Followed:
        """Events after an offset. O(events kept)."""
        now = self.tick(now)
        events, offset = self._log.follow(since, kinds, limit, now)
        return Followed(events, offset, self._wake_in(now))

    # Checking.

    def _check(self) -> None:
        """Raise ``AssertionError`` unless every structure agrees with every other. O(n)."""
        self._table._check()
        lines = [self._line, *self._addressed.values()]
        for line in lines:
            line._check()
        counted = dict.fromkeys(Status, 0)
        for record in self._table.after(0):
            assert record.status is not None, "a record that is gone is still in the table"
            counted[record.status] += 1
        assert counted == sizes(self._tally), f"{counted} counted, {sizes(self._tally)} tallied"
        assert sum(map(len, lines)) == counted[_READY], "the lines miss ready records"


_MOVES = {outcome: Move(outcome.value) for outcome in Outcome}
