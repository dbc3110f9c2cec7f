"""Where the messages of one queue stand: finding, moving and listing them.

A record that a rule has changed is put here where its new status belongs. This is the careful
way, a message at a time; publishing, taking and acknowledging have statements of their own for
whole batches (``publishing``, ``taking``, ``settling``) that keep to the same layout:

- one row in ``messages`` for every message that is not gone;
- one row in exactly one of ``ready``, ``leased`` and ``parked``;
- one row in ``expiries`` while it has an expiry and is scheduled or ready.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from supersoniq.backends.sqlite import rows
from supersoniq.core.ids import MAX_SEQUENCE
from supersoniq.core.messages import Record
from supersoniq.core.states import Status
from supersoniq.core.timers import NEVER

__all__ = ["Shelves"]

_PLACE = """
    CASE WHEN l.id IS NOT NULL THEN 'leased' WHEN p.id IS NOT NULL THEN p.status ELSE 'ready' END,
    coalesce(l.deadline, p.at, 0),
    coalesce(l.available_at, p.available_at, r.available_at),
    coalesce(l.deliveries, p.deliveries, r.deliveries),
    coalesce(l.leases, p.leases, r.leases),
    coalesce(l.past, p.past, r.past)
"""
_JOINED = f"""
    LEFT JOIN leased l ON l.id = m.id
    LEFT JOIN parked p ON p.id = m.id
    LEFT JOIN ready r ON r.queue = m.id >> 40 AND r.recipient = m.recipient
        AND r.rank = -m.priority AND r.sequence = m.id & {MAX_SEQUENCE}
"""
_FACTS = "m.id, m.created_at, m.priority, m.recipient, m.expires_at, m.details"
_EXISTS = "(l.id IS NOT NULL OR p.id IS NOT NULL OR r.sequence IS NOT NULL)"

_FIND = (
    f"SELECT {_FACTS}, m.content, {_PLACE} FROM messages m {_JOINED} WHERE m.id = ? AND {_EXISTS}"
)
_FIND_BARE = (
    f"SELECT {_FACTS}, x'', {_PLACE} FROM messages m {_JOINED} WHERE m.id = ? AND {_EXISTS}"
)
_FIND_ALL_BARE = f"""
    SELECT {_FACTS}, x'', {_PLACE} FROM json_each(?) CROSS JOIN messages m ON m.id = value {_JOINED}
    WHERE {_EXISTS}
"""
_PAGE = f"""
    SELECT {_FACTS}, m.content, {_PLACE}, m.checksum FROM messages m {_JOINED}
    WHERE m.id > :after AND m.id < :end AND {{condition}} ORDER BY m.id LIMIT :limit
