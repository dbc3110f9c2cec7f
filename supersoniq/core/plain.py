"""The plain cases: one message is published, leased or acknowledged, and nothing is special.

They are what a program does by the million, one at a time. Each does exactly what ``Flow``'s method
for batches does with a batch of one, without making lists of one; and hands over to it whenever
there is anything that it has not looked at itself: a key, a delay, an expiry, a recipient, a limit,
a watcher, done messages that are kept, a receipt of elsewhere.
"""

from __future__ import annotations

from supersoniq.core import rules
from supersoniq.core.flow import Flow
from supersoniq.core.messages import Entry, Lease, Published
from supersoniq.core.ops import Outcome, Settlement
from supersoniq.core.states import Move, Status

__all__ = ["Plain"]

_LEASED, _ACK = Status.LEASED, Outcome.ACK
_PUBLISHED = rules.PUBLISH_READY.slot


class Plain(Flow):
    """A queue's messages, one at a time."""

    def publish_one(self, entry: Entry, now: int) -> Published:
        """``publish`` of one message. O(1)."""
        if not self._now <= now < self.next:
            now = self.tick(now)
        details, terms = entry.details, self._terms
        if (
            entry.delay
            or entry.ttl is not None
            or details.key is not None
            or details.recipient is not None
            or len(entry.content) > terms.max_content
            or terms.max_length is not None
            or self._log.active
        ):
            return self.publish((entry,), now)[0]
        self._now = now
        self._sequence = sequence = self._sequence + 1
        record = rules.born_plain(entry, sequence, now)
        self._table.append(record)
        self._line.append(record)
        self._tally[_PUBLISHED] += 1
        self.stirs += 1
        return Published(self._seal.prefix(now) | sequence, False, self._durability)

    def take_one(self, now: int) -> tuple[Lease, int] | None:
        """``take`` of one unaddressed message, for the queue's lease. Amortised O(log r).

        Gives the lease and its length in milliseconds.
        """
        if not self._now <= now < self.next:
            now = self.tick(now)
        self._now = now
        if self._paused_until is not None or (record := self._line.pop()) is None:
            return None
        length = self._terms.lease
        deadline = now + length
        rules.lease(record, deadline, self._tally)
        term = record.leases
        attempt = term if record.past is None else record.deliveries
        lease = Lease(self.name, record, self._seal, term, attempt, deadline)
        self._leases.append(length, lease)
        if deadline < self.next:
            self.next = deadline
        if self._log.active:
            self._tell(Move.LEASE, record, now)
        return lease, length

    def ack_one(self, lease: Lease, now: int) -> None:
        """``settle`` of one acknowledgement. Amortised O(1).

        Raises:
            LeaseLost: nothing has changed.
        """
        if not self._now <= now < self.next:
            now = self.tick(now)
        record, terms = lease.record, self._terms
        if (
            record.status is not _LEASED
            or record.leases != lease.term
            or lease.seal is not self._seal
            or terms.keep_done
            or self._log.active
        ):
            [verdict] = self.settle((Settlement(lease, _ACK),), now)
            if isinstance(verdict, Exception):
                raise verdict
            return
        self._now = now
        rules.ack(record, now, terms, self._tally)
        self._table.remove(record.sequence)
        self._leases.ended()
