"""A queue, blocking."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from supersoniq.api import delivery as _delivery
from supersoniq.api import queue as _queue
from supersoniq.core.errors import Closed, SupersoniqError
from supersoniq.core.messages import Content, Draft, Duration, EventKind, Message, Published
from supersoniq.core.ops import QueueStats
from supersoniq.core.policy import Policy
from supersoniq.core.states import Status
from supersoniq.sync.delivery import Delivery
from supersoniq.sync.loop import Run
from supersoniq.sync.watch import Watch

__all__ = ["Queue"]


class Queue:
    """One queue; every method is that of ``supersoniq.Queue``, blocking."""

    def __init__(self, run: Run, queue: _queue.Queue) -> None:
        self.name = queue.name
        self._async = queue
        self._run = run

    def __repr__(self) -> str:
        return f"<Queue {self.name!r}>"

    def publish(
        self,
        content: Content,
        *,
        priority: int = 0,
        delay: Duration = 0,
        ttl: Duration | None = None,
        key: str | None = None,
        sender: str | None = None,
        recipient: str | None = None,
        headers: Mapping[str, str] | None = None,
        content_type: str | None = None,
    ) -> Published:
        """Store a message; see ``supersoniq.Queue.publish``."""
        return self._run(
            self._async.publish(
                content,
                priority=priority,
                delay=delay,
                ttl=ttl,
                key=key,
                sender=sender,
                recipient=recipient,
                headers=headers,
                content_type=content_type,
            )
        )

    def publish_many(self, items: Iterable[Content | Draft]) -> list[Published]:
        """Store messages, all or none; see ``supersoniq.Queue.publish_many``."""
        return self._run(self._async.publish_many(list(items)))

    def get(
        self,
        wait: Duration | None = None,
        *,
        recipient: str | None = None,
        lease: Duration | None = None,
    ) -> Delivery | None:
        """Lease the next message; see ``supersoniq.Queue.get``."""
        found = self._run(self._async.get(wait, recipient=recipient, lease=lease))
        return None if found is None else Delivery(self._run, found)

    def get_many(
        self,
        limit: int,
        wait: Duration | None = None,
        *,
        recipient: str | None = None,
        lease: Duration | None = None,
    ) -> list[Delivery]:
        """Lease up to ``limit`` messages; see ``supersoniq.Queue.get_many``."""
        found = self._run(self._async.get_many(limit, wait, recipient=recipient, lease=lease))
        return [Delivery(self._run, delivery) for delivery in found]

    def ack_many(self, deliveries: Sequence[Delivery]) -> list[SupersoniqError | None]:
        """Acknowledge deliveries in one call; see ``supersoniq.Queue.ack_many``."""
        return self._run(self._async.ack_many([delivery._async for delivery in deliveries]))

    def receive(self, prefetch: int = 1, *, recipient: str | None = None) -> Iterator[Delivery]:
        """Deliveries as they come, until the broker closes; see ``supersoniq.Queue.receive``."""
        deliveries = self._async.receive(prefetch, recipient=recipient)
        try:
            while True:
                try:
                    found = self._run(_next(deliveries))
                except Closed:
                    return
                if found is None:
                    return
                yield Delivery(self._run, found)
        finally:
            try:
                self._run(_finish(deliveries))
            except Closed:
                pass

    def message(self, id: str) -> Message:
        """The message of that id; see ``supersoniq.Queue.message``."""
        return self._run(self._async.message(id))

    def browse(
        self, status: Status | str | None = None, after: str | None = None, limit: int = 100
    ) -> list[Message]:
        """Messages in publish order; see ``supersoniq.Queue.browse``."""
        return self._run(self._async.browse(status, after, limit))

    def explain(self, id: str) -> str:
        """Why the message is not being delivered; see ``supersoniq.Queue.explain``."""
        return self._run(self._async.explain(id))

    def stats(self) -> QueueStats:
        """The queue's figures, of one moment."""
        return self._run(self._async.stats())

    def watch(
        self,
        since: int | None = None,
        kinds: Iterable[EventKind | str] = (EventKind.PUBLISHED,),
    ) -> Watch:
        """Events of this queue; see ``supersoniq.Queue.watch``."""
        return Watch(self._run, self._async, since, kinds)

    def cancel(self, id: str) -> None:
        """Drop a message that nobody holds; see ``supersoniq.Queue.cancel``."""
        self._run(self._async.cancel(id))

    def redrive(self, *ids: str, limit: int | None = None) -> int:
        """Make dead messages ready again; see ``supersoniq.Queue.redrive``."""
        return self._run(self._async.redrive(*ids, limit=limit))

    def purge(self, status: Status | str | None = None) -> int:
        """Drop every message of a status; see ``supersoniq.Queue.purge``."""
        return self._run(self._async.purge(status))

    def pause(self, until: datetime | timedelta | int | None = None) -> None:
        """Give no more leases; see ``supersoniq.Queue.pause``."""
        self._run(self._async.pause(until))

    def resume(self) -> None:
        """Give leases again."""
        self._run(self._async.resume())

    def policy(self) -> Policy:
        """The policy that is in force."""
        return self._run(self._async.policy())

    def configure(self, **policy: Any) -> Policy:
        """Change fields of the policy; see ``supersoniq.Queue.configure``."""
        return self._run(self._async.configure(**policy))


async def _next(deliveries: Any) -> _delivery.Delivery | None:
    found: _delivery.Delivery | None = await anext(deliveries, None)
    return found


async def _finish(deliveries: Any) -> None:
    await deliveries.aclose()
