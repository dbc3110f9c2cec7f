"""Leasing: every take from one queue in a transaction, as one cut at the head of a line.

The line's primary key is the order of delivery, so what is taken is always a prefix: one
statement reads it, joined with the contents, and one deletes up to the last row read. All takes
that came together share them, and deal out what was found in their order.

Each content is compared with its checksum here, the last moment before somebody gets it. One that
fails is buried at once and the next message takes its place.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from heapq import merge
from typing import Any

import msgspec

from supersoniq.backends.sqlite import rows
from supersoniq.backends.sqlite.queue import StoredQueue
from supersoniq.core import rules
from supersoniq.core.messages import BYTES, Details, Lease, Record
from supersoniq.core.ops import Take, Taken
from supersoniq.core.states import Move, Status

__all__ = ["take"]

_READY = Status.READY
_HEAD = """
    SELECT r.rank, r.sequence, r.available_at, r.deliveries, r.leases, r.past, r.recipient,
        m.created_at, m.expires_at, m.details, m.checksum, m.content
    FROM ready r LEFT JOIN messages m ON m.id = ? + r.sequence
    WHERE r.queue = ? AND r.recipient = ? ORDER BY r.rank, r.sequence LIMIT ?
"""
_CUT = "DELETE FROM ready WHERE queue = ? AND recipient = ? AND (rank, sequence) <= (?, ?)"
_LEASE_ALIKE = """
    INSERT INTO leased SELECT value, ?, ?, ?, ?, ?, NULL FROM json_each(?)
"""
_Row = tuple[Any, ...]
MOST_BYTES = 64 << 20
"""Of content that one take reads, and a few messages more."""
_STEP = 64


def take(queue: StoredQueue, takes: Sequence[Take], now: int) -> list[Taken]:
    """Carry out takes from one queue, whose time has been caught up. O(log n + k).

    Those that are bounded by bytes cannot share a cut: where it ends depends on what was read.

    Args:
        queue: the queue.
        takes: in the order in which they are served.
        now: the transaction's instant.
    """
    if queue.paused_until is not None:
        return [Taken([], queue.wake_in(now)) for _ in takes]
    if all(op.max_bytes is None or op.limit == 1 for op in takes):
        return _deal(queue, takes, now)
    return [taken for op in takes for taken in _deal(queue, [op], now, op.max_bytes)]


def _deal(
    queue: StoredQueue, takes: Sequence[Take], now: int, max_bytes: int | None = None
) -> list[Taken]:
    """Cut off as many as all of them want, and deal them out."""
    wanted: dict[str | None, int] = {}
    for op in takes:
        wanted[op.recipient] = wanted.get(op.recipient, 0) + op.limit
    stock = {who: _pop(queue, who, limit, now, max_bytes) for who, limit in wanted.items()}
    begun = dict.fromkeys(wanted, 0)
    name, seal, tally, terms = queue.name, queue.seal, queue.tally, queue.terms
    taken: list[Taken] = []
    held: list[Record] = []
    for op in takes:
        start = begun[op.recipient]
        begun[op.recipient] = end = start + op.limit
        records = stock[op.recipient][start:end]
        if not records:
            taken.append(Taken([], queue.wake_in(now)))
            continue
        length = terms.lease if op.duration is None else op.duration
        deadline = now + length
        rules.lease_all(records, deadline, tally)
        held += records
        if deadline < queue.next:
            queue.next = deadline
        leases = [Lease(name, r, seal, r.leases, r.deliveries, deadline) for r in records]
        taken.append(Taken(leases, queue.wake_in(now), length))
    if held:
        _hold(queue, held)
    if queue.journal.active():
        for record in held:
            queue.tell(Move.LEASE, record, now)
    return taken


def _hold(queue: StoredQueue, records: list[Record]) -> None:
    """Store leased records.

    Those that came together mostly differ in nothing but their sequence: such ones are one
    statement, which takes a third of the time of handing over the rows.
    """
    queue.dirty = True
    number, base = queue.number, queue.shelves.base
    alike: dict[tuple[int, int, int, int], list[int]] = {}
    rest: list[Record] = []
    for record in records:
        if record.past is None:
            state = (record.until, record.available_at, record.deliveries, record.leases)
            alike.setdefault(state, []).append(base + record.sequence)
        else:
            rest.append(record)
    run = queue.connection.execute
    for state, ids in alike.items():
        run(_LEASE_ALIKE, (number, *state, msgspec.json.encode(ids).decode()))
    for record in rest:
        state = (record.until, record.available_at, record.deliveries, record.leases)
        past = rows.encode_past(record.past)
        run(
            "INSERT INTO leased VALUES (?, ?, ?, ?, ?, ?, ?)",
            (base + record.sequence, number, *state, past),
        )


def _pop(
    queue: StoredQueue, recipient: str | None, limit: int, now: int, max_bytes: int | None
) -> list[Record]:
    """Remove up to so many sound records from the head of a consumer's lines."""
    records: list[Record] = []
    while len(records) < limit:
        missing = limit - len(records)
        found = _cut(queue, recipient, missing, max_bytes)
        for row in found:
            record = _record(row)
            if rows.sound(row[9], row[11], row[1], row[7], row[10]):
                records.append(record)
            else:
                _bury(queue, record, row, now)
        if len(found) < missing and (records or not found):
            break  # of those that were there none may have been sound
    if any(record.details.expires_at is not None for record in records):
        _stop_expiry(queue, records)
    return records


