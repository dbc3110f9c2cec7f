"""One queue in the file: the counterpart of ``supersoniq.core.queue.QueueMachine``.

A ``StoredQueue`` lives in the cache of the store, between transactions, for as long as no other
process has written to the file; it is the queue's row, unpacked. Its methods run inside one
transaction, change rows through ``Shelves`` and themselves in memory, and ``save`` writes the row
once at the transaction's end. When a transaction is rolled back the object is thrown away.

Each operation here reads like the machine's, in the same order, so that the two can be compared
side by side. What is done by the million has modules of its own: ``publishing``, ``taking``,
``settling``, and ``passing`` for what time does.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from supersoniq.backends.sqlite.journal import Journal
from supersoniq.backends.sqlite.passing import SLICE, catch_up
from supersoniq.backends.sqlite.shelves import Shelves
from supersoniq.core import rules
from supersoniq.core.errors import (
    BackendUnavailable,
)
from supersoniq.core.ids import Seal
from supersoniq.core.imports import REMEMBERED
from supersoniq.core.log import KIND_OF
from supersoniq.core.messages import Durability, Record
from supersoniq.core.ops import QueueStats
from supersoniq.core.policy import Policy, Terms, changed, policy_from_data
from supersoniq.core.states import ARCS, Move, Status
from supersoniq.core.tally import Extra, figures, from_names, names, sizes
from supersoniq.core.timers import NEVER

__all__ = ["StoredQueue"]

_READY, _LEASED, _DEAD = Status.READY, Status.LEASED, Status.DEAD
COLUMNS = (
    "number, policy, tally, duplicates, stale, sequence, next, paused_until, stirs,"
    " log_offset, log_oldest, log_count, log_size, watches"
)
_SAVE = """
    UPDATE queues SET policy = ?, tally = ?, duplicates = ?, stale = ?, sequence = ?, next = ?,
        paused_until = ?, stirs = ?, log_offset = ?, log_oldest = ?, log_count = ?,
        log_size = ?, watches = ?
    WHERE number = ?
"""
_KEEP_IMPORTS = """
    UPDATE imported SET until = :later WHERE (queue, origin) IN
        (SELECT queue, origin FROM imported i WHERE queue = :queue AND until <= :now
            AND EXISTS (SELECT 1 FROM messages WHERE id = :queue << 40 | i.sequence)
            LIMIT :limit)
"""
_PRUNE_IMPORTS = """
    DELETE FROM imported WHERE (queue, origin) IN
        (SELECT queue, origin FROM imported i WHERE queue = :queue AND until <= :now
            AND NOT EXISTS (SELECT 1 FROM messages WHERE id = :queue << 40 | i.sequence)
            LIMIT :limit)
"""
_PRUNE = """
    DELETE FROM keys WHERE (queue, key) IN
        (SELECT queue, key FROM keys WHERE queue = ? AND until <= ? LIMIT ?)
