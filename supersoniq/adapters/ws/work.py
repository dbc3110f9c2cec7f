"""Work: messages are leased to this subscriber, within its credit.

**Credit** is how many deliveries a subscriber may have that it has not settled. The server never
leases more than that on its behalf, and leases on as deliveries are settled. What one look takes
is also bounded by bytes, and nothing is leased while what was leased before cannot be sent. What
was leased and finds no room after all goes back to the queue, lest it wait here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from supersoniq.adapters.http.wire import Encoding
from supersoniq.adapters.ws.frames import Deliver
from supersoniq.core.errors import Closed, SupersoniqError
from supersoniq.core.messages import Lease

if TYPE_CHECKING:
    from supersoniq.adapters.ws.session import Session

__all__ = ["Work"]

log = logging.getLogger("supersoniq.ws")

CHUNK = 256 * 1024
"""Bytes of content in one frame, unless a single message is larger."""
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
        while True:
            limit = await self._room()
            try:
                batch = await self._session.own.take(
                    self._queue,
                    limit,
                    recipient=self._recipient,
                    duration=self._duration,
                    wait=None,
                    max_bytes=min(BATCH, self._session.outbox.space),
                )
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
            wanted = self._deliver(batch.leases)
            del batch
            await self._session.outbox.backlog.vacancy(wanted)
            await asyncio.sleep(0)  # a store that never waits must not keep the others waiting

    async def _room(self) -> int:
        """How many to ask for, once it may be some."""
        while True:
            while self.credit <= self.unsettled:
                self._changed.clear()
                await self._changed.wait()
            await self._session.outbox.room()
            room = self.credit - self.unsettled
            if room > 0:
                return min(room, self._session.limits.max_batch)

    def _deliver(self, leases: Sequence[Lease]) -> int:
        """Send what there is room for, release the rest; gives bytes for which there was none."""
        session = self._session
        # The credit may have become smaller while they were on their way.
        most = min(len(leases), max(self.credit - self.unsettled, 0))
        sent = 0
        try:
            while sent < most and not session.outbox.full:
                chunk = _chunk(leases[sent:most])
                size = sum(len(lease.record.content) for lease in chunk)
                if not session.outbox.backlog.fits(size):
                    return size
                self._send(chunk)
                sent += len(chunk)
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


def _chunk(leases: Sequence[Lease]) -> Sequence[Lease]:
    """As many as one frame takes, at least one."""
    size = 0
    for count, lease in enumerate(leases):
        size += len(lease.record.content)
        if count and size > CHUNK:
            return leases[:count]
    return leases
