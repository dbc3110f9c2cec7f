"""The event log of a queue: what watchers read.

Recording costs something for every move, and most queues have no watcher, so a kind of event is
recorded only while somebody follows it and for ``LINGER`` after. Each follower asks again and again
(``Follow``), and each time the recording of its kinds is prolonged.

**Offsets** only grow. They begin at the millisecond of the log's making times 2**10, so a log that
was lost and made anew (a queue deleted and made again, the memory backend after a restart) is above
all the old one's offsets, unless that queue saw a million events in each second of its life.
Starting to record a kind anew takes an offset of its own, so that an offset from before the pause
is recognised.

**Gaps.** A follower that comes back with an offset from before the oldest event kept, or from
before one of its kinds was recorded, is told so by one ``gap`` event, and then gets what there is.
An offset from the future (of another store) is treated alike.

**Bounds.** The newest ``CAPACITY`` events are kept, as far as their contents and headers fit into
``CAPACITY_BYTES`` together; only the newest of all is kept whatever its size. So what watchers may
still read is bounded, also where contents are large, and whoever asks for more is told of a gap.
Several events of one message count its content several times: a store may have to write it so.
"""

from __future__ import annotations

from collections import deque

from supersoniq.core.messages import Event, EventKind, Message
from supersoniq.core.states import Move

__all__ = [
    "CAPACITY",
    "CAPACITY_BYTES",
    "KIND_OF",
    "LINGER",
    "EventLog",
    "first_offset",
    "missed",
    "over",
    "weight",
]

LINGER = 300_000
"""Milliseconds that a kind is recorded after the last time somebody followed it."""
CAPACITY = 10_000
"""Most events kept for each queue."""
CAPACITY_BYTES = 64 << 20
"""Most bytes of content and characters of headers in a queue's events together."""

KIND_OF = {
    Move.PUBLISH: EventKind.PUBLISHED,
    Move.DUE: EventKind.DUE,
    Move.LEASE: EventKind.LEASED,
    Move.ACK: EventKind.ACKED,
    Move.NACK: EventKind.NACKED,
    Move.RELEASE: EventKind.RELEASED,
    Move.REJECT: EventKind.REJECTED,
    Move.EXTEND: EventKind.EXTENDED,
    Move.LAPSE: EventKind.LAPSED,
    Move.EXPIRE: EventKind.EXPIRED,
    Move.CANCEL: EventKind.CANCELLED,
    Move.REDRIVE: EventKind.REDRIVEN,
    Move.PURGE: EventKind.PURGED,
    Move.FORGET: EventKind.FORGOTTEN,
    Move.CORRUPT: EventKind.CORRUPTED,
    Move.IMPORT: EventKind.PUBLISHED,
}


def first_offset(now: int) -> int:
    """The offset that a log made at that instant begins with."""
    return now << 10


def missed(since: int, oldest: int, newest: int, recorded_from: int) -> bool:
    """Whether a follower at ``since`` may have missed events.

    Args:
        since: the last offset it has seen.
        oldest: the oldest offset still kept, or ``newest + 1`` when none is.
        newest: the newest offset given out.
        recorded_from: the offset at which the youngest of its kinds began to be recorded.
    """
    return since < recorded_from or since < oldest - 1 or since > newest


def weight(message: Message | None) -> int:
    """What an event's message counts for ``CAPACITY_BYTES``. O(headers)."""
    if message is None:
        return 0
    return len(message.content) + sum(
        len(name) + len(text) for name, text in message.headers.items()
    )


def over(count: int, size: int) -> bool:
    """Whether so many events of that weight together are more than a queue keeps."""
    return count > CAPACITY or (size > CAPACITY_BYTES and count > 1)


class EventLog:
    """Recent events."""

    __slots__ = ("_events", "_from", "_oldest", "_size", "_until", "active", "offset")

    def __init__(self, now: int) -> None:
        self.offset = first_offset(now)
        """The newest one given out."""
        self.active = False
        """Whether anything is recorded: look here before making a snapshot."""
        self._events: deque[Event] = deque()
        self._size = 0
        self._oldest = self.offset + 1
        self._from: dict[EventKind, int] = {}
        self._until: dict[EventKind, int] = {}

    def records(self, kind: EventKind, now: int) -> bool:
        """Whether that kind is recorded now. O(1)."""
        return now < self._until.get(kind, 0)

    def add(self, kind: EventKind, now: int, message: Message) -> None:
        """Record an event. Amortised O(headers)."""
        self.offset += 1
        self._events.append(Event(self.offset, kind, now, message))
        self._size += weight(message)
        while over(len(self._events), self._size):
            gone = self._events.popleft()
            self._size -= weight(gone.message)
            self._oldest = gone.offset + 1

    def follow(
        self, since: int | None, kinds: frozenset[EventKind], limit: int, now: int
    ) -> tuple[list[Event], int]:
        """Prolong the recording and give events after ``since``. O(k) for k of them.

        Gives the events, and the offset to go on from.
        """
        anew = [kind for kind in kinds if not self.records(kind, now)]
        if anew:
            self.offset += 1
            self._from.update(dict.fromkeys(anew, self.offset))
        self._until.update(dict.fromkeys(kinds, now + LINGER))
        self.active = True
        if since is None:
            return [], self.offset
        events: list[Event] = []
        if missed(since, self._oldest, self.offset, max(self._from[kind] for kind in kinds)):
            start = (
                max(self._oldest - 1, min(since, self.offset))
                if since <= self.offset
                else self.offset
            )
            events.append(Event(start, EventKind.GAP, now, None))
            since = start
        found: list[Event] = []
        for event in reversed(self._events):  # a watcher is mostly near the end
            if event.offset <= since:
                break
            if event.kind in kinds:
                found.append(event)
        events += found[: -limit - 1 : -1]
        return events, events[-1].offset if len(events) >= limit else self.offset

    def idle(self, now: int) -> None:
        """Stop recording what nobody has followed for long. O(kinds)."""
        self.active = any(now < until for until in self._until.values())
