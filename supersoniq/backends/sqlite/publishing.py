"""Storing messages: every publish to one queue in a transaction, written by two statements.

Each publish is admitted by itself, all of it or none, before anything of it is written: a refusal
needs no rollback. What has been admitted waits in lists, which later publishes of the same
transaction see, and goes to the file in one go.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import msgspec

from supersoniq.backends.sqlite import rows
from supersoniq.backends.sqlite.queue import StoredQueue
from supersoniq.core import rules
from supersoniq.core.errors import ContentTooLarge, KeyConflict, StorageFull
from supersoniq.core.ids import MAX_SEQUENCE, format_id
from supersoniq.core.keys import KeyUse, digest
from supersoniq.core.messages import Entry, Published
from supersoniq.core.policy import no_room
from supersoniq.core.states import Move, Status

__all__ = ["Publishing"]

_READY = Status.READY
_PUBLISHED, _SCHEDULED = rules.PUBLISH_READY.slot, rules.PUBLISH_SCHEDULED.slot
_LINE_UP = f"""
    INSERT INTO ready SELECT id >> 40, recipient, -priority, id & {MAX_SEQUENCE}, created_at,
        0, 0, NULL FROM messages WHERE id BETWEEN :first AND :last
"""
_LINE_UP_UNPARKED = (
    _LINE_UP + "AND id NOT IN (SELECT id FROM parked WHERE id BETWEEN :first AND :last)"
)
LARGEST = 999_000_000
"""Bytes of content that fit into a row, whatever the policy says."""


class Publishing:
    """The publishes to one queue in one transaction: ``publish`` each, then ``flush``.

    Args:
        queue: the queue, its time caught up.
        now: the transaction's instant.
    """

    __slots__ = ("_expiries", "_keys", "_messages", "_now", "_parked", "_queue")

    def __init__(self, queue: StoredQueue, now: int) -> None:
        self._queue = queue
        self._now = now
        self._messages: list[tuple[Any, ...]] = []
        self._parked: list[tuple[Any, ...]] = []
        self._expiries: list[tuple[int, int, int]] = []
        self._keys: dict[str, KeyUse] = {}

    def publish(self, entries: Sequence[Entry]) -> list[Published]:
        """Take in the messages of one publish. O(length) each.

        Raises:
            ContentTooLarge, InvalidArgument, KeyConflict, QueueFull, StorageFull: none was taken.
        """
        return self._take_in(entries, self._admit(entries))

    def publish_plain(self, publishes: Sequence[Sequence[Entry]]) -> list[list[Published]] | None:
        """Take in many publishes at once, if there is nothing that could refuse one of them.

        The same as ``publish`` for each, at half the cost when they are of one message each.
        """
        terms = self._queue.terms
        if terms.max_length is not None:
            return None
        longest = min(terms.max_content, LARGEST)
        flat = [entry for entries in publishes for entry in entries]
        for entry in flat:
            if entry.details.key is not None or len(entry.content) > longest:
                return None
        if self._queue.sequence + len(flat) > MAX_SEQUENCE:
            return None
        published = self._take_in(flat, None)
        if len(flat) == len(publishes) and all(len(entries) == 1 for entries in publishes):
            return [[one] for one in published]
        dealt = iter(published)
        return [list(islice(dealt, len(entries))) for entries in publishes]

    def _take_in(self, entries: Sequence[Entry], uses: dict[str, KeyUse] | None) -> list[Published]:
        queue, now = self._queue, self._now
        number, base, journal = queue.number, queue.shelves.base, queue.journal
        prefix, durability = queue.seal.prefix(now), queue.durability
        add_message = self._messages.append
        checksum, encode, born = rows.checksum, rows.encode_details, rules.born
        watched = journal.active()
        sequence = queue.sequence
        published: list[Published] = []
        stored = 0
        for entry in entries:
            if uses is not None and (key := entry.details.key) is not None:
                if (use := uses.get(key)) is not None:
                    queue.extra.duplicates += 1
                    published.append(Published(use.number, True, durability))
                    continue
                until = now + queue.terms.dedup_window
                use = KeyUse(prefix | sequence + 1, digest(entry.content), until)
                uses[key] = self._keys[key] = use
            sequence += 1
            record = born(entry, sequence, now)
            details, priority, content = record.details, record.priority, record.content
            id_ = base + sequence
            raw, seed = encode(details)
            recipient, expires_at = details.recipient or "", details.expires_at
            crc = checksum(seed, sequence, now, content)
            add_message((id_, now, priority, recipient, expires_at, raw, crc, content))
            if record.status is _READY:
                stored += 1
            else:
                self._parked.append((id_, number, record.available_at, record.available_at))
                queue.tally[_SCHEDULED] += 1
                queue.next = min(queue.next, record.available_at)
            if expires_at is not None:
                self._expiries.append((number, expires_at, id_))
                queue.next = min(queue.next, expires_at)
            if watched:
                queue.tell(Move.PUBLISH, record, now)
            published.append(Published(prefix | sequence, False, durability))
        queue.sequence = sequence
        queue.tally[_PUBLISHED] += stored
        queue.stirs += 1
        queue.dirty = True
        return published

    def flush(self) -> None:
        """Write what was taken in."""
        run_many = self._queue.connection.executemany
        if self._messages:
            run_many("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?)", self._messages)
        if self._parked:
            run_many(
                "INSERT INTO parked VALUES (?, ?, 'scheduled', ?, ?, 0, 0, NULL)", self._parked
            )
        if len(self._messages) > len(self._parked):
            # All others are ready. Read back from the file, they are one statement: a third of
            # the time that it takes to hand over the rows.
            new = {"first": self._messages[0][0], "last": self._messages[-1][0]}
            self._queue.connection.execute(_LINE_UP if not self._parked else _LINE_UP_UNPARKED, new)
        if self._expiries:
            run_many("INSERT INTO expiries VALUES (?, ?, ?)", self._expiries)
        if self._keys:
            self._queue.prune_keys(self._now)
            number = self._queue.number
            # A key whose window has ended may still have its row, if not for long.
            run_many(
                "INSERT OR REPLACE INTO keys VALUES (?, ?, ?, ?, ?)",
                [
                    (number, key, use.number.to_bytes(16), use.digest, use.until)
                    for key, use in self._keys.items()
                ],
            )

    def _admit(self, entries: Sequence[Entry]) -> dict[str, KeyUse] | None:
        """Raise unless all entries can be stored. Gives the uses of their keys, if any counts."""
        queue = self._queue
        terms = queue.terms
        largest = min(terms.max_content, LARGEST)
        keyed = False
        for entry in entries:
            if len(entry.content) > largest or (entry.details.key is not None):
                keyed = True
                break
        fresh = len(entries)
        uses = None
        if keyed:
            uses, fresh = self._admit_keys(entries, largest)
        if terms.max_length is not None:
            length = queue.length()
            # Duplicates alone store nothing, so they are answered even where the queue is over.
            if fresh and length + fresh > terms.max_length:
                raise no_room(queue.name, length, fresh, terms.max_length)
        if queue.sequence + fresh > MAX_SEQUENCE:
            raise StorageFull(f"queue {queue.name!r} has used up its {MAX_SEQUENCE} sequences")
        return uses

    def _admit_keys(
        self, entries: Sequence[Entry], largest: int
    ) -> tuple[dict[str, KeyUse] | None, int]:
        queue = self._queue
        window = queue.terms.dedup_window
        uses: dict[str, KeyUse] = {}
        if window:
            keys = [e.details.key for e in entries if e.details.key is not None]
            uses = self._known(keys)
        fresh = 0
        batch: dict[str, bytes] = {}
        for entry in entries:
            if len(entry.content) > largest:
                raise ContentTooLarge(queue.name, len(entry.content), largest)
            key = entry.details.key
            if key is None or not window:
                fresh += 1
                continue
            mine = digest(entry.content)
            use = uses.get(key)
            known = use.digest if use is not None else batch.get(key)
            if known is not None and known != mine:
                id_ = format_id(use.number) if use is not None else "of this batch"
                raise KeyConflict(queue.name, key, id_)
            fresh += known is None
            batch[key] = mine
        return (uses if window else None), fresh

    def _known(self, keys: list[str]) -> dict[str, KeyUse]:
        """Those of the keys that are in use. O(log n) each."""
        found = self._queue.connection.execute(
            "SELECT key, number, digest, until FROM keys WHERE queue = ? AND until > ?"
            " AND key IN (SELECT value FROM json_each(?))",
            (self._queue.number, self._now, msgspec.json.encode(keys).decode()),
        )
        uses = {
            key: KeyUse(int.from_bytes(number), known, until) for key, number, known, until in found
        }
        uses.update((key, self._keys[key]) for key in keys if key in self._keys)
        return uses
