"""Moving a queue from one store to another, so that it may be killed at any point.

Two stores share no transaction, so each message goes in two steps: it is stored at the target
(``Import``, with its id and all that is known of it), and only when the target has confirmed that,
it is dropped at the source (``Purge`` with ``ids``). Between the two it is in both. What must not
happen then is that both deliver it, and what must not happen when the mover is killed there and
started again is that it is stored twice. So:

- **The source is paused before the first message leaves it, and stays so**, also at the end and
  also when the mover dies: a pause is kept in the store. A paused queue gives out nothing, so what
  is in both stores is delivered by the target only.
- **What consumers hold is waited for first.** They may still settle it, and it may come back; only
  when no lease is left does the first message go. From then on nothing at the source changes but by
  time, by publishers, and by the mover. So messages go in their order, done ones, too, and none is
  overtaken by another one of its priority because a consumer had it.
- **The target knows each id** for as long as its message is there, and for a week in any case
  (``core/imports.py``). Whoever was killed between the two steps imports the same messages again,
  is told that they had been here, and drops them. That holds also if the target's consumers have
  acknowledged them in the meantime.
- **Nothing is noted anywhere else.** What is left to do is what the source still holds; the same
  call goes on where the last one ended, from any machine.

A message is thus deliverable at the source until the pause; then nowhere, for as long as its turn
has not come (or, if the mover dies, until it is started again, or the source is resumed); and from
its import on at the target. Never at both: unless somebody resumes the source before the end. The
mover looks before each batch, and once more after it: it then ends and says so, and no more than
that one batch can be in both.

Publishing goes on at the source, as it does for any paused queue. What arrives there before the
last look is moved like the rest; what arrives after it lies there, paused, until a queue is moved
once more. That is why publishers should go to the target first.

A target that this makes gets the source's policy and its pause, as it was: whether somebody had it
paused is told to the new queue before the source is paused by us, so that nobody must remember it.
One that is there keeps its own, and goes on delivering meanwhile. Priorities then hold among what
has arrived; with ``hold``, the target is paused until all has.

A damaged message, one that failed its checksum, stays where it is: stored anew it would have a new
checksum, and would be delivered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from enum import StrEnum
from typing import Any

import msgspec

from supersoniq.api.broker import Broker
from supersoniq.core import checks, ops
from supersoniq.core.errors import InvalidArgument, MessageNotFound
from supersoniq.core.ids import parse_id
from supersoniq.core.messages import Message, is_damaged
from supersoniq.core.states import Status

__all__ = ["Ending", "Moved", "Mover"]

BATCH_BYTES = 4 << 20
"""Of contents: what is aimed at in one step. A larger message goes alone."""
BATCH = 500
"""Messages in one step."""
OVERHEAD = 400
"""Bytes of a message beside its content, about."""
LOOK_EVERY = 0.1
"""Seconds between two looks at leases that are waited for."""


Call = Callable[[ops.AnyOp], Awaitable[Any]]


class Ending(StrEnum):
    """How a move ended."""

    DONE = "done"
    """The source is empty, but for damaged messages."""
    STOPPED = "stopped"
    """It was asked to."""
    HELD = "held"
    """Consumers held messages for longer than one would wait. Nothing was moved."""
    RESUMED = "resumed"
    """Somebody resumed the source. What is left there was not moved."""
    MISCOUNTED = "miscounted"
    """All was moved, but figures do not add up: somebody else dropped messages meanwhile, or the
    target forgot some."""


class Moved(msgspec.Struct, kw_only=True):
    """What a move has done so far."""

    ending: Ending = Ending.STOPPED
    total: int = 0
    """Messages that the source held when it began."""
    moved: int = 0
    """Dropped at the source, after the target had confirmed them."""
    stored: int = 0
    """New at the target; the others had been stored there by a move that was cut off."""
    held: int = 0
    """Held by consumers, at the last look."""
    damaged: int = 0
    """Left at the source, because they failed their checksum."""
    first: str | None = None
    """The id of the first message of the batch under way: where it failed, if it did."""
    paused: bool = False
    """Whether the target is paused, so that nothing is delivered until somebody resumes it."""
    both: int = 0
    """At the target, and perhaps delivered at the source as well: only if that was resumed."""


class Mover:
    """Moves one queue. To be used once.

    Args:
        source, target: open brokers; of two stores, or of one.
        queue: its name at the source.
        into: its name at the target; ``None``: the same.
        wait: seconds for consumers to settle what they hold; ``None``: as long as it takes.
        hold: whether the target is paused until all is there, and resumed then.
        told: called with how far it is, each time that changed.

    Raises:
        InvalidName, InvalidArgument
    """

    def __init__(
        self,
        source: Broker,
        target: Broker,
        queue: str = "default",
        into: str | None = None,
        *,
        wait: float | None = None,
        hold: bool = False,
        told: Callable[[Moved], None] = lambda moved: None,
    ) -> None:
        self._from: Call = source.engine.call
        self._to: Call = target.engine.call
        self.queue = checks.queue_name(queue)
        self.into = self.queue if into is None else checks.queue_name(into)
        self._wait = None if wait is None else checks.duration("wait", wait) / 1000
        self._hold = hold
        self._told = told
        self._least = self._most = 0
        """What the source must have counted as purged."""
        self.so_far = Moved()

    async def run(self, stop: asyncio.Event | None = None) -> Moved:
        """Move all of it. O(n).

        Args:
            stop: set to end it after the batch under way; the same move then goes on later.

        Raises:
            QueueNotFound: there is none at the source.
            InvalidArgument: source and target are one queue. Nothing was done.
            IllegalMove: the target is where messages came from by a move that was cut off; that one
                must be finished first.
            BackendUnavailable, OutcomeUnknown: the same move again goes on where it was.
            SupersoniqError: a store refused a message. It is where it was.
        """
        stop = stop or asyncio.Event()
        so_far = self.so_far
        before, there = await self._begin()
        so_far.ending = await self._leases(stop)
        if so_far.ending is not Ending.DONE:
            await self._undo(before)
            return so_far
        if self._hold:
            await self._to(ops.Pause(self.into))
            so_far.paused = True
        idle = 0
        while True:
            moved = so_far.moved
            so_far.ending = await self._pass(stop)
            if so_far.ending is not Ending.DONE:
                return so_far
            after = await self._from(ops.Stats(self.queue))
            if _size(after) <= so_far.damaged:
                break
            # Somebody publishes: what has come since is moved at the next look, or the one after.
            idle = 0 if so_far.moved > moved else idle + 1
            if idle > 2:
                so_far.ending = Ending.RESUMED if after.leased else Ending.MISCOUNTED
                return so_far
        if self._hold:
            await self._to(ops.Resume(self.into))
        now: ops.QueueStats = await self._to(ops.Stats(self.into))
        so_far.paused = now.paused
        dropped = after.purged - before.purged
        if (
            now.published - there.published < so_far.stored
            or not self._least <= dropped <= self._most
        ):
            so_far.ending = Ending.MISCOUNTED
        return so_far

    async def _begin(self) -> tuple[ops.QueueStats, ops.QueueStats]:
        """Make the target, and pause the source. Gives the figures of both before that."""
        before: ops.QueueStats = await self._from(ops.Stats(self.queue))
        policy = msgspec.structs.asdict(await self._from(ops.Describe(self.queue)))
        made = ops.Import(self.into, (), policy, before.paused, before.paused_until)
        there: ops.Imported = await self._to(made)
        here: ops.Imported = await self._from(ops.Import(self.queue))
        if here.tag == there.tag:
            raise InvalidArgument("into", self.into, "is the very queue that is to be moved")
        figures: ops.QueueStats = await self._to(ops.Stats(self.into))
        await self._from(ops.Pause(self.queue))
        self.so_far.total = _size(before)
        self._told(self.so_far)
        return before, figures

    async def _leases(self, stop: asyncio.Event) -> Ending:
        """Wait until no consumer holds anything."""
        time = asyncio.get_running_loop().time
        end = None if self._wait is None else time() + self._wait
        while not stop.is_set():
            found: ops.QueueStats = await self._from(ops.Stats(self.queue))
            self.so_far.held = found.leased
            self._told(self.so_far)
            if not found.leased:
                return Ending.DONE
            left = LOOK_EVERY if end is None else min(LOOK_EVERY, end - time())
            if left <= 0:
                return Ending.HELD
            try:
                await asyncio.wait_for(stop.wait(), left)
            except TimeoutError:
                continue
        return Ending.STOPPED

    async def _undo(self, before: ops.QueueStats) -> None:
        """Nothing has left yet: the source is to be as it was found."""
        if not before.paused:
            await self._from(ops.Resume(self.queue))
        elif before.paused_until is not None:
            await self._from(ops.Pause(self.queue, before.paused_until))

    async def _pass(self, stop: asyncio.Event) -> Ending:
        """Move what there is, in its order."""
        so_far, limit = self.so_far, BATCH // 5
        so_far.damaged, after = 0, None
        while not stop.is_set():
            try:
                page, stats = await self._with_stats(ops.Browse(self.queue, None, after, limit))
            except MessageNotFound:  # a damaged one whose retention is over
                so_far.damaged, after = 0, None
                continue
            if not page:
                return Ending.DONE
            if not stats.paused or any(each.status is Status.LEASED for each in page):
                return Ending.RESUMED
            for batch in _batches([message for message in page if not is_damaged(message)]):
                if not await self._move(batch):
                    return Ending.RESUMED
                if stop.is_set():
                    return Ending.STOPPED
            # Only what stays can be the place to go on from.
            stays = [message for message in page if is_damaged(message)]
            so_far.damaged += len(stays)
            after = parse_id(stays[-1].id) if stays else after
            size = sum(map(_bytes, page)) // len(page)
            limit = max(1, min(BATCH, BATCH_BYTES // size))
        return Ending.STOPPED

    async def _move(self, batch: Sequence[Message]) -> bool:
        """Store messages there, drop them here; whether the source was paused all the time."""
        so_far = self.so_far
        so_far.first = batch[0].id
        imported: ops.Imported = await self._to(ops.Import(self.into, batch))
        so_far.stored += imported.stored
        numbers = [parse_id(message.id) for message in batch]
        dropped, stats = await self._with_stats(ops.Purge(self.queue, ids=numbers))
        so_far.moved += dropped
        counted = sum(message.status is not Status.DONE for message in batch)
        missing = len(batch) - dropped  # their time was over meanwhile
        self._least += max(0, counted - missing)
        self._most += counted
        self._told(so_far)
        if not stats.paused:
            so_far.both = missing
        return bool(stats.paused)

    async def _with_stats(self, op: ops.AnyOp) -> tuple[Any, ops.QueueStats]:
        """What an operation on the source gives, and the source's figures right after it."""
        result, stats = await asyncio.gather(self._from(op), self._from(ops.Stats(self.queue)))
        return result, stats


def _size(stats: ops.QueueStats) -> int:
    return stats.scheduled + stats.ready + stats.leased + stats.dead + stats.done


def _bytes(message: Message) -> int:
    return len(message.content) + OVERHEAD


def _batches(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """Cut into runs of about ``BATCH_BYTES``, none of them empty."""
    start = size = 0
    for place, message in enumerate(messages):
        if place > start and size + _bytes(message) > BATCH_BYTES:
            yield messages[start:place]
            start, size = place, 0
        size += _bytes(message)
    if start < len(messages):
        yield messages[start:]
