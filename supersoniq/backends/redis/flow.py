"""Publish, take and settle: each all that came together for one queue, in one call."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Sequence
from typing import Any

import msgspec

from supersoniq.backends.redis import rows
from supersoniq.backends.redis.link import Argument
from supersoniq.backends.redis.scripts import MOST_BYTES, verb_script
from supersoniq.backends.redis.work import Facts, Header, Work
from supersoniq.core import ops
from supersoniq.core.errors import (
    ContentTooLarge,
    KeyConflict,
    LeaseLost,
    StorageFull,
    SupersoniqError,
)
from supersoniq.core.ids import MARK, MAX_SEQUENCE, Seal, format_id
from supersoniq.core.messages import Entry, Lease, Published
from supersoniq.core.ops import Outcome, Settlement
from supersoniq.core.policy import no_room
from supersoniq.port import Result

__all__ = ["Corrupting", "Publishing", "Settling", "Taking"]

_pack = msgspec.msgpack.Encoder().encode
_LETTERS = {
    Outcome.ACK: b"a",
    Outcome.NACK: b"n",
    Outcome.RELEASE: b"r",
    Outcome.REJECT: b"j",
    Outcome.EXTEND: b"e",
}
_ITEM = struct.Struct(">cIBIIBH")
"""A settlement: its letter, the queue's number, the sequence's 40 bits, the term, and 24 bits of
the message's ``created_at``."""
_FOREIGN = _ITEM.pack(b"?", 0, 0, 0, 0, 0, 0)
LARGEST = 500 << 20
"""Bytes of content that fit into one value of Redis, whatever the policy says."""


class Publishing(Work):
    """Publishes to one queue, in their order, each all or nothing."""

    script = verb_script("publish")
    makes = True

    def __init__(self, queue: str, results: list[Result], facts: Facts) -> None:
        super().__init__(queue, results, facts)
        self._ops: list[tuple[int, Sequence[Entry]]] = []

    def add(self, place: int, op: ops.Publish) -> None:
        """One more publish."""
        longest = max((len(entry.content) for entry in op.entries), default=0)
        if longest > LARGEST:
            self.results[place] = ContentTooLarge(self.queue, longest, LARGEST)
        else:
            self._ops.append((place, op.entries))

    @property
    def places(self) -> Sequence[int]:
        """Where its operations stand in the batch."""
        return [place for place, _ in self._ops]

    def arguments(self) -> list[Argument]:
        """What the script is given."""
        sent: list[Argument] = [len(self._ops)]
        encode = rows.encode_entry
        for _, entries in self._ops:
            longest = max((len(entry.content) for entry in entries), default=0)
            keyed = any(entry.details.key is not None for entry in entries)
            sent += (len(entries), longest, int(keyed))
            for entry in entries:
                sent += encode(entry)
        return sent

    def missing(self) -> None:
        """It is made, so this cannot be."""
        raise AssertionError("a publish makes its queue")

    def take_in(self, header: Header, given: Any) -> bool:
        """A result for each publish."""
        durability, prefix = self.facts.durability, header.seal.prefix
        for (place, entries), answer in zip(self._ops, given, strict=True):
            if answer[0] == b"all":
                start = prefix(header.now)
                first = answer[1]
                self.results[place] = [
                    Published(start | sequence, False, durability)
                    for sequence in range(first, first + len(entries))
                ]
            elif answer[0] == b"each":
                self.results[place] = [
                    Published(
                        rows.id_of(name) or prefix(created) | sequence, bool(again), durability
                    )
                    for created, sequence, again, name in answer[1:]
                ]
            else:
                self.results[place] = self._refusal(answer, entries, header.seal)
        return True

    def _refusal(self, answer: Any, entries: Sequence[Entry], seal: Seal) -> SupersoniqError:
        word, *facts = answer
        if word == b"too large":
            return ContentTooLarge(self.queue, *facts)
        if word == b"full":
            return no_room(self.queue, *facts)
        if word == b"conflict":
            place, created, sequence, name = facts
            number = rows.id_of(name) or seal.prefix(created) | sequence
            known = format_id(number) if sequence >= 0 else "of this batch"
            return KeyConflict(self.queue, entries[place].details.key, known)
        return StorageFull(f"queue {self.queue!r} has used up its {MAX_SEQUENCE} sequences")


