"""The event log of a queue, kept in the file: ``supersoniq.core.log`` says what it means.

Which kinds are being followed is part of the queue's row, so every process records for every
watcher, and a queue without watchers costs one comparison. Events collect in a list and are
written once at the end of the transaction, or before somebody reads them. What the log's bounds
do not leave room for is dropped first, so that the file does not grow beyond them.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from typing import Any

import msgspec

from supersoniq.core.log import LINGER, first_offset, missed, over, weight
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
        size: what they weigh together.
        watches: as stored.
    """

    __slots__ = (
        "_fresh",
        "_fresh_size",
        "_run",
        "_run_many",
        "_watches",
        "count",
        "offset",
        "oldest",
        "queue",
        "size",
    )

    def __init__(
        self,
        connection: sqlite3.Connection,
        queue: int,
        offset: int,
        oldest: int,
        count: int,
        size: int,
        watches: bytes = b"{}",
    ) -> None:
        self._run = connection.execute
        self._run_many = connection.executemany
        self.queue = queue
        self.offset = offset
        self.oldest = oldest
        self.count = count
        self.size = size
        self._watches: _Watches = msgspec.json.decode(watches, type=_Watches)
        self._fresh: deque[tuple[int, int, int, str, int, bytes]] = deque()
        self._fresh_size = 0

    @classmethod
    def begin(cls, connection: sqlite3.Connection, queue: int, now: int) -> Journal:
        """The log of a new queue."""
        offset = first_offset(now)
        return cls(connection, queue, offset, offset + 1, 0, 0)

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
        """Record an event. Amortised O(length)."""
        self.offset += 1
        size = weight(message)
        fresh = self._fresh
        fresh.append((self.queue, self.offset, size, str(kind), now, _encode(message)))
        self._fresh_size += size
        while over(len(fresh), self._fresh_size):
            # Of a burst that alone is over the bounds only the end is kept, and nothing older.
            gone = fresh.popleft()
            self._fresh_size -= gone[2]
            self.oldest = gone[1] + 1
            if self.count:
                self._run("DELETE FROM events WHERE queue = ?", (self.queue,))
                self.count = self.size = 0

    def flush(self) -> None:
        """Write what was added, and drop what is over the bounds. O(added + dropped * log n)."""
        fresh = self._fresh
        if not fresh:
            return
        self.count += len(fresh)
        self.size += self._fresh_size
        if over(self.count, self.size):
            self._make_room()
        self._run_many("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", fresh)
        fresh.clear()
        self._fresh_size = 0

    def _make_room(self) -> None:
        """Drop the oldest events that are stored, until the others fit with what was added."""
        stored = "SELECT offset, size FROM events WHERE queue = ? ORDER BY offset"
        for offset, size in self._run(stored, (self.queue,)):
            if not over(self.count, self.size):
                break
            self.count -= 1
            self.size -= size if isinstance(size, int) else 0
            self.oldest = offset + 1
        else:  # Nothing is left of them, whatever rotten sizes may add up to.
            self.count, self.size = len(self._fresh), self._fresh_size
        self._run("DELETE FROM events WHERE queue = ? AND offset < ?", (self.queue, self.oldest))

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
