"""Ending leases: acknowledgements by the hundred in three statements, everything else one by one.

An acknowledgement of a queue that keeps no done messages leaves nothing to store: it is two
deletions and a count. All of those that came together are looked up by one statement, compared
with the terms that their receipts name, and dropped by two more. Whatever else a settlement
says, or whenever a watcher wants to hear of acknowledgements, the record is loaded, the core's
rule is applied to it, and it is put where it belongs.

Two settlements of one message keep their order: only the first can go the quick way.

A receipt names when its message was made, too. A power loss can make a store forget what it had not
synced, and give the sequence to another message; who holds the receipt may be another machine.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from supersoniq.backends.sqlite.queue import StoredQueue
from supersoniq.core import rules
from supersoniq.core.errors import LeaseLost
from supersoniq.core.ids import MARK
from supersoniq.core.messages import EventKind, Lease, Record
from supersoniq.core.ops import Outcome, Settle, Settlement, Verdict
from supersoniq.core.states import Move, Status, arc

__all__ = ["settle"]

_LEASED = Status.LEASED
_ACK = arc(Move.ACK, _LEASED, Status.DONE).slot
_FORGET = arc(Move.FORGET, Status.DONE, None).slot
_MOVES = {outcome: Move(outcome.value) for outcome in Outcome}
_GONE = "its message is gone: settled and forgotten, or of a deleted queue"
_IN = "IN (SELECT value FROM json_each(?))"


def settle(queue: StoredQueue, settles: Sequence[Settle], now: int) -> list[list[Verdict]]:
    """Carry out settlements of one queue, whose time has been caught up. O(log n) each.

    Args:
        queue: the queue.
        settles: in the order in which they are answered.
        now: the transaction's instant.
    """
    done: set[int] = set()
    if not queue.terms.keep_done and not queue.journal.records(EventKind.ACKED, now):
        done = _acknowledge(queue, settles)
    place = 0
    answers: list[list[Verdict]] = []
    for op in settles:
        verdicts: list[Verdict] = []
        queue.tick(now)
        for settlement in op.settlements:
            if place in done:
                verdicts.append(None)
            else:
                verdicts.append(_verdict(queue, settlement, now))
            place += 1
        answers.append(verdicts)
    return answers


def _acknowledge(queue: StoredQueue, settles: Sequence[Settle]) -> set[int]:
    """Carry out the plain acknowledgements. Gives their places among all settlements."""
    seal = queue.seal
    terms: dict[int, tuple[int, int]] = {}
    marks: dict[int, int] = {}
    seen: set[int] = set()
    place = -1
    for op in settles:
        for settlement in op.settlements:
            place += 1
            receipt = settlement.receipt
            mark = None  # What was leased by this process is not older than the store.
            if isinstance(receipt, Lease):
                if receipt.seal is not seal:
                    continue
                sequence, term = receipt.record.sequence, receipt.term
            else:
                try:
                    sequence, term, mark = seal.open(receipt)
                except LeaseLost:
                    continue
            if sequence in seen:
                continue
            seen.add(sequence)
            if settlement.outcome is Outcome.ACK:
                id_ = queue.shelves.base + sequence
                terms[id_] = (term, place)
                if mark is not None:
                    marks[id_] = mark
    if not terms:
        return set()
    run = queue.connection.execute
    asked = msgspec.json.encode(list(terms)).decode()
    found = run(f"SELECT id, leases FROM leased WHERE id {_IN}", (asked,))
    held = [id_ for id_, term in found if terms[id_][0] == term]
    if marks and held:
        asked = msgspec.json.encode(held).decode()
        made = dict(run(f"SELECT id, created_at FROM messages WHERE id {_IN}", (asked,)))
        held = [id_ for id_ in held if marks.get(id_) in (None, made.get(id_, -1) & MARK)]
    if not held:
        return set()
    ids = msgspec.json.encode(held).decode()
    run(f"DELETE FROM leased WHERE id {_IN}", (ids,))
    run(f"DELETE FROM messages WHERE id {_IN}", (ids,))
    queue.tally[_ACK] += len(held)
    queue.tally[_FORGET] += len(held)
    queue.dirty = True
    return {terms[id_][1] for id_ in held}


def _verdict(queue: StoredQueue, settlement: Settlement, now: int) -> Verdict:
    try:
        return _settle(queue, settlement, now)
    except LeaseLost as error:
        queue.extra.stale += 1
        queue.dirty = True
        return error


def _settle(queue: StoredQueue, settlement: Settlement, now: int) -> int | None:
    outcome = settlement.outcome
    record, term = _held(queue, settlement.receipt)
    if record.status is not _LEASED or record.leases != term:
        if rules.repeated(record, term, outcome):
            return None
        raise LeaseLost("it lapsed, or was settled otherwise")
    terms, tally = queue.terms, queue.tally
    if outcome is Outcome.ACK:
        rules.ack(record, now, terms, tally)
    elif outcome is Outcome.EXTEND:
        return _extend(queue, record, settlement.duration, now)
    elif outcome is Outcome.NACK:
        rules.nack(record, now, terms, tally, settlement.delay, settlement.reason)
    elif outcome is Outcome.RELEASE:
        rules.release(record, now, tally, settlement.delay)
    else:
        rules.reject(record, now, terms, tally, settlement.reason)
    queue.came_back(record, _MOVES[outcome], now)
    return None


def _held(queue: StoredQueue, receipt: Lease | str) -> tuple[Record, int]:
    """The record and term that a receipt names."""
    if isinstance(receipt, Lease):
        if receipt.seal is not queue.seal:
            raise LeaseLost(_GONE)
        sequence, term, mark = receipt.record.sequence, receipt.term, None
    else:
        sequence, term, mark = queue.seal.open(receipt)
    record = queue.shelves.find(sequence, bare=not queue.journal.active())
    if record is None or term > record.leases or mark not in (None, record.created_at & MARK):
        raise LeaseLost(_GONE)
    return record, term


def _extend(queue: StoredQueue, record: Record, duration: int | None, now: int) -> int:
    length = queue.terms.lease if duration is None else duration
    deadline = now + length
    if deadline == record.until:
        return deadline
    rules.extend(record, deadline, queue.tally)
    queue.shelves.extend(record)
    queue.next = min(queue.next, deadline)
    queue.dirty = True
    queue.tell(Move.EXTEND, record, now)
    return deadline