"""


class StoredQueue:
    """One queue.

    Args:
        connection: with a transaction open whenever a method is called.
        name: the queue's name.
        seal: its ids and receipts.
        journal: its event log.
        durability: what its publishes report.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        name: str,
        seal: Seal,
        journal: Journal,
        durability: Durability,
    ) -> None:
        self.connection = connection
        self.name = name
        self.number = seal.number
        self.seal = seal
        self.journal = journal
        self.durability: Durability = durability
        self.shelves = Shelves(connection, seal.number)
        self.policy = Policy()
        self.terms = Terms.of(self.policy)
        self.tally = [0] * len(ARCS)
        self.extra = Extra()
        self.sequence = 0
        """The newest one given out."""
        self.next = NEVER
        """When time alone will change something, at the earliest."""
        self.paused_until: int | None = None
        self.stirs = 0
        """Grows whenever a waiting consumer or watcher should look again."""
        self.told = 0
        """What ``stirs`` was when everybody had last been told."""
        self.dirty = False
        """Whether the row must be written at the end of the transaction."""
        self._policy_row = msgspec.json.encode(self.policy)

    # The row.

    @classmethod
    def make(
        cls,
        connection: sqlite3.Connection,
        name: str,
        seal_of: Callable[[int], Seal],
        now: int,
        durability: Durability,
    ) -> StoredQueue:
        """A new queue and its row."""
        row = connection.execute(
            "INSERT INTO queues (name, policy, tally, duplicates, stale, sequence, next, stirs,"
            " log_offset, log_oldest, log_count, log_size, watches)"
            " VALUES (?, x'', x'', 0, 0, 0, 0, 0, 0, 0, 0, 0, x'')",
            (name,),
        )
        number = row.lastrowid
        assert number is not None
        made = cls(
            connection, name, seal_of(number), Journal.begin(connection, number, now), durability
        )
        made.dirty = True
        return made

    @classmethod
    def load(
        cls,
        connection: sqlite3.Connection,
        name: str,
        seal_of: Callable[[int], Seal],
        durability: Durability,
    ) -> StoredQueue | None:
        """The queue of that name, or ``None``. O(log n)."""
        query = f"SELECT {COLUMNS} FROM queues WHERE name = ?"
        row = connection.execute(query, (name,)).fetchone()
        if row is None:
            return None
        try:
            journal = Journal(connection, row[0], *row[9:])
            policy = policy_from_data(msgspec.json.decode(row[1]))
            tally = from_names(msgspec.json.decode(row[2]))
        except (msgspec.MsgspecError, KeyError, ValueError, TypeError) as error:
            raise BackendUnavailable(f"the row of queue {name!r} is damaged: {error}") from error
        found = cls(connection, name, seal_of(row[0]), journal, durability)
        found._policy_row = row[1]
        found.policy = policy
        found.terms = Terms.of(policy)
        found.tally = tally
        found.extra = Extra(row[3], row[4])
        found.sequence, found.next, found.paused_until, found.stirs = row[5:9]
        found.told = found.stirs
        return found

    def save(self) -> None:
        """Write the row, if anything in it changed."""
        if not self.dirty:
            return
        journal = self.journal
        journal.flush()
        values = (
            self._policy_row,
            msgspec.json.encode(names(self.tally)),
            self.extra.duplicates,
            self.extra.stale,
            self.sequence,
            self.next,
            self.paused_until,
            self.stirs,
            journal.offset,
            journal.oldest,
            journal.count,
            journal.size,
            journal.watches,
            self.number,
        )
        self.connection.execute(_SAVE, values)
        self.dirty = False

    # Time.

    def tick(self, now: int) -> None:
        """Let time catch up, whatever that takes. O(1) when nothing is due."""
        while not self.catch_up(now):
            pass

    def catch_up(self, now: int) -> bool:
        """Let time catch up for a bounded number of messages; gives whether that was all.

        Only when it was may anything else be done with the queue.
        """
        return now < self.next or catch_up(self, now)

    def prune_keys(self, now: int) -> None:
        """Forget keys that no longer hold: not all of a great many at once. O(log n + k)."""
        self.connection.execute(_PRUNE, (self.number, now, SLICE))

    def prune_imports(self, now: int) -> None:
        """Forget imported ids whose messages are gone, and whose time is over: some at once."""
        run = self.connection.execute
        some = {"queue": self.number, "now": now, "limit": SLICE}
        run(_KEEP_IMPORTS, {**some, "later": now + REMEMBERED})
        run(_PRUNE_IMPORTS, some)

    def wake_in(self, now: int) -> int | None:
        """Milliseconds until time alone may change something."""
        return None if self.next >= NEVER else max(self.next - now, 0)

    # Moving.

    def came_back(self, record: Record, move: Move, now: int) -> None:
        """A lease has ended: put its message where it belongs now, or let it expire."""
        self.moved(record, move, _LEASED, now)
        if record.status in (Status.SCHEDULED, _READY) and rules.overdue(record, now):
            self.expire(record, now)

    def expire(self, record: Record, now: int) -> None:
        """Its ttl ran out while nobody held it."""
        source = record.status
        rules.expire(record, now, self.terms, self.tally)
        assert source is not None
        self.moved(record, Move.EXPIRE, source, now, gone_from=source)

    def moved(
        self,
        record: Record,
        move: Move,
        source: Status,
        now: int,
        gone_from: Status | None = None,
    ) -> None:
        """Store a record where its new status belongs, and tell watchers."""
        self.dirty = True
        self.shelves.move(record, source)
        status = record.status
        at = NEVER
        if status is _READY:
            self.stirs += 1
        elif status is Status.SCHEDULED:
            at = record.available_at
        elif status is not None:
            at = record.until
        expires_at = record.details.expires_at
        if expires_at is not None and status in (Status.SCHEDULED, _READY) and move is not Move.DUE:
            at = min(at, expires_at)
        if at < self.next:
            self.next = at
        self.tell(move, record, now, gone_from)

    def tell(self, move: Move, record: Record, now: int, gone_from: Status | None = None) -> None:
        """Record an event, if anybody follows its kind."""
        journal = self.journal
        if journal.active() and journal.records(kind := KIND_OF[move], now):
            was = gone_from or (Status.DONE if move is Move.ACK else _DEAD)
            journal.add(kind, now, record.snapshot(self.name, self.seal, was))
            self.stirs += 1
            self.dirty = True

    # Figures.

    def stats(self) -> QueueStats:
        """The queue at this moment. O(1)."""
        return figures(self.name, self.tally, self.extra, self.paused_until)

    def length(self) -> int:
        """Unfinished messages. O(1)."""
        size = sizes(self.tally)
        return size[Status.SCHEDULED] + size[_READY] + size[_LEASED]

    def configure(self, changes: Mapping[str, Any]) -> Policy:
        """Change the policy, for what happens from now on. O(1)."""
        if changes:
            self.policy = changed(self.policy, changes)
            self.terms = Terms.of(self.policy)
            self._policy_row = msgspec.json.encode(self.policy)
            self.dirty = True
        return self.policy
