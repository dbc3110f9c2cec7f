"""Messages that came from other stores with their ids: ``core.imports`` says why ids have a book.

Reads like ``QueueMachine.import_`` and ``ImportBook``.
"""

from __future__ import annotations

from collections.abc import Sequence

from supersoniq.backends.sqlite.publishing import LARGEST
from supersoniq.backends.sqlite.queue import StoredQueue
from supersoniq.core import rules
from supersoniq.core.errors import ContentTooLarge, IllegalMove, StorageFull
from supersoniq.core.ids import MAX_SEQUENCE, parse_id
from supersoniq.core.imports import REMEMBERED
from supersoniq.core.keys import digest
from supersoniq.core.messages import Message, Record
from supersoniq.core.ops import Imported
from supersoniq.core.states import Move, Status

__all__ = ["forget", "import_", "place"]

_FIND = "SELECT sequence, until FROM imported WHERE queue = ? AND origin = ?"
_KNOWN = """
    SELECT origin FROM imported i WHERE queue = :queue AND origin = :origin
        AND (until > :now OR EXISTS (SELECT 1 FROM messages WHERE id = :queue << 40 | i.sequence))
"""
_NOTE = "INSERT OR REPLACE INTO imported VALUES (?, ?, ?, ?)"
_FORGET = "DELETE FROM imported WHERE queue = ? AND origin = ?"
_NOTE_KEY = """
    INSERT INTO keys VALUES (?, ?, ?, ?, ?) ON CONFLICT (queue, key)
        DO UPDATE SET number = excluded.number, digest = excluded.digest, until = excluded.until
            WHERE until <= ?
"""


def place(queue: StoredQueue, number: int, now: int | None = None) -> int | None:
    """The sequence of an id of this queue. O(log n).

    Args:
        queue: the queue.
        number: of the id.
        now: where it counts that the id is not too old, though its message is gone.
    """
    row = queue.connection.execute(_FIND, (queue.number, number.to_bytes(16))).fetchone()
    if row is None:
        return queue.seal.sequence_of(number)
    sequence: int = row[0]
    if now is None or now < row[1] or queue.shelves.find(sequence, bare=True) is not None:
        return sequence
    return queue.seal.sequence_of(number)


def forget(queue: StoredQueue, number: int) -> None:
    """Let an id come in anew. O(log n)."""
    queue.connection.execute(_FORGET, (queue.number, number.to_bytes(16)))


def import_(queue: StoredQueue, messages: Sequence[Message], now: int) -> Imported:
    """Store messages of another store, each once. O(log n) each."""
    run, shelves = queue.connection.execute, queue.shelves
    fresh: dict[int, Message] = {}
    for message in messages:
        number = parse_id(message.id)
        if len(message.content) > LARGEST:
            raise ContentTooLarge(queue.name, len(message.content), LARGEST)
        known = {"queue": queue.number, "origin": number.to_bytes(16), "now": now}
        if run(_KNOWN, known).fetchone() is not None:
            continue
        own = queue.seal.sequence_of(number)
        if own is not None and shelves.find(own, bare=True) is not None:
            raise IllegalMove(move=str(Move.IMPORT), status="of this very queue")
        fresh.setdefault(number, message)
    if queue.sequence + len(fresh) > MAX_SEQUENCE:
        raise StorageFull(f"queue {queue.name!r} has used up its {MAX_SEQUENCE} sequences")
    records: list[Record] = []
    for number, message in fresh.items():
        queue.sequence += 1
        record = rules.imported(message, queue.sequence, now, queue.terms, queue.tally)
        origin = number.to_bytes(16)
        run(_NOTE, (queue.number, origin, record.sequence, now + REMEMBERED))
        until = message.created_at + queue.terms.dedup_window
        if message.key is not None and now < until:
            mine = digest(message.content)
            run(_NOTE_KEY, (queue.number, message.key, origin, mine, until, now))
        if record.status is not None:
            records.append(record)
    shelves.enter(records)
    for record in records:
        _told(queue, record, now)
    if fresh:
        queue.stirs += 1
        queue.dirty = True
    return Imported(queue.seal.tag, len(fresh))


def _told(queue: StoredQueue, record: Record, now: int) -> None:
    """Ring for it when time will change it, and tell watchers."""
    if record.status is Status.SCHEDULED:
        queue.next = min(queue.next, record.available_at)
    elif record.status is not Status.READY:
        queue.next = min(queue.next, record.until)
    if record.details.expires_at is not None and record.status in (
        Status.SCHEDULED,
        Status.READY,
    ):
        queue.next = min(queue.next, record.details.expires_at)
    queue.tell(Move.IMPORT, record, now)
