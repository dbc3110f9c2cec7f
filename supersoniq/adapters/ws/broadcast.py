"""Broadcast: every event of a queue, to every subscriber.

Events wait in the store and never here: the next ones are read when the last ones could be sent,
and what finds no room is read again when there is a place for it. A subscriber that reads more
slowly than events happen is told of a gap when the store's log has moved on without it; one that
does not read at all is cut, as any connection is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from supersoniq.adapters.http.backlog import Place
from supersoniq.adapters.http.feed import CHUNK, Feed, size_of
from supersoniq.adapters.http.wire import Encoding
from supersoniq.adapters.ws.frames import EventsOut

if TYPE_CHECKING:
    from supersoniq.adapters.ws.session import Session

__all__ = ["Broadcast"]


class Broadcast:
    """One subscription.

    Args:
        session: its connection.
        number: its number there.
        feed: what it is told.
        seen: the offset that it begins after.
        encoding: of contents.
    """

    def __init__(
        self, session: Session, number: int, feed: Feed, seen: int, encoding: Encoding
    ) -> None:
        self.number = number
        self.credit = 0
        self._session = session
        self._feed = feed
        self._seen = seen
        self._encoding = encoding

    async def run(self) -> None:
        """Tell, until it is cancelled or cannot go on.

        Raises:
            SupersoniqError: the queue is gone, or the store will not have it.
        """
        outbox = self._session.outbox
        try:
            while True:
                if outbox.full:
                    self._feed.forget(self._seen)
                    await outbox.room()
                wanted = await self._tell()
                while wanted:
                    with await outbox.backlog.place(wanted, self._session.client) as place:
                        wanted = await self._tell(place)
        finally:
            self._feed.stop()

    async def _tell(self, place: Place | None = None) -> int:
        """Tell what comes next, once there is something; gives bytes for which there was no room.

        In a place of its own it does not wait for anything.
        """
        session, feed = self._session, self._feed
        outbox, backlog = session.outbox, session.outbox.backlog
        event = await feed.next(None if place is None else 0)
        if event is None:
            return 0
        events = [event, *feed.more(backlog.frame(CHUNK) - size_of(event))]
        size = sum(map(size_of, events))
        takes = outbox.takes(place)
        if not (takes and backlog.admits(size, place)):
            feed.rewind(self._seen)
            return size if takes else 0
        told = [session.codec.event(each, self._encoding) for each in events]
        session.replies.put(EventsOut(subscription=self.number, events=told))
        self._seen = events[-1].offset
        return 0
