"""Broadcast: every event of a queue, to every subscriber.

Events wait in the store and never here: the next ones are read when the last ones could be sent. A
subscriber that reads more slowly than events happen is told of a gap when the store's log has
moved on without it; one that does not read at all is cut, as any connection is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from supersoniq.adapters.http.feed import CHUNK, Feed, size_of
from supersoniq.adapters.http.wire import Encoding
from supersoniq.adapters.ws.frames import EventsOut
from supersoniq.core.messages import Event

if TYPE_CHECKING:
    from supersoniq.adapters.ws.session import Session

__all__ = ["Broadcast"]


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
                events = [event, *feed.more(CHUNK - size_of(event))]
                told = [session.codec.event(each, self._encoding) for each in events]
                session.replies.put(EventsOut(subscription=self.number, events=told))
        finally:
            feed.stop()