"""
_PAGE_OF: dict[Status | None, str] = {
    None: _PAGE.format(condition=_EXISTS),
    Status.READY: _PAGE.format(condition="r.sequence IS NOT NULL"),
    # Limited within, too, or each page would first gather all that are left.
    Status.LEASED: _PAGE.format(
        condition="""m.id IN (SELECT id FROM leased
            WHERE id > :after AND id < :end ORDER BY id LIMIT :limit)"""
    ),
    **{
        status: _PAGE.format(
            condition=f"""m.id IN (SELECT id FROM parked
                WHERE id > :after AND id < :end AND status = '{status}' ORDER BY id LIMIT :limit)"""
        )
        for status in (Status.SCHEDULED, Status.DONE, Status.DEAD)
    },
}
_SUM = "SELECT details, content, created_at, checksum FROM messages WHERE id = ?"
_OUT_OF_LINE = "DELETE FROM ready WHERE queue = ? AND recipient = ? AND rank = ? AND sequence = ?"
_UNLEASE = "DELETE FROM leased WHERE id = ?"
_UNPARK = "DELETE FROM parked WHERE id = ?"
_DROP = "DELETE FROM messages WHERE id = ?"
_STOP_EXPIRY = "DELETE FROM expiries WHERE queue = ? AND at = ? AND id = ?"
_LINE_UP = "INSERT INTO ready VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_LEASE = "INSERT INTO leased VALUES (?, ?, ?, ?, ?, ?, ?)"
_PARK = "INSERT INTO parked VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_START_EXPIRY = "INSERT INTO expiries VALUES (?, ?, ?)"
_WAITING = (Status.SCHEDULED, Status.READY)


class Shelves:
    """The tables, as far as they are one queue's.

    Args:
        connection: with a transaction open whenever this is used.
        number: the queue's.
    """

    __slots__ = ("_moving", "_run", "_run_many", "base", "end", "number")

    def __init__(self, connection: sqlite3.Connection, number: int) -> None:
        self._run = connection.execute
        self._run_many = connection.executemany
        self._moving: dict[int, tuple[Record, Status]] | None = None
        self.number = number
        self.base = number << 40
        """An id less this is the sequence."""
        self.end = number + 1 << 40

    # Finding.

    def find(self, sequence: int, *, bare: bool = False) -> Record | None:
        """A message by its sequence; ``bare``: without its content. O(log n)."""
        query = _FIND_BARE if bare else _FIND
        row = self._run(query, (self.base + sequence,)).fetchone()
        return None if row is None else rows.record_of(row, self.base)

    def find_bare(self, sequences: Sequence[int]) -> dict[int, Record]:
        """Those of the messages that are there, without their contents. O(log n) each."""
        base = self.base
        asked = rows.encode_ids([base + sequence for sequence in sequences])
        found = (rows.record_of(row, base) for row in self._run(_FIND_ALL_BARE, (asked,)))
        return {record.sequence: record for record in found}

    def page(self, status: Status | None, after: int, limit: int) -> Iterator[Record]:
        """Messages in publish order. O(log n + limit); with a status, O(n) in those passed over."""
        return (record for record, _ in self.checked_page(status, after, limit))

    def checked_page(
        self, status: Status | None, after: int, limit: int
    ) -> Iterator[tuple[Record, bool]]:
        """The same, and of each whether it is what was published."""
        within = {"after": self.base + after, "end": self.end, "limit": limit}
        for row in self._run(_PAGE_OF[status], within):
            sound = rows.sound(row[5], row[6], row[0] - self.base, row[1], row[-1])
            yield rows.record_of(row[:-1], self.base), sound

    def sound(self, sequence: int) -> bool:
        """Whether a message that is there is what was published. O(log n)."""
        details, content, created_at, stored = self._run(_SUM, (self.base + sequence,)).fetchone()
        return rows.sound(details, content, sequence, created_at, stored)

    def ahead(self, recipient: str, priority: int, sequence: int) -> int:
        """How many of a line come before such a message. O(n)."""
        query = (
            "SELECT count(*) FROM ready WHERE queue = ? AND recipient = ?"
            " AND (rank, sequence) < (?, ?)"
        )
        found = self._run(query, (self.number, recipient, -priority, sequence)).fetchone()
        return int(found[0])

    # Instants. Each list is in the order in which things happen, and only the first ``limit``.

    def lapsed(self, now: int, limit: int) -> list[int]:
        """Sequences whose lease is over. O(log n + k)."""
        query = (
            "SELECT id FROM leased WHERE queue = ? AND deadline <= ? ORDER BY deadline, id LIMIT ?"
        )
        return self._sequences(query, (self.number, now, limit))

    def due(self, now: int, limit: int) -> list[int]:
        """Sequences of scheduled ones whose time has come. O(log n + k)."""
        query = (
            "SELECT id FROM parked WHERE queue = ? AND status = 'scheduled' AND at <= ?"
            " ORDER BY at, id LIMIT ?"
        )
        return self._sequences(query, (self.number, now, limit))

    def expired(self, now: int, limit: int) -> list[int]:
        """Sequences of waiting ones whose ttl ran out. O(log n + k)."""
        query = "SELECT id FROM expiries WHERE queue = ? AND at <= ? ORDER BY at, id LIMIT ?"
        return self._sequences(query, (self.number, now, limit))

    def forgettable(self, now: int, limit: int) -> list[int]:
        """Sequences of done and dead ones past their retention. O(log n + k log k)."""
        query = (
            "SELECT id FROM parked WHERE queue = ? AND status IN ('done', 'dead') AND at <= ?"
            " ORDER BY at, id LIMIT ?"
        )
        return self._sequences(query, (self.number, now, limit))

    def next(self) -> int:
        """When time alone will change a message, at the earliest. O(log n)."""
        query = """SELECT min(
            ifnull((SELECT min(deadline) FROM leased WHERE queue = :queue), :never),
            ifnull((SELECT min(at) FROM parked
                WHERE queue = :queue AND status = 'scheduled'), :never),
            ifnull((SELECT min(at) FROM parked
                WHERE queue = :queue AND status = 'done'), :never),
            ifnull((SELECT min(at) FROM parked
                WHERE queue = :queue AND status = 'dead'), :never),
            ifnull((SELECT min(at) FROM expiries WHERE queue = :queue), :never))"""
        return int(self._run(query, {"queue": self.number, "never": NEVER}).fetchone()[0])

    def dead(self, limit: int | None) -> list[int]:
        """Sequences of dead ones in publish order. O(n) in what is parked."""
        query = (
            "SELECT id FROM parked WHERE id > ? AND id < ? AND status = 'dead' ORDER BY id LIMIT ?"
        )
        return self._sequences(
            query, (self.base, self.end, -1 if limit is None else min(limit, NEVER))
        )

    def _sequences(self, query: str, values: tuple[Any, ...]) -> list[int]:
        base = self.base
        return [id_ - base for (id_,) in self._run(query, values)]

    # Moving.

    def discard(self, sequence: int) -> None:
        """Drop what is left of a message that has rotted away, so that no timer rings for it."""
        for table in ("leased", "parked", "expiries"):
            self._run(f"DELETE FROM {table} WHERE id = ?", (self.base + sequence,))

    def move(self, record: Record, source: Status) -> None:
        """Put a record that a rule has changed where it belongs now. O(log n)."""
        if self._moving is None:
            self._shelve([(record, source)])
        else:
            # If it moves on before the end, that is where it goes, and from where it stands.
            self._moving.setdefault(record.sequence, (record, source))

    @contextmanager
    def together(self) -> Iterator[None]:
        """Records that are moved within are written at the end, by one statement a table.

        Until then they are found where they were.
        """
        self._moving = {}
        try:
            yield
            self._shelve(self._moving.values())
        finally:
            self._moving = None

    def _shelve(self, moves: Collection[tuple[Record, Status]]) -> None:
        """Write where records have moved to, and from where."""
        gone: dict[str, list[tuple[Any, ...]]] = {}
        come: dict[str, list[tuple[Any, ...]]] = {}
        for record, source in moves:
            id_, status, expires_at = (
                self.base + record.sequence,
                record.status,
                record.details.expires_at,
            )
            if source is Status.READY:
                line = record.details.recipient or ""
                place = (self.number, line, -record.priority, record.sequence)
                gone.setdefault(_OUT_OF_LINE, []).append(place)
            else:
                gone.setdefault(_UNLEASE if source is Status.LEASED else _UNPARK, []).append((id_,))
            if status is None:
                gone.setdefault(_DROP, []).append((id_,))
            else:
                statement, row = self._row(record, id_, status)
                come.setdefault(statement, []).append(row)
            if expires_at is not None and (source in _WAITING) is not (status in _WAITING):
                expiry = (self.number, expires_at, id_)
                if source in _WAITING:
                    gone.setdefault(_STOP_EXPIRY, []).append(expiry)
                else:
                    come.setdefault(_START_EXPIRY, []).append(expiry)
        for statement, each in (*gone.items(), *come.items()):
            self._run_many(statement, each)

    def enter(self, records: Sequence[Record]) -> None:
        """Store messages that are new here, each where its status belongs. O(log n) each."""
        messages, places, expiries = [], {}, []  # type: ignore[var-annotated]
        for record in records:
            details, id_, status = record.details, self.base + record.sequence, record.status
            assert status is not None
            raw, seed = rows.encode_details(details)
            crc = rows.checksum(seed, record.sequence, record.created_at, record.content)
            recipient, expires_at = details.recipient or "", details.expires_at
            messages.append(
                (id_, record.created_at, record.priority, recipient, expires_at, raw, crc,
                 record.content)
            )  # fmt: skip
            statement, row = self._row(record, id_, status)
            places.setdefault(statement, []).append(row)
            if expires_at is not None and status in _WAITING:
                expiries.append((self.number, expires_at, id_))
        self._run_many("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?)", messages)
        for statement, each in places.items():
            self._run_many(statement, each)
        self._run_many(_START_EXPIRY, expiries)

    def extend(self, record: Record) -> None:
        """Store a leased record's new deadline. O(log n)."""
        self._run(
            "UPDATE leased SET deadline = ? WHERE id = ?",
            (record.until, self.base + record.sequence),
        )

    def drop_expiry(self, record: Record) -> None:
        """Its expiry does not count any more. O(log n)."""
        id_ = self.base + record.sequence
        self._run("UPDATE messages SET expires_at = NULL WHERE id = ?", (id_,))

    def _row(self, record: Record, id_: int, status: Status) -> tuple[str, tuple[Any, ...]]:
        """The statement that puts a record where its status belongs, and its values."""
        past = rows.encode_past(record.past)
        state = (record.available_at, record.deliveries, record.leases, past)
        if status is Status.READY:
            line = record.details.recipient or ""
            return _LINE_UP, (self.number, line, -record.priority, record.sequence, *state)
        if status is Status.LEASED:
            return _LEASE, (id_, self.number, record.until, *state)
        at = record.available_at if status is Status.SCHEDULED else record.until
        return _PARK, (id_, self.number, str(status), at, *state)

    # All at once.

    def purge(self, status: Status) -> int:
        """Drop every message of a status but leased, and give their number. O(n)."""
        if status is Status.READY:
            which = "SELECT :queue << 40 | sequence FROM ready WHERE queue = :queue"
            emptied = "DELETE FROM ready WHERE queue = :queue"
        else:
            which = f"SELECT id FROM parked WHERE queue = :queue AND status = '{status}'"
            emptied = f"DELETE FROM parked WHERE queue = :queue AND status = '{status}'"
        own = {"queue": self.number}
        if status in _WAITING:
            self._run(f"DELETE FROM expiries WHERE queue = :queue AND id IN ({which})", own)
        self._run(f"DELETE FROM messages WHERE id IN ({which})", own)
        return self._run(emptied, own).rowcount

    def clear(self) -> None:
        """Drop everything. O(n)."""
        own = (self.number,)
        for table in ("ready", "leased", "parked", "expiries", "keys", "events", "imported"):
            self._run(f"DELETE FROM {table} WHERE queue = ?", own)
        self._run("DELETE FROM messages WHERE id > ? AND id < ?", (self.base, self.end))
        self._run("DELETE FROM queues WHERE number = ?", own)
