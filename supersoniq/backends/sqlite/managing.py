"""Looking at a queue's messages and managing them: everything but publish, take and settle.

Each function reads like the machine's method of the same name, in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from supersoniq.backends.sqlite import importing
from supersoniq.backends.sqlite.queue import StoredQueue
from supersoniq.core import ops, rules
from supersoniq.core.errors import IllegalMove, MessageLeased, MessageNotFound
from supersoniq.core.explain import explain as sentence
from supersoniq.core.ids import format_id
from supersoniq.core.messages import EventKind, Message, Record, damaged
from supersoniq.core.ops import Followed
from supersoniq.core.states import Move, Status, arc
from supersoniq.core.timers import NEVER

__all__ = ["MEANING"]

_READY, _LEASED, _DEAD = Status.READY, Status.LEASED, Status.DEAD
_PURGED = (Status.SCHEDULED, _READY, _DEAD)


def _find(queue: StoredQueue, number: int) -> Record:
    record = _known(queue, number)
    if record is None:
        raise MessageNotFound(queue.name, format_id(number))
    return record


def _known(queue: StoredQueue, number: int) -> Record | None:
    sequence = importing.place(queue, number)
    record = queue.shelves.find(sequence) if sequence is not None else None
    return record if record is not None and record.number(queue.seal) == number else None


def look(queue: StoredQueue, number: int) -> Message:
    """One message. O(log n)."""
    record = _find(queue, number)
    message = record.snapshot(queue.name, queue.seal)
    return message if queue.shelves.sound(record.sequence) else damaged(message)


def browse(
    queue: StoredQueue, status: Status | None, after: int | None, limit: int, now: int
) -> list[Message]:
    """Messages in publish order. O(n) in the messages passed over."""
    start = 0
    if after is not None:
        sequence = importing.place(queue, after, now)
        if sequence is None:
            raise MessageNotFound(queue.name, format_id(after))
        start = sequence
    page: list[Message] = []
    for record, sound in queue.shelves.checked_page(status, start, limit):
        message = record.snapshot(queue.name, queue.seal)
        page.append(message if sound else damaged(message))
    return page


def explain(queue: StoredQueue, number: int, now: int) -> str:
    """Why the message is not being delivered. O(n) for a ready one, else O(log n)."""
    record = _find(queue, number)
    ahead = 0
    if record.status is _READY:
        lines = {"", record.details.recipient or ""}
        ahead = sum(queue.shelves.ahead(line, record.priority, record.sequence) for line in lines)
    message = record.snapshot(queue.name, queue.seal)
    return sentence(
        message, now=now, until=record.until, paused_until=queue.paused_until, ahead=ahead
    )


def cancel(queue: StoredQueue, number: int, now: int) -> None:
    """Drop a message that nobody holds. O(log n)."""
    record = _find(queue, number)
    source = record.status
    if source is _LEASED:
        raise MessageLeased(move=str(Move.CANCEL), status=str(_LEASED))
    rules.cancel(record, queue.tally)
    assert source is not None
    queue.moved(record, Move.CANCEL, source, now, gone_from=source)


def redrive(queue: StoredQueue, numbers: Sequence[int] | None, limit: int | None, now: int) -> int:
    """Make dead messages ready again. O(n) in what is parked without ``numbers``."""
    if numbers is None:
        sequences = queue.shelves.dead(limit)
        count = len(sequences)
        dead = map(queue.shelves.find, sequences)
    else:
        found = [_find(queue, number) for number in dict.fromkeys(numbers)]
        for record in found:
            if record.status is not _DEAD:
                raise IllegalMove(move=str(Move.REDRIVE), status=str(record.status))
        found = found if limit is None else found[:limit]
        count = len(found)
        dead = map(queue.shelves.find, [record.sequence for record in found])
    for each in dead:
        if each is not None:
            expired = rules.overdue(each, now)
            rules.redrive(each, now, queue.tally)
            if expired:
                queue.shelves.drop_expiry(each)
            queue.moved(each, Move.REDRIVE, _DEAD, now)
    return count


def purge(
    queue: StoredQueue, status: Status | None, numbers: Sequence[int] | None, now: int
) -> int:
    """Drop all messages of a status. O(n) without ``numbers``."""
    if status is _LEASED:
        raise IllegalMove(move=str(Move.PURGE), status=str(_LEASED))
    queue.dirty = True
    if numbers is not None:
        return sum(_moved_on(queue, status, number, now) for number in dict.fromkeys(numbers))
    wanted = _PURGED if status is None else (status,)
    if not queue.journal.records(EventKind.PURGED, now):
        count = 0
        for each in wanted:
            dropped = queue.shelves.purge(each)
            queue.tally[arc(Move.PURGE, each, None).slot] += dropped
            count += dropped
        return count
    doomed = [r for r in queue.shelves.page(None, 0, -1) if r.status in wanted]
    for record in doomed:
        source = record.status
        rules.purge(record, queue.tally)
        assert source is not None
        queue.moved(record, Move.PURGE, source, now, gone_from=source)
    return len(doomed)


def _moved_on(queue: StoredQueue, status: Status | None, number: int, now: int) -> bool:
    record = _known(queue, number)
    source = None if record is None else record.status
    if record is None or source is None or source is _LEASED or status not in (None, source):
        return False
    importing.forget(queue, number)
    rules.purge(record, queue.tally)
    queue.moved(record, Move.PURGE, source, now, gone_from=source)
    return True


def pause(queue: StoredQueue, until: int | None, duration: int | None, now: int) -> None:
    """Give no more leases. O(1)."""
    if duration is not None:
        until = now + duration
    queue.paused_until = NEVER if until is None else until
    queue.next = min(queue.next, queue.paused_until)
    queue.dirty = True


def resume(queue: StoredQueue) -> None:
    """Give leases again. O(1)."""
    queue.paused_until = None
    queue.stirs += 1
    queue.dirty = True


def follow(
    queue: StoredQueue, since: int | None, kinds: frozenset[EventKind], limit: int, now: int
) -> Followed:
    """Events after an offset, and their recording prolonged. O(limit)."""
    queue.dirty = True
    events, offset = queue.journal.follow(since, kinds, limit, now)
    return Followed(events, offset, queue.wake_in(now))


MEANING: Mapping[type[Any], Callable[[StoredQueue, Any, int], Any]] = {
    ops.Look: lambda q, op, now: look(q, op.id),
    ops.Browse: lambda q, op, now: browse(q, op.status, op.after, op.limit, now),
    ops.Cancel: lambda q, op, now: cancel(q, op.id, now),
    ops.Redrive: lambda q, op, now: redrive(q, op.ids, op.limit, now),
    ops.Purge: lambda q, op, now: purge(q, op.status, op.ids, now),
    ops.Pause: lambda q, op, now: pause(q, op.until, op.duration, now),
    ops.Resume: lambda q, op, now: resume(q),
    ops.Stats: lambda q, op, now: q.stats(),
    ops.Explain: lambda q, op, now: explain(q, op.id, now),
    ops.Follow: lambda q, op, now: follow(q, op.since, op.kinds, op.limit, now),
}
"""What they do to a queue whose time has been caught up."""
