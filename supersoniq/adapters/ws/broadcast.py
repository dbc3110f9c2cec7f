"""Broadcast: every event of a queue, to every subscriber.

Events wait in the store and never here: the next ones are read when the last ones could be sent. A
subscriber that reads more slowly than events happen is told of a gap when the store's log has
moved on without it; one that does not read at all is cut, as any connection is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from supersoniq.adapters.http.wire import Encoding
from supersoniq.adapters.ws.frames import EventsOut
from supersoniq.api.engine import Engine
from supersoniq.api.watch import Watch
from supersoniq.core.messages import Event, EventKind
from supersoniq.core.ops import Follow, Followed

if TYPE_CHECKING:
    from supersoniq.adapters.ws.session import Session

__all__ = ["Broadcast", "Feed"]

CHUNK = 256 * 1024
"""Bytes of content in one frame, unless a single message is larger."""
MOST = 500
"""Events read at a time."""
FIRST_GUESS = 16
"""Events read at a time before any was seen."""


class Feed(Watch):
    """A watch that reads as many events at a time as fit into a few frames."""

    def __init__(
        self,
        engine: Engine,
        queue: str,
        since: int | None,
        kinds: frozenset[EventKind],
        ensure: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(engine, queue, since, kinds, ensure)
        self._limit = FIRST_GUESS

    def more(self, room: int) -> list[Event]:
        """Events that are here already, up to so many bytes of content."""
        found: list[Event] = []
        while self._ready and room > 0:
            room -= _size(self._ready[0])
            if room >= 0:
                found.append(self._ready.popleft())
        return found

    async def _follow(self) -> Followed:
        op = Follow(self._queue, self.offset, self._kinds, self._limit)
        followed: Followed = await self._engine.call(op)
        events = followed.events
        if events:
            average = sum(map(_size, events)) // len(events)
            self._limit = max(1, min(MOST, 4 * CHUNK // average))
        return followed


class Broadcast:
    """One subscription.

    Args:
        session: its connection.
        number: its number there.
        feed: what it is told.
        first: an event that was taken from the feed already.
        encoding: of contents.
    """

    def __init__(
        self, session: Session, number: int, feed: Feed, first: Event | None, encoding: Encoding
    ) -> None:
        self.number = number
        self.credit = 0
        self._session = session
        self._feed = feed
        self._first = first
        self._encoding = encoding

    async def run(self) -> None:
        """Tell, until it is cancelled or cannot go on.

        Raises:
            SupersoniqError: the queue is gone, or the store will not have it.
        """
        session, feed = self._session, self._feed
        try:
            while True:
                event = self._first or await feed.next()
                assert event is not None
                self._first = None
                await session.outbox.room()
                events = [event, *feed.more(CHUNK - _size(event))]
                told = [session.codec.event(each, self._encoding) for each in events]
                session.put(EventsOut(subscription=self.number, events=told))
        finally:
            feed.stop()


def _size(event: Event) -> int:
    """About the bytes that an event takes."""
    return 64 + (0 if event.message is None else len(event.message.content))
