"""How messages flow through a queue: publish, take, settle.

Every call either does all it says or raises and changes nothing but what time had already brought.

Publishing, leasing and acknowledging are done by the million, so they do for a whole batch at once
what ``Places`` does for a record at a time, wherever nothing is out of the ordinary.
"""

from __future__ import annotations

from collections.abc import Sequence

from supersoniq.core import rules
from supersoniq.core.errors import (
    ContentTooLarge,
    KeyConflict,
    LeaseLost,
)
from supersoniq.core.ids import MARK, format_id
from supersoniq.core.keys import KeyUse, digest
from supersoniq.core.messages import (
    Entry,
    Lease,
    Published,
    Record,
)
from supersoniq.core.ops import (
    Outcome,
    Settlement,
    Taken,
    Verdict,
)
from supersoniq.core.places import Places
from supersoniq.core.policy import no_room
from supersoniq.core.ready import Line
from supersoniq.core.states import Move, Status
from supersoniq.core.tally import sizes

__all__ = ["Flow"]

_READY, _LEASED = Status.READY, Status.LEASED
_ACK = Outcome.ACK
_PUBLISHED, _SCHEDULED = rules.PUBLISH_READY.slot, rules.PUBLISH_SCHEDULED.slot
_MOVES = {outcome: Move(outcome.value) for outcome in Outcome}


class Flow(Places):
    """The life of a queue's messages."""

    # Publishing.

    def publish(self, entries: Sequence[Entry], now: int) -> list[Published]:
        """Store messages, all or none. O(1) each."""
        now = self.tick(now)
        keyed, plain = self._admit(entries, now)
        answers: list[Published] | None = None
        if keyed:
            answers, entries = self._match(entries, now)
        prefix, durability = self._seal.prefix(now), self._durability
        first = self._sequence + 1
        self._sequence += len(entries)
        born = rules.born_plain if plain else rules.born
        records = [born(entry, n, now) for n, entry in enumerate(entries, first)]
        if answers is None:
            sequences = range(first, self._sequence + 1)
            answers = [Published(prefix | n, False, durability) for n in sequences]
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
        return answers

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
                raise no_room(self.name, length, fresh, terms.max_length)
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

    def take(
        self,
        limit: int,
        recipient: str | None,
        duration: int | None,
        now: int,
        max_bytes: int | None = None,
    ) -> Taken:
        """Lease up to ``limit`` messages. O(1) each, O(log r) for those that had come back."""
        now = self.tick(now)
        if self._paused_until is not None:
            return Taken([], self._wake_in(now))
        line = self._addressed.get(recipient) if recipient is not None else None
        if line is not None:
            records = self._pop_merged(line, limit, max_bytes)
            self._close_line(recipient, line)
        elif max_bytes is None or limit == 1:
            records = self._line.pop_many(limit)
        else:
            records = self._pop_up_to(limit, max_bytes)
        if not records:
            return Taken([], self._wake_in(now))
        length = self._terms.lease if duration is None else duration
        deadline = now + length
        name, seal = self.name, self._seal
        rules.lease_all(records, deadline, self._tally)
        leases: list[Lease] = []
        for record in records:
            # No comprehension: most batches are of one, and it costs a call.
            term = record.leases
            attempt = term if record.past is None else record.deliveries
            leases.append(Lease(name, record, seal, term, attempt, deadline))
        self._leases.extend(length, leases)
        if deadline < self.next:
            self.next = deadline
        if self._log.active:
            for record in records:
                self._tell(Move.LEASE, record, now)
        return Taken(leases, self._wake_in(now), length)

    def _pop_up_to(self, limit: int, max_bytes: int) -> list[Record]:
        """The next unaddressed messages, until they have so many bytes of content."""
        records: list[Record] = []
        pop = self._line.pop
        while len(records) < limit and max_bytes > 0 and (record := pop()) is not None:
            records.append(record)
            max_bytes -= len(record.content)
        return records

    def _pop_merged(self, line: Line, limit: int, max_bytes: int | None) -> list[Record]:
        """The next of two lines together: a recipient's own messages and the unaddressed."""
        records: list[Record] = []
        size = 0
        while len(records) < limit and (max_bytes is None or size < max_bytes):
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
            size += len(record.content)
        return records

    # Settling.

    def settle(self, settlements: Sequence[Settlement], now: int) -> list[Verdict]:
        """End or extend leases, each with its own verdict. O(1) each, amortised."""
        now = self.tick(now)
        if not self._terms.keep_done and not self._log.active:
            records = self._straight(settlements)
            if records is not None:
                rules.ack_all(records, self._tally)
                self._table.remove_all(records)
                self._leases.ended(len(records))
                return [None] * len(records)
        verdicts: list[Verdict] = []
        for settlement in settlements:
            try:
                verdicts.append(self._settle(settlement, now))
            except LeaseLost as error:
                self._extra.stale += 1
                verdicts.append(error)
        return verdicts

    def _straight(self, settlements: Sequence[Settlement]) -> list[Record] | None:
        """The records of settlements that are nothing but acks of what is held, each once."""
        seal = self._seal
        records: list[Record] = []
        for settlement in settlements:
            lease = settlement.receipt
            if (
                lease.__class__ is not Lease
                or settlement.outcome is not _ACK
                or lease.seal is not seal
                or (record := lease.record).status is not _LEASED
                or record.leases != lease.term
            ):
                return None
            records.append(record)
        return records if len({record.sequence for record in records}) == len(records) else None

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
            sequence, term, mark = self._seal.open(receipt)
            record = self._table.get(sequence)
            if record is not None and record.created_at & MARK == mark and term <= record.leases:
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
