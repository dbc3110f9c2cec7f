"""Work: messages are leased to this subscriber, within its credit.

**Credit** is how many deliveries a subscriber may have that it has not settled. The server never
leases more than that on its behalf, and leases on as deliveries are settled. What one look takes
is also bounded by bytes, and nothing is leased while what was leased before cannot be sent. What
was leased and finds no room after all goes back to the queue, lest it wait here; when there is a
place for it, there is one look that does not wait.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from supersoniq.adapters.http.backlog import Place
from supersoniq.adapters.http.wire import Encoding
from supersoniq.adapters.ws.frames import Deliver
from supersoniq.core.errors import Closed, SupersoniqError
from supersoniq.core.messages import Lease

if TYPE_CHECKING:
    from supersoniq.adapters.ws.session import Session

__all__ = ["Work"]

log = logging.getLogger("supersoniq.ws")

CHUNK = 256 * 1024
"""Bytes of one frame, about, unless a single message is larger."""
FIELDS = 400
"""Bytes of a message that are not its content, about."""
BATCH = 1024 * 1024
"""Bytes of content in one look."""
PAUSE = 0.2, 5.0
"""Seconds to wait after the store did not answer: at first, at last."""


class Work:
    """One subscription.

    Args:
        session: its connection.
        number: its number there.
        queue: what it works on.
        credit: how many it may hold.
        recipient: as whom it asks.
        duration: of its leases in milliseconds; ``None``: the queue's.
        encoding: of contents.
    """

    def __init__(
        self,
        session: Session,
        number: int,
        queue: str,
        credit: int,
        recipient: str | None,
        duration: int | None,
        encoding: Encoding,
    ) -> None:
        self.number = number
        self.credit = credit
        self._session = session
        self._queue = queue
        self._recipient = recipient
        self._duration = duration
        self._encoding = encoding
        self.unsettled = 0
        self._changed = asyncio.Event()

    def set_credit(self, credit: int) -> None:
        """From now on, hold so many at most. What was delivered before stays delivered."""
        self.credit = credit
        self._changed.set()

    def settled(self) -> None:
        """One of its deliveries counts no more."""
        self.unsettled -= 1
        self._changed.set()

    async def run(self) -> None:
        """Deliver, until it is cancelled or cannot go on.

        Raises:
            SupersoniqError: the store will not have it.
        """
        pause, longest = PAUSE
        wanted, outbox = 0, self._session.outbox
        while True:
            try:
                if wanted:
                    with await outbox.backlog.place(wanted, self._session.client) as place:
                        wanted = await self._look(self._free(), place)
                else:
                    wanted = await self._look(await self._room())
            except Closed:
                raise
            except SupersoniqError as error:
                if not error.retry:
                    raise
                log.warning("nothing can be leased from %r for now: %s", self._queue, error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, longest)
                continue
            pause = PAUSE[0]
            await asyncio.sleep(0)  # a store that never waits must not keep the others waiting

    async def _look(self, limit: int, place: Place | None = None) -> int:
        """Deliver up to so many, once there are some; gives bytes for which there was no room.

        In a place of its own it does not wait for any.
        """
        if limit <= 0 or not self._session.outbox.takes(place):
            return 0
        batch = await self._session.own.take(
            self._queue,
            limit,
            recipient=self._recipient,
            duration=self._duration,
            wait=None if place is None else 0,
            max_bytes=min(BATCH, self._session.outbox.space),
        )
        return self._deliver(batch.leases, place)

    def _free(self) -> int:
        """How many to ask for now."""
        return min(self.credit - self.unsettled, self._session.limits.max_batch)

    async def _room(self) -> int:
        """How many to ask for, once it may be some."""
        while True:
            while self.credit <= self.unsettled:
                self._changed.clear()
                await self._changed.wait()
            await self._session.outbox.room()
            if (free := self._free()) > 0:
                return free

    def _deliver(self, leases: Sequence[Lease], place: Place | None) -> int:
        """Send what there is room for, release the rest; gives bytes for which there was none."""
        session = self._session
        outbox, backlog = session.outbox, session.outbox.backlog
        # The credit may have become smaller while they were on their way.
        most = min(len(leases), max(self.credit - self.unsettled, 0))
        sent = 0
        try:
            while sent < most and outbox.takes(place):
                chunk = _chunk(leases[sent:most], backlog.frame(CHUNK))
                size = sum(map(_size, chunk))
                if not backlog.admits(size, place):
                    return size
                self._send(chunk)
                sent += len(chunk)
                place = None  # it is for one frame
            return 0
        finally:
            session.engine.release_soon(leases[sent:])

    def _send(self, leases: Sequence[Lease]) -> None:
        session = self._session
        told: list[Any] = [session.codec.delivery(lease, self._encoding) for lease in leases]
        session.replies.put(Deliver(subscription=self.number, messages=told))
        for lease, each in zip(leases, told, strict=True):
            session.held.add(each.receipt, lease, self)
        self.unsettled += len(told)


def _chunk(leases: Sequence[Lease], most: int) -> Sequence[Lease]:
    """As many as one frame of so many bytes takes, at least one."""
    size = 0
    for count, lease in enumerate(leases):
        size += _size(lease)
        if count and size > most:
            return leases[:count]
    return leases


def _size(lease: Lease) -> int:
    """About the bytes that a delivery takes."""
    return FIELDS + len(lease.record.content)
