"""What each move does to one message, beside its change of status.

These are the only functions that change a ``Record``. They know nothing of lines, clocks or tables:
the machine and every backend call them and then put the record where its new status belongs. So
there is one meaning of "nack", and a store is only a way to remember it.

**Time.** ``now`` is the store's clock in milliseconds, read once for a batch. At
``now >= deadline`` a lease is over, at ``now >= available_at`` a message is due, at
``now >= expires_at`` it has expired, unless somebody holds it: then it expires when it comes back.
Whoever touches a queue first lets time catch up, in this order: lapses, dues, expiries, then what
is to be forgotten.

**Retention.** A message that is done or dead is kept until ``until``. With a retention of zero it
is forgotten in the same step.

**Terms.** Each lease of a message has a number that only grows. How a term ended is kept as a
letter, so that repeating a settlement can be answered as the first time.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from supersoniq.core.ids import parse_id
from supersoniq.core.messages import Details, Entry, Message, Past, Record
from supersoniq.core.ops import Outcome
from supersoniq.core.policy import Terms
from supersoniq.core.states import Move, Status, arc, illegal, pair, take, take_all, take_pair

__all__ = [
    "PUBLISH_READY",
    "PUBLISH_SCHEDULED",
    "ack",
    "ack_all",
    "born",
    "born_plain",
    "cancel",
    "corrupt",
    "due",
    "expire",
    "extend",
    "forget",
    "imported",
    "lapse",
    "lease",
    "lease_all",
    "nack",
    "overdue",
    "purge",
    "redrive",
    "reject",
    "release",
    "repeated",
]

_S, _R, _L, _D, _X = Status
PUBLISH_READY = arc(Move.PUBLISH, None, _R)
PUBLISH_SCHEDULED = arc(Move.PUBLISH, None, _S)
_BORN_READY, _BORN_LATER = PUBLISH_READY.target, PUBLISH_SCHEDULED.target
_DUE = arc(Move.DUE, _S, _R)
_LEASE = arc(Move.LEASE, _R, _L)
_ACK = arc(Move.ACK, _L, _D)
_NACK = {to: arc(Move.NACK, _L, to) for to in (_R, _S, _X)}
_RELEASE = {to: arc(Move.RELEASE, _L, to) for to in (_R, _S)}
_REJECT = arc(Move.REJECT, _L, _X)
_EXTEND = arc(Move.EXTEND, _L, _L)
_LAPSE = {to: arc(Move.LAPSE, _L, to) for to in (_R, _X)}
_EXPIRE_GONE = {at: arc(Move.EXPIRE, at, None) for at in (_S, _R)}
_EXPIRE_DEAD = {at: arc(Move.EXPIRE, at, _X) for at in (_S, _R)}
_CANCEL = {at: arc(Move.CANCEL, at, None) for at in (_S, _R, _X)}
_REDRIVE = arc(Move.REDRIVE, _X, _R)
_PURGE = {at: arc(Move.PURGE, at, None) for at in (_S, _R, _D, _X)}
_FORGET = {at: arc(Move.FORGET, at, None) for at in (_D, _X)}
_ACK_AND_FORGET = pair(_ACK, _FORGET[_D])
_IMPORT = {to: arc(Move.IMPORT, None, to) for to in (_S, _R, _D, _X)}
_CORRUPT = {at: arc(Move.CORRUPT, at, _X) for at in (_S, _R, _L)}

LETTERS = {Outcome.ACK: "a", Outcome.NACK: "n", Outcome.RELEASE: "r", Outcome.REJECT: "j"}
_LAPSED, _CORRUPTED = "l", "c"
DEAD_BECAUSE = frozenset({"rejected", "max_deliveries", "expired", "corrupt"})
REMEMBERED = 32
"""Ended terms that a message remembers the outcome of."""


def born(entry: Entry, sequence: int, now: int) -> Record:
    """The record of a new message. The caller counts its arc, once for a whole batch."""
    details = entry.details
    if entry.ttl is not None:
        details = msgspec.structs.replace(details, expires_at=now + entry.ttl)
    if entry.delay:
        due_at = now + entry.delay
        return Record(sequence, entry.content, details, entry.priority, now, due_at, _BORN_LATER)
    # One and the same integer twice: another one of equal value would take 32 bytes more.
    return Record(sequence, entry.content, details, entry.priority, now, now, _BORN_READY)


def born_plain(entry: Entry, sequence: int, now: int) -> Record:
    """The same for an entry without delay and ttl."""
    return Record(sequence, entry.content, entry.details, entry.priority, now, now, _BORN_READY)


def imported(message: Message, sequence: int, now: int, terms: Terms, tally: list[int]) -> Record:
    """The record of a message of another store; gone at once if its like is not kept here."""
    reason, failure = None, message.reason
    if message.status is _X and failure is not None:
        word, _, said = failure.partition(": ")
        if word in DEAD_BECAUSE:
            reason, failure = word, said or None
    record = Record(
        sequence,
        message.content,
        Details(
            message.content_type,
            message.headers or None,
            message.sender,
            message.recipient,
            message.key,
            message.expires_at,
            origin=parse_id(message.id),
        ),
        message.priority,
        message.created_at,
        message.available_at,
        leases=message.deliveries,
        past=None if reason is failure is None else Past(reason=reason, failure=failure),
    )
    status = message.status
    if status not in (_D, _X):
        status = _S if record.available_at > now else _R
    take(record, _IMPORT[status], tally)
    if status in (_D, _X):
        kept = terms.keep_done if status is _D else terms.keep_dead
        record.until = now + kept
        if not kept:
            take(record, _FORGET[status], tally)
    return record


def overdue(record: Record, now: int) -> bool:
    """Whether its ``ttl`` has run out."""
    expires_at = record.details.expires_at
    return expires_at is not None and now >= expires_at


def due(record: Record, tally: list[int]) -> None:
    """Its time has come."""
    take(record, _DUE, tally)


def lease(record: Record, deadline: int, tally: list[int]) -> None:
    """A consumer takes it: one delivery and one term more."""
    take(record, _LEASE, tally)
    record.leases += 1
    record.until = deadline


def lease_all(records: Sequence[Record], deadline: int, tally: list[int]) -> None:
    """A consumer takes all of them."""
    take_all(records, _LEASE, tally)
    for record in records:
        record.leases += 1
        record.until = deadline


def ack(record: Record, now: int, terms: Terms, tally: list[int]) -> None:
    """The work is done."""
    if terms.keep_done:
        take(record, _ACK, tally)
        record.until = now + terms.keep_done
        _ended(record, "a")
    else:
        take_pair(record, _ACK_AND_FORGET, tally)


def ack_all(records: Sequence[Record], tally: list[int]) -> None:
    """The work of all of them is done, and none of them is kept."""
    take_all(records, _ACK_AND_FORGET, tally)


def nack(
    record: Record, now: int, terms: Terms, tally: list[int], delay: int | None, failure: str | None
) -> None:
    """The work failed: again later, or dead at the limit."""
    if terms.at_limit(record.deliveries):
        take(record, _NACK[_X], tally)
        _ended(record, "n", failure)
        _bury(record, now, terms, tally, "max_deliveries")
        return
    if delay is None:
        delay = terms.delay_after(record.deliveries, record.sequence)
    take(record, _NACK[_S if delay else _R], tally)
    _ended(record, "n", failure)
    record.available_at = now + delay


def release(record: Record, now: int, tally: list[int], delay: int | None) -> None:
    """The consumer gives it back untried: the delivery does not count."""
    take(record, _RELEASE[_S if delay else _R], tally)
    _ended(record, "r").uncounted += 1
    record.available_at = now + (delay or 0)


def reject(record: Record, now: int, terms: Terms, tally: list[int], failure: str | None) -> None:
    """The consumer says that nobody can do it."""
    take(record, _REJECT, tally)
    _ended(record, "j", failure)
    _bury(record, now, terms, tally, "rejected")


def extend(record: Record, deadline: int, tally: list[int]) -> None:
    """The consumer needs longer."""
    take(record, _EXTEND, tally)
    record.until = deadline


def lapse(record: Record, now: int, terms: Terms, tally: list[int]) -> None:
    """The deadline passed: back at once, or dead at the limit."""
    dead = terms.at_limit(record.deliveries)
    take(record, _LAPSE[_X if dead else _R], tally)
    _ended(record, _LAPSED)
    record.available_at = record.until
    if dead:
        _bury(record, now, terms, tally, "max_deliveries")


def expire(record: Record, now: int, terms: Terms, tally: list[int]) -> None:
    """Its ``ttl`` ran out while nobody held it."""
    source = record.status
    if source is None or source not in _EXPIRE_GONE:
        raise illegal(Move.EXPIRE, source)
    if terms.expiry_kills:
        take(record, _EXPIRE_DEAD[source], tally)
        _bury(record, now, terms, tally, "expired")
    else:
        take(record, _EXPIRE_GONE[source], tally)


def cancel(record: Record, tally: list[int]) -> None:
    """Somebody took it back."""
    source = record.status
    if source is None or source not in _CANCEL:
        raise illegal(Move.CANCEL, source)
    take(record, _CANCEL[source], tally)


def redrive(record: Record, now: int, tally: list[int]) -> None:
    """A dead message gets a second life; an expiry that has passed does not count again."""
    take(record, _REDRIVE, tally)
    record.available_at = now
    if overdue(record, now):
        record.details = msgspec.structs.replace(record.details, expires_at=None)
    past = _past(record)
    past.reason, past.uncounted = None, record.leases


def purge(record: Record, tally: list[int]) -> None:
    """Dropped with all its like."""
    source = record.status
    if source is None or source not in _PURGE:
        raise illegal(Move.PURGE, source)
    take(record, _PURGE[source], tally)


def forget(record: Record, tally: list[int]) -> None:
    """Its retention is over."""
    source = record.status
    if source is None or source not in _FORGET:
        raise illegal(Move.FORGET, source)
    take(record, _FORGET[source], tally)


def corrupt(record: Record, now: int, terms: Terms, tally: list[int]) -> None:
    """Its content failed its checksum: never delivered, never cleaned up unseen."""
    source = record.status
    if source is None or source not in _CORRUPT:
        raise illegal(Move.CORRUPT, source)
    take(record, _CORRUPT[source], tally)
    if source is _L:
        _ended(record, _CORRUPTED)
    _bury(record, now, terms, tally, "corrupt")


def repeated(record: Record, term: int, outcome: Outcome) -> bool:
    """Whether that term ended with that very outcome: then it is answered as the first time."""
    letter = LETTERS.get(outcome)
    past = record.past
    if past is None or letter is None or record.status is None:
        return False
    ended = record.leases - (record.status is Status.LEASED)
    back = ended - term
    return 0 <= back < len(past.outcomes) and past.outcomes[-1 - back] == letter


def _past(record: Record) -> Past:
    if record.past is None:
        record.past = Past()
    return record.past


def _ended(record: Record, letter: str, failure: str | None = None) -> Past:
    past = _past(record)
    past.outcomes = (past.outcomes + letter)[-REMEMBERED:]
    if failure is not None:
        past.failure = failure
    return past


def _bury(record: Record, now: int, terms: Terms, tally: list[int], reason: str) -> None:
    _past(record).reason = reason
    record.until = now + terms.keep_dead
    if not terms.keep_dead:
        take(record, _FORGET[_X], tally)