def _cut(
    queue: StoredQueue, recipient: str | None, limit: int, max_bytes: int | None
) -> list[_Row]:
    """Cut off the head of the unaddressed line, merged with the recipient's own."""
    run, base, number = queue.connection.execute, queue.shelves.base, queue.number
    found, whole = _read(run(_HEAD, (base, number, "", limit)), limit, max_bytes)
    if recipient is not None:
        own, all_own = _read(run(_HEAD, (base, number, recipient, limit)), limit, max_bytes)
        # Beyond the last row of a line that was not read to its end, nobody knows who is next.
        ends = [_place(rows[-1]) for rows, ended in ((found, whole), (own, all_own)) if not ended]
        if own:
            found = list(merge(found, own, key=_place))[:limit]
        if ends:
            found = [row for row in found if _place(row) <= min(ends)]
        if max_bytes is not None:
            found = found[: _fitting(found, max_bytes)]
    for line, end in {row[6]: _place(row) for row in found}.items():
        run(_CUT, (number, line, *end))
    if found:
        queue.dirty = True
    return found


def _place(row: _Row) -> tuple[int, int]:
    """Where a row stands in the order of delivery."""
    return row[0], row[1]


def _read(cursor: sqlite3.Cursor, limit: int, max_bytes: int | None) -> tuple[list[_Row], bool]:
    """The rows of a line's head, and whether they are all that were asked for.

    A few thousand of the largest contents would fill the memory, so reading ends early once there
    are ``MOST_BYTES`` of them; whoever asked gets fewer than he wanted, and may ask again.
    """
    if limit == 1 or (limit <= _STEP and max_bytes is None):
        return cursor.fetchall(), True
    found: list[_Row] = []
    left = MOST_BYTES if max_bytes is None else min(max_bytes, MOST_BYTES)
    while left > 0 and (part := cursor.fetchmany(_STEP if max_bytes is None else 1)):
        found += part
        left -= sum(map(_size, part))
    if left > 0:
        return found, True
    cursor.close()
    return found, len(found) >= limit


def _size(row: _Row) -> int:
    return len(row[11]) if isinstance(row[11], bytes) else 0


def _fitting(rows: list[_Row], max_bytes: int) -> int:
    """How many of them it takes to have so many bytes."""
    for count, row in enumerate(rows, 1):
        max_bytes -= _size(row)
        if max_bytes <= 0:
            return count
    return len(rows)


def _record(row: _Row) -> Record:
    rank, sequence, available_at, deliveries, leases, past, recipient = row[:7]
    created_at, expires_at, details, _, content = row[7:]
    return Record(
        sequence,
        content,
        rows.decode_details(details, recipient, expires_at),
        -rank,
        created_at,
        available_at,
        _READY,
        leases,
        0,
        rows.decode_past(past, leases - deliveries),
    )


def _stop_expiry(queue: StoredQueue, records: list[Record]) -> None:
    """While it is held, a message does not expire."""
    base = queue.shelves.base
    queue.connection.executemany(
        "DELETE FROM expiries WHERE queue = ? AND at = ? AND id = ?",
        [
            (queue.number, record.details.expires_at, base + record.sequence)
            for record in records
            if record.details.expires_at is not None
        ],
    )


def _bury(queue: StoredQueue, record: Record, row: _Row, now: int) -> None:
    """Set a message aside whose content is not what was published."""
    if not isinstance(row[11], bytes):
        # Nothing readable is left of it, perhaps not even the row; keep its place at least.
        record.created_at = row[7] if isinstance(row[7], int) else now
        record.details = Details(BYTES, recipient=record.details.recipient)
        queue.shelves.discard(record.sequence)
        queue.connection.execute(
            "INSERT OR IGNORE INTO messages VALUES (?, ?, ?, ?, NULL, x'', -1, x'')",
            (
                queue.shelves.base + record.sequence,
                record.created_at,
                record.priority,
                record.details.recipient or "",
            ),
        )
    record.content = b""  # Watchers get no rotten content either.
    rules.corrupt(record, now, queue.terms, queue.tally)
    queue.moved(record, Move.CORRUPT, _READY, now)