class Taking(Work):
    """Takes from one queue, in their order."""

    script = verb_script("take")
    replicated = False

    def __init__(self, queue: str, results: list[Result], facts: Facts) -> None:
        super().__init__(queue, results, facts)
        self._ops: list[tuple[int, ops.Take]] = []
        self.spoiled: list[tuple[int, int]] = []
        """Sequence and term of what was leased and is not what was published."""

    def add(self, place: int, op: ops.Take) -> None:
        """One more take."""
        self._ops.append((place, op))

    @property
    def places(self) -> Sequence[int]:
        """Where its operations stand in the batch."""
        return [place for place, _ in self._ops]

    def arguments(self) -> list[Argument]:
        """What the script is given."""
        sent: list[Argument] = [len(self._ops)]
        for _, op in self._ops:
            length = "" if op.duration is None else op.duration
            most = MOST_BYTES if op.max_bytes is None else min(op.max_bytes, MOST_BYTES)
            sent += (op.limit, op.recipient or "", length, most)
        return sent

    def missing(self) -> None:
        """A queue that does not exist has no messages."""
        for place in self.places:
            self.results[place] = ops.Taken([])

    def take_in(self, header: Header, given: Any) -> bool:
        """What each take was given, without what has rotted."""
        again: list[tuple[int, ops.Take]] = []
        seal, name, wake_in = header.seal, self.queue, header.wake_in
        for (place, op), (length, found) in zip(self._ops, given, strict=True):
            leases: list[Lease] = []
            spoiled = len(self.spoiled)
            deadline = found[0] if found else 0
            for at in range(1, len(found), 3):
                record, sound = rows.decode(*found[at : at + 3], leased_until=deadline)
                if sound:
                    term, attempt = record.leases, record.deliveries
                    leases.append(Lease(name, record, seal, term, attempt, deadline))
                else:
                    self.spoiled.append((record.sequence, record.leases))
            if not leases and len(self.spoiled) > spoiled:
                again.append((place, op))  # The next one takes its place.
            self.results[place] = ops.Taken(leases, wake_in, length if leases else 0)
        self._ops = again
        return not again


class Corrupting(Work):
    """Setting aside what a take found damaged, before anybody gets to see it."""

    script = verb_script("manage")

    def __init__(self, queue: str, facts: Facts, found: list[tuple[int, int]]) -> None:
        super().__init__(queue, [], facts)
        self._found = found

    @property
    def places(self) -> Sequence[int]:
        """Nobody asked for it."""
        return ()

    def arguments(self) -> list[Argument]:
        """What the script is given."""
        return ["corrupt", *(part for pair in self._found for part in pair)]

    def missing(self) -> None:
        """Deleted meanwhile."""

    def take_in(self, header: Header, given: Any) -> bool:
        """Nothing to say."""
        return True


class Settling(Work):
    """Settlements of one queue's leases, in their order."""

    script = verb_script("settle")

    def __init__(self, queue: str, results: list[Result], facts: Facts) -> None:
        super().__init__(queue, results, facts)
        self._ops: list[tuple[int, Sequence[Settlement]]] = []

    def add(self, place: int, op: ops.Settle) -> None:
        """More settlements."""
        self._ops.append((place, op.settlements))

    @property
    def places(self) -> Sequence[int]:
        """Where its operations stand in the batch."""
        return [place for place, _ in self._ops]

    def arguments(self) -> list[Argument]:
        """What the script is given."""
        acked, is_ours, pack = Outcome.ACK, self.facts.is_ours, _ITEM.pack
        sent: list[Argument] = []
        for _, settlements in self._ops:
            for one in settlements:
                lease = one.receipt
                # The most frequent one by a shorter way.
                if one.outcome is acked and isinstance(lease, Lease) and is_ours(lease.seal):
                    number = lease.seal.number  # type: ignore[attr-defined]  # is_ours() has looked
                    sequence, at = lease.record.sequence, lease.record.created_at
                    low, mark = sequence & 0xFFFFFFFF, at & MARK
                    item = (
                        b"a",
                        number,
                        sequence >> 32,
                        low,
                        lease.term,
                        mark >> 16,
                        mark & 0xFFFF,
                    )
                    sent.append(pack(*item))
                else:
                    sent.append(self._item(one))
        return sent

    def _item(self, settlement: Settlement) -> bytes:
        receipt = settlement.receipt
        if isinstance(receipt, Lease):
            if self.facts.is_ours(receipt.seal):
                number = receipt.seal.number  # type: ignore[attr-defined]  # is_ours() has looked
                sequence, term = receipt.record.sequence, receipt.term
                mark = receipt.record.created_at & MARK
            else:
                return self._item(msgspec.structs.replace(settlement, receipt=receipt.receipt))
        else:
            opened = open_receipt(self.facts.secret, receipt)
            if opened is None:
                return _FOREIGN
            number, sequence, term, mark = opened
        outcome = settlement.outcome
        letter, low = _LETTERS[outcome], sequence & 0xFFFFFFFF
        item = _ITEM.pack(letter, number, sequence >> 32, low, term, mark >> 16, mark & 0xFFFF)
        span = settlement.duration if outcome is Outcome.EXTEND else settlement.delay
        if span is None and settlement.reason is None:
            return item
        return item + _pack((False if span is None else span, settlement.reason or False))

    def missing(self) -> None:
        """Its receipts are void."""
        for place, settlements in self._ops:
            self.results[place] = [LeaseLost("its queue is gone") for _ in settlements]

    def take_in(self, header: Header, given: Any) -> bool:
        """A verdict for each settlement."""
        verdicts = iter(given)
        for place, settlements in self._ops:
            self.results[place] = [_verdict(next(verdicts)) for _ in settlements]
        return True


def _verdict(code: int) -> ops.Verdict:
    if code == 0:
        return None
    return (
        LeaseLost("it lapsed, was settled otherwise, or is not of this queue") if code < 0 else code
    )


def open_receipt(secret: bytes, receipt: str) -> tuple[int, int, int, int] | None:
    """Number, sequence, term and mark of a receipt, whatever queue of this store it is of."""
    try:
        number = int.from_bytes(base64.urlsafe_b64decode(receipt[:8])[:4])
        return (number, *Seal(secret, number).open(receipt))
    except (LeaseLost, ValueError, binascii.Error):
        return None
