"""A queue, as Python programs use it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from supersoniq.api.consumer import Handler, Runner, receive
from supersoniq.api.delivery import Delivery
from supersoniq.api.engine import Engine
from supersoniq.api.waiting import Batch
from supersoniq.api.watch import Watch, event_kinds
from supersoniq.core import checks, ops
from supersoniq.core.errors import InvalidArgument, LeaseLost, PermissionDenied, SupersoniqError
from supersoniq.core.ids import parse_id
from supersoniq.core.messages import (
    Content,
    Draft,
    Duration,
    EventKind,
    Message,
    Published,
    prepare,
    prepare_item,
)
from supersoniq.core.ops import Outcome, Settlement
from supersoniq.core.policy import MAX_LEASE, MIN_LEASE, Policy
from supersoniq.core.states import Status

__all__ = ["Queue", "status_of"]


def status_of(value: Status | str | None) -> Status | None:
    """Check a status given by name.

    Raises:
        InvalidArgument: there is none of that name.
    """
    if value is None or isinstance(value, Status):
        return value
    try:
        return Status(value)
    except ValueError:
        rule = f"takes one of: {', '.join(Status)}"
        raise InvalidArgument("status", value, rule) from None


class Queue:
    """One queue of a broker; made by ``broker.queue(name)``.

    Its first call declares it in the store, with the policy it was given. Every call can raise,
    beside what it says: ``Closed``; ``BackendUnavailable`` (certainly not done); and
    ``OutcomeUnknown`` (perhaps done). A call that is cancelled while it is under way is of unknown
    outcome, too; a message that was leased for it is released.
    """

    def __init__(self, engine: Engine, name: str, changes: Mapping[str, Any]) -> None:
        self.engine = engine
        self.name = name
        self._changes = dict(changes)
        self._declared = -1

    def __repr__(self) -> str:
        return f"<Queue {self.name!r}>"

    # Publishing.

    async def publish(
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
        """Store a message. When this returns, it is stored at the durability that it names.

        Args:
            content: bytes, text, or any JSON value.
            priority: -32768 to 32767, default 0, higher is sooner.
            delay: seconds until it is ready, 0 to ten years.
            ttl: seconds until it expires unless somebody holds it; ``None`` is never.
            key: publishing it again within the queue's ``dedup_window`` stores nothing and gives
                the first message's id with ``duplicate=True``.
            sender: whoever it is from.
            recipient: only a consumer that asks as this gets the message.
            headers: at most 64 strings by name, 16 Ki characters in all.
            content_type: a media type; by default the one of the content's Python type.

        Raises:
            InvalidArgument, ContentTooLarge, KeyConflict, QueueFull, StorageFull: not stored.
            OutcomeUnknown: perhaps stored; repeat it with the same ``key`` only.
        """
        entry = prepare(
            content, priority, delay, ttl, key, sender, recipient, headers, content_type
        )
        if self._declared != self.engine.deletions:
            await self._declare()
        direct = self.engine.direct
        if direct is not None:
            return direct.publish(self.name, entry)
        published: list[Published] = await self.engine.call(ops.Publish(self.name, (entry,)))
        return published[0]

    async def publish_many(self, items: Iterable[Content | Draft]) -> list[Published]:
        """Store messages, all of them or none, in their order.

        Args:
            items: at most 10,000 contents or ``Draft`` objects.

        Raises:
            InvalidArgument, ContentTooLarge, KeyConflict, QueueFull, StorageFull: none was stored.
            OutcomeUnknown: perhaps all were stored, perhaps none.
        """
        entries = [item.entry if item.__class__ is Draft else prepare_item(item) for item in items]
        if len(entries) > checks.MAX_BATCH:
            rule = f"takes at most {checks.MAX_BATCH} in one batch"
            raise InvalidArgument("items", len(entries), rule)
        if self._declared != self.engine.deletions:
            await self._declare()
        if not entries:
            return []
        direct, op = self.engine.direct, ops.Publish(self.name, entries)
        published: list[Published] = (
            direct(op) if direct is not None else await self.engine.call(op)
        )
        return published

    # Consuming.

    async def get(
        self,
        wait: Duration | None = None,
        *,
        recipient: str | None = None,
        lease: Duration | None = None,
    ) -> Delivery | None:
        """Lease the next message.

        Args:
            wait: seconds to wait for one; ``None``: as long as it takes; 0: not at all.
            recipient: also get the messages addressed to this.
            lease: seconds to hold it, 0.1 s to 12 h; ``None`` is the queue's.

        Returns:
            ``None`` if there was none in that time.
        """
        engine = self.engine
        if (
            recipient is None
            and lease is None
            and (wait is None or (wait.__class__ is int and wait == 0))
            and self._declared == engine.deletions
        ):
            # The plain case first: there is one, and nothing to check.
            since = engine.time()
            found = engine.lease_now(self.name)
            if found is not None:
                return Delivery(engine, *found, since)
            if wait is None:
                batch = await engine.wait(self.name, 1, None, None, None)
                return Delivery(engine, batch.leases[0], batch.length, batch.since)
        batch = await self.lease(1, recipient=recipient, lease=lease, wait=wait)
        if not batch.leases:
            return None
        return Delivery(engine, batch.leases[0], batch.length, batch.since)

    async def get_many(
        self,
        limit: int,
        wait: Duration | None = None,
        *,
        recipient: str | None = None,
        lease: Duration | None = None,
    ) -> list[Delivery]:
        """Lease up to ``limit`` messages (1 to 10,000) as soon as there is at least one.

        The other arguments are those of ``get``. Gives an empty list if there was none in time.
        """
        checks.integer("limit", limit, 1, checks.MAX_BATCH)
        batch = await self.lease(limit, recipient=recipient, lease=lease, wait=wait)
        engine, length, since = self.engine, batch.length, batch.since
        return [Delivery(engine, held, length, since) for held in batch.leases]

    async def lease(
        self,
        limit: int,
        *,
        recipient: str | None = None,
        lease: Duration | None = None,
        wait: Duration | None = None,
    ) -> Batch:
        """What ``get_many`` does, as bare leases for those who settle by receipt."""
        seconds = None
        if wait is not None:
            now = wait.__class__ is int and wait == 0
            seconds = 0.0 if now else checks.duration("wait", wait) / 1000
        if recipient is not None:
            checks.label("recipient", recipient, checks.MAX_SUBJECT)
        length = None
        if lease is not None:
            length = checks.duration("lease", lease, MIN_LEASE, MAX_LEASE)
        if self._declared != self.engine.deletions:
            await self._declare()
        engine = self.engine
        batch = engine.take_now(self.name, limit, recipient, length)
        if batch is not None and (batch.leases or seconds == 0):
            return batch
        return await engine.wait(self.name, limit, recipient, length, seconds)

    async def ack_many(self, deliveries: Sequence[Delivery]) -> list[SupersoniqError | None]:
        """Acknowledge deliveries of this queue in one call; each gets its own verdict.

        Returns:
            For each, ``None`` if it is acknowledged, or the error that says why not: ``LeaseLost``,
            or ``OutcomeUnknown`` from a store that cannot tell.
        """
        acked = Outcome.ACK  # once: in Python 3.11, looking it up takes as long as using it
        settlements = [Settlement(delivery.lease, acked) for delivery in deliveries]
        engine, op = self.engine, ops.Settle(self.name, settlements)
        verdicts: list[SupersoniqError | None]
        if engine.direct is not None:
            verdicts = engine.direct(op)
        else:
            for delivery in deliveries:
                delivery.ending = True
            try:
                verdicts = await engine.call(op)
            except BaseException:
                for delivery in deliveries:
                    delivery.ending = False
                raise
        engine.held.difference_update(deliveries)
        for delivery, verdict in zip(deliveries, verdicts, strict=True):
            if verdict is None:
                delivery.settled = acked
            else:
                delivery.ending, delivery.lost = False, isinstance(verdict, LeaseLost)
        return list(verdicts)

    def receive(
        self, prefetch: int = 1, *, recipient: str | None = None
    ) -> AsyncGenerator[Delivery, None]:
        """Deliveries as they come, for ``async for``; ends when the broker closes.

        Args:
            prefetch: messages to lease ahead at once, 1 to 10,000. Their leases run from then
                on, so fetch no more ahead than can be worked off in one lease.
            recipient: also get the messages addressed to this.
        """
        checks.integer("prefetch", prefetch, 1, checks.MAX_BATCH)
        if recipient is not None:
            checks.label("recipient", recipient, checks.MAX_SUBJECT)
        return receive(self.engine, partial(self.lease, recipient=recipient), prefetch)

    async def run(
        self,
        handler: Handler,
        concurrency: int = 1,
        *,
        grace: Duration = 30.0,
        recipient: str | None = None,
        stop: asyncio.Event | None = None,
    ) -> None:
        """Run a handler on every delivery, until stopped.

        A delivery is acknowledged when its handler returns, nacked when it raises (that is logged),
        and its lease is extended meanwhile. Setting ``stop``, cancelling this call or closing the
        broker drains it: nothing more is leased, handlers get ``grace`` seconds to finish, and what
        is left is cancelled and released, uncounted. No signal handlers are installed.

        A handler that has returned makes room before the store has answered its acknowledgement, so
        up to twice ``concurrency`` messages can be leased for a moment.

        Args:
            handler: an async function of a ``Delivery``.
            concurrency: handlers at the same time, 1 to 10,000.
            grace: seconds for handlers to finish when it is stopped.
            recipient: also get the messages addressed to this.
            stop: an event that stops it.
        """
        checks.integer("concurrency", concurrency, 1, checks.MAX_BATCH)
        if not callable(handler):
            raise InvalidArgument("handler", handler, "takes an async function of a Delivery")
        seconds = checks.duration("grace", grace) / 1000
        lease = partial(self.lease, recipient=recipient)
        runner = Runner(
            self.engine, lease, handler, concurrency=concurrency, grace=seconds, stop=stop
        )
        await runner.run()

    # Looking.

    async def message(self, id: str) -> Message:
        """The message of that id, as it is now.

        Raises:
            InvalidId, MessageNotFound
        """
        found: Message = await self._call(ops.Look(self.name, parse_id(id)))
        return found

    async def browse(
        self, status: Status | str | None = None, after: str | None = None, limit: int = 100
    ) -> list[Message]:
        """Messages in publish order, without leasing them.

        Args:
            status: only those of this status.
            after: only those published after the message of this id, which may be gone.
            limit: 1 to 10,000.

        Raises:
            InvalidArgument, InvalidId
            MessageNotFound: ``after`` is no id of this queue.
        """
        checks.integer("limit", limit, 1, checks.MAX_BATCH)
        cursor = None if after is None else parse_id(after)
        op = ops.Browse(self.name, status_of(status), cursor, limit)
        page: list[Message] = await self._call(op)
        return page

    async def explain(self, id: str) -> str:
        """A sentence that says why the message is not being delivered.

        Raises:
            InvalidId, MessageNotFound
        """
        sentence: str = await self._call(ops.Explain(self.name, parse_id(id)))
        return sentence

    async def stats(self) -> ops.QueueStats:
        """The queue's figures, of one moment."""
        figures: ops.QueueStats = await self._call(ops.Stats(self.name))
        return figures

    def watch(
        self,
        since: int | None = None,
        kinds: Iterable[EventKind | str] = (EventKind.PUBLISHED,),
    ) -> Watch:
        """Events of this queue from any process, to every watcher.

        Args:
            since: resume after this event's offset. If some were missed, the first event is a
                ``gap``. ``None`` begins now. Kept are the newest 10,000 events of a queue, as far
                as their contents fit into 64 MiB, and only while somebody watches and five
                minutes beyond.
            kinds: which moves to tell.

        Raises:
            InvalidArgument: an unknown kind, or a negative offset.
        """
        if since is not None:
            checks.integer("since", since, 0, 2**63 - 1)
        return Watch(self.engine, self.name, since, event_kinds(kinds), self._ensure)

    # Managing.

    async def cancel(self, id: str) -> None:
        """Drop a message that nobody holds.

        Raises:
            InvalidId, MessageNotFound
            MessageLeased: somebody holds it.
            IllegalMove: it is done.
        """
        await self._call(ops.Cancel(self.name, parse_id(id)))

    async def redrive(self, *ids: str, limit: int | None = None) -> int:
        """Make dead messages ready again, with deliveries back to 0; gives how many.

        Args:
            ids: just these; none given means any, oldest first.
            limit: at most so many.

        Raises:
            InvalidId, MessageNotFound
            IllegalMove: one of ``ids`` is not dead. None was moved.
        """
        if limit is not None:
            checks.integer("limit", limit, 1, 2**40)
        numbers = [parse_id(id) for id in ids] or None
        count: int = await self._call(ops.Redrive(self.name, numbers, limit))
        return count

    async def purge(self, status: Status | str | None = None) -> int:
        """Drop every message of a status, or all scheduled, ready and dead ones; gives how many.

        Raises:
            InvalidArgument: no such status.
            IllegalMove: leased messages cannot be purged.
        """
        count: int = await self._call(ops.Purge(self.name, status_of(status)))
        return count

    async def pause(self, until: datetime | timedelta | int | None = None) -> None:
        """Give no more leases; publishing and settling go on.

        Args:
            until: an instant (an aware ``datetime``, or milliseconds since the epoch), a
                ``timedelta`` from now, or ``None``: until ``resume``.
        """
        if isinstance(until, timedelta):
            op = ops.Pause(self.name, duration=checks.duration("until", until))
        else:
            op = ops.Pause(self.name, None if until is None else checks.instant("until", until))
        await self._call(op)

    async def resume(self) -> None:
        """Give leases again. Resuming a queue that is not paused does nothing."""
        await self._call(ops.Resume(self.name))

    async def policy(self) -> Policy:
        """The policy that is in force."""
        policy: Policy = await self._call(ops.Describe(self.name))
        return policy

    async def configure(self, **policy: Any) -> Policy:
        """Change fields of the policy for everybody, from now on; gives the whole of it.

        Raises:
            InvalidPolicy: an unknown field, or a value out of its range. Nothing was changed.
        """
        whole: Policy = await self._call(ops.Configure(self.name, policy))
        self._changes.update(policy)
        return whole

    async def _call(self, op: ops.Op) -> Any:
        await self._ensure()
        return await self.engine.call(op)

    async def _ensure(self) -> None:
        if self._declared != self.engine.deletions:
            await self._declare()

    async def _declare(self) -> None:
        deletions = self.engine.deletions
        try:
            await self.engine.call(ops.Configure(self.name, self._changes))
        except PermissionDenied:
            # To use a queue takes fewer rights than to make one: publishing makes it all the same,
            # there is nothing to lease in one that is missing, and the others say that it is.
            if self._changes:
                raise
        self._declared = deletions
