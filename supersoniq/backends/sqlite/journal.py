"""The event log of a queue, kept in the file: ``supersoniq.core.log`` says what it means.

Which kinds are being followed is part of the queue's row, so every process records for every
watcher, and a queue without watchers costs one comparison. Events collect in a list and are
written once at the end of the transaction, or before somebody reads them.
"""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec

from supersoniq.core.log import CAPACITY, LINGER, first_offset, missed
from supersoniq.core.messages import Event, EventKind, Message

__all__ = ["Journal"]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Message).decode
_Watches = dict[EventKind, tuple[int, int]]
"""Until when a kind is recorded, and from which offset on it has been."""


class Journal:
    """Recent events of one queue.

    Args:
        connection: with a transaction open whenever this is used.
        queue: the queue's number.
        offset: the newest one given out.
        oldest: the oldest one that a watcher can still get.
        count: how many events are kept.
        watches: as stored.
    """

    __slots__ = ("_fresh", "_run", "_run_many", "_watches", "count", "offset", "oldest", "queue")

    def __init__(
        self,
        connection: sqlite3.Connection,
        queue: int,
        offset: int,
        oldest: int,
        count: int,
        watches: bytes = b"{}",
    ) -> None:
        self._run = connection.execute
        self._run_many = connection.executemany
        self.queue = queue
        self.offset = offset
        self.oldest = oldest
        self.count = count
        self._watches: _Watches = msgspec.json.decode(watches, type=_Watches)
        self._fresh: list[tuple[int, int, str, int, bytes]] = []

    @classmethod
    def begin(cls, connection: sqlite3.Connection, queue: int, now: int) -> Journal:
        """The log of a new queue."""
        offset = first_offset(now)
        return cls(connection, queue, offset, offset + 1, 0)

    @property
    def watches(self) -> bytes:
        """What is recorded, as stored."""
        return msgspec.json.encode(self._watches)

    def active(self) -> bool:
        """Whether anything may be recorded: ask this before making a snapshot. O(1)."""
        return bool(self._watches)

    def records(self, kind: EventKind, now: int) -> bool:
        """Whether that kind is recorded now. O(1)."""
        watch = self._watches.get(kind)
        return watch is not None and now < watch[0]

    def add(self, kind: EventKind, now: int, message: Message) -> None:
        """Record an event. O(length)."""
        self.offset += 1
        self._fresh.append((self.queue, self.offset, str(kind), now, _encode(message)))

    def flush(self) -> None:
        """Write what was added and drop what is over the capacity. O(added * log n)."""
        if not self._fresh:
            return
        # Of a burst that alone is over the capacity, only the end is kept.
        kept = self._fresh[-CAPACITY:]
        self._run_many("INSERT INTO events VALUES (?, ?, ?, ?, ?)", kept)
        self.count += len(self._fresh)
        surplus = self.count - CAPACITY
        if surplus > 0:
            first = self._run(
                "SELECT offset FROM events WHERE queue = ? ORDER BY offset DESC LIMIT 1 OFFSET ?",
                (self.queue, CAPACITY - 1),
            ).fetchone()[0]
            # The newest of those that go, which is not always the one before the first that stays.
            last = self._last_before(first)
            self.oldest = last + 1
            self._run("DELETE FROM events WHERE queue = ? AND offset < ?", (self.queue, first))
            self.count = CAPACITY
        self._fresh.clear()

    def _last_before(self, first: int) -> int:
        for event in reversed(self._fresh[:-CAPACITY]):
            return event[1]
        query = "SELECT max(offset) FROM events WHERE queue = ? AND offset < ?"
        return int(self._run(query, (self.queue, first)).fetchone()[0])

    def follow(
        self, since: int | None, kinds: frozenset[EventKind], limit: int, now: int
    ) -> tuple[list[Event], int]:
        """Prolong the recording; give events after ``since``, and where to go on."""
        self.flush()
        anew = [kind for kind in kinds if not self.records(kind, now)]
        if anew:
            self.offset += 1
        for kind in kinds:
            begun = self.offset if kind in anew else self._watches[kind][1]
            self._watches[kind] = (now + LINGER, begun)
        if since is None:
            return [], self.offset
        events: list[Event] = []
        begun = max((self._watches[kind][1] for kind in kinds), default=0)
        if missed(since, self.oldest, self.offset, begun):
            start = (
                max(self.oldest - 1, min(since, self.offset))
                if since <= self.offset
                else self.offset
            )
            events.append(Event(start, EventKind.GAP, now, None))
            since = start
        found = self._run(
            "SELECT offset, kind, at, message FROM events WHERE queue = ? AND offset > ?"
            " AND kind IN (SELECT value FROM json_each(?)) ORDER BY offset LIMIT ?",
            (self.queue, since, msgspec.json.encode(list(kinds)).decode(), limit),
        )
        events.extend(_event(row) for row in found)
        return events, events[-1].offset if len(events) >= limit else self.offset

    def idle(self, now: int) -> bool:
        """Stop recording what nobody has followed for long; says whether anything ended."""
        over = [kind for kind, (until, _) in self._watches.items() if now >= until]
        for kind in over:
            del self._watches[kind]
        return bool(over)


def _event(row: tuple[Any, ...]) -> Event:
    offset, kind, at, raw = row
    try:
        return Event(offset, EventKind(kind), at, _decode(raw))
    except (msgspec.MsgspecError, ValueError, TypeError):
        return Event(offset, EventKind.GAP, at, None)  # It has rotted: the watcher missed it.
