"""A delivery: one message in the hands of one consumer."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from supersoniq.api.engine import Engine
from supersoniq.api.keeping import Keeper
from supersoniq.core import checks
from supersoniq.core.errors import Closed, LeaseLost, SupersoniqError
from supersoniq.core.messages import Duration, Lease, Message
from supersoniq.core.ops import Outcome, Settle, Settlement
from supersoniq.core.policy import MAX_LEASE, MIN_LEASE
from supersoniq.core.states import Status

__all__ = ["Delivery", "failure_of"]

log = logging.getLogger("supersoniq")

# Looking up a member of an enum is slow in Python 3.11.
_ACK, _EXTEND = Outcome.ACK, Outcome.EXTEND


def failure_of(error: BaseException) -> str:
    """An exception as the reason of a nack: its type and message, shortened."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= checks.MAX_REASON else text[: checks.MAX_REASON - 3] + "..."


class Delivery:
    """A leased message, with what its consumer can say about it.

    All the message's fields are attributes. ``async with`` it to have it acknowledged at the end of
    the block, or nacked if the block raises (the exception goes on), or released uncounted if
    the block is cancelled. While the block runs, its lease is extended at each third of its length.
    If the lease is lost all the same (the store was out of reach for too long, or somebody purged
    the queue), ``lost`` is set, the block is cancelled, and ``LeaseLost`` is raised in its place:
    the message is, or will be, somebody else's.
    """

    # What most deliveries never change is the class's: there are millions of them.
    lost = False
    """Whether the lease is known to be lost."""
    ending = False
    """Whether a settlement is under way. An extension that it overtakes is no lost lease."""
    settled: Outcome | None = None
    """What was said of it, once that was accepted."""
    _trusted: float | None = None
    _message: Message | None = None
    _keeper: Keeper | None = None
    _work: AbstractContextManager[None] | None = None

    def __init__(self, engine: Engine, lease: Lease, length: int, since: float) -> None:
        self.lease = lease
        """What the store gave; its ``receipt`` settles it from anywhere."""
        self._engine = engine
        self._length = length
        self._since = since
        held = engine.held
        held.add(self)
        if len(held) > engine.sweep_at:
            engine.sweep()

    def __repr__(self) -> str:
        return f"<Delivery {self.id} of {self.queue!r}, attempt {self.attempt}>"

    @property
    def message(self) -> Message:
        """The message as it was leased."""
        if self._message is None:
            self._message = self.lease.message()
        return self._message

    if TYPE_CHECKING:
        id: str
        content_type: str
        headers: dict[str, str]
        sender: str | None
        recipient: str | None
        priority: int
        key: str | None
        created_at: int
        available_at: int
        expires_at: int | None
        status: Status
        deliveries: int
        reason: str | None
    else:

        def __getattr__(self, name: str) -> Any:
            # The message's fields, made only for those who look.
            if name in Message.__struct_fields__:
                return getattr(self.message, name)
            raise AttributeError(f"a delivery has no {name!r}")

    @property
    def content(self) -> bytes:
        """The content."""
        return self.lease.record.content

    @property
    def queue(self) -> str:
        """The name of its queue."""
        return self.lease.queue

    @property
    def receipt(self) -> str:
        """The opaque text that settles this delivery, from any process."""
        return self.lease.receipt

    @property
    def attempt(self) -> int:
        """Which delivery of the message this is, from 1."""
        return self.lease.attempt

    @property
    def deadline(self) -> int:
        """When the lease ends, in milliseconds since the epoch on the store's clock."""
        return self.lease.deadline

    @property
    def time_left(self) -> float:
        """Seconds for which the lease can be trusted, at least; negative when it is over."""
        trusted = self._trusted
        if trusted is None:
            trusted = self._since + self._length / 1000
        return trusted - asyncio.get_running_loop().time()

    def text(self) -> str:
        """The content as UTF-8 text.

        Raises:
            UnicodeDecodeError: it is not UTF-8.
        """
        return self.lease.record.content.decode()

    def json(self) -> Any:
        """The content as a JSON value.

        Raises:
            ValueError: it is not JSON.
        """
        return json.loads(self.lease.record.content)

    async def ack(self) -> None:
        """The work is done: the message is finished.

        Repeating it is answered as the first time, as long as the queue keeps the message.

        Raises:
            LeaseLost: the lease is over; nothing has changed.
            OutcomeUnknown: it may have been accepted; repeating it is safe.
        """
        engine = self._engine
        if engine.direct is None:
            await self._settle(Settlement(self.lease, _ACK))
            return
        try:
            engine.direct.ack(self.lease)
        except LeaseLost:
            self.lost = True
            engine.held.discard(self)
            raise
        self.settled = _ACK
        engine.held.discard(self)

    async def nack(self, delay: Duration | None = None, reason: str | None = None) -> None:
        """The work failed: the message comes back, or dies at the queue's ``max_deliveries``.

        Args:
            delay: seconds until it is ready again; ``None`` is the queue's backoff.
            reason: what failed, at most 1,000 characters; kept with the message.

        Raises:
            LeaseLost, OutcomeUnknown: as for ``ack``.
            InvalidArgument: nothing has changed.
        """
        wait = None if delay is None else checks.duration("delay", delay)
        settlement = Settlement(self.lease, Outcome.NACK, wait, checks.reason(reason))
        await self._settle(settlement)

    async def release(self, delay: Duration = 0) -> None:
        """Give the message back untried: this delivery does not count.

        Args:
            delay: seconds until it is ready again.

        Raises:
            LeaseLost, OutcomeUnknown: as for ``ack``.
            InvalidArgument: nothing has changed.
        """
        wait = checks.duration("delay", delay)
        await self._settle(Settlement(self.lease, Outcome.RELEASE, wait))

    async def reject(self, reason: str | None = None) -> None:
        """Nobody can do this: the message is dead at once.

        Args:
            reason: why, at most 1,000 characters; kept with the message.

        Raises:
            LeaseLost, OutcomeUnknown: as for ``ack``.
            InvalidArgument: nothing has changed.
        """
        text = checks.reason(reason)
        await self._settle(Settlement(self.lease, Outcome.REJECT, reason=text))

    async def extend(self, seconds: Duration | None = None) -> int:
        """Hold the message until that many seconds from now; gives the new deadline.

        Args:
            seconds: 0.1 s to 12 h; ``None`` is the length of this lease.

        Raises:
            LeaseLost: the lease is over; nothing has changed.
            InvalidArgument: nothing has changed.
        """
        if seconds is None:
            length = self._length
        else:
            length = checks.duration("seconds", seconds, MIN_LEASE, MAX_LEASE)
        asked = asyncio.get_running_loop().time()
        settlement = Settlement(self.lease, Outcome.EXTEND, duration=length)
        deadline = await self._settle(settlement)
        assert deadline is not None
        self._trusted = asked + length / 1000
        old = self.lease
        self.lease = Lease(old.queue, old.record, old.seal, old.term, old.attempt, deadline)
        return deadline

    async def _settle(self, settlement: Settlement) -> int | None:
        op = Settle(self.lease.queue, (settlement,))
        engine = self._engine
        ends = settlement.outcome is not _EXTEND
        if ends:
            self.ending = True
        try:
            verdicts = engine.direct(op) if engine.direct is not None else await engine.call(op)
        except BaseException:
            if ends:
                self.ending = False
            raise
        verdict: int | SupersoniqError | None = verdicts[0]
        if verdict is None:
            self.settled = settlement.outcome
            engine.held.discard(self)
        elif isinstance(verdict, SupersoniqError):
            if isinstance(verdict, LeaseLost) and (ends or not self.ending):
                self.lost = True
                engine.held.discard(self)
            raise verdict
        return verdict

    async def keep(self, worker: asyncio.Task[Any] | None = None) -> None:
        """Extend the lease from now on, until ``finish``; what ``async with`` does.

        Args:
            worker: the task to cancel if the lease is lost.
        """
        self._begin(worker)

    def _begin(self, worker: asyncio.Task[Any] | None) -> None:
        engine, length = self._engine, self._length
        now = engine.time()
        ends = self._since + length / 1000 if self._trusted is None else self._trusted
        when = max(min(ends, now + length / 3000), now)
        self._keeper = Keeper(self, engine.rounds, when, length, worker)

    async def finish(self, error: BaseException | None = None) -> None:
        """Stop extending, and settle by how the work ended, unless it was settled by hand.

        Raises:
            LeaseLost: the lease was lost; nothing has changed.
        """
        keeper, self._keeper = self._keeper, None
        if keeper is not None and keeper.stop(error):
            raise LeaseLost("it lapsed while its block was running") from error
        if self.settled is not None:
            return
        if error is None:
            await self.ack()
            return
        if self.lost:
            return
        try:
            if isinstance(error, Exception):
                await self.nack(reason=failure_of(error))
            else:
                await asyncio.shield(self.release())
        except SupersoniqError as failed:
            # The block's own error is what its author must see; the lease will lapse.
            log.warning("%r could not be given back after %r: %s", self, error, failed)

    async def __aenter__(self) -> Delivery:
        self._begin(asyncio.current_task())
        working = self._engine.working
        if working is not None:
            self._work = working(self)
            self._work.__enter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        work, self._work = self._work, None
        if work is None:
            await self.finish(error)
            return
        # The settlement belongs to the work, and so does its failure.
        try:
            await self.finish(error)
        except BaseException as failed:
            work.__exit__(type(failed), failed, failed.__traceback__)
            raise
        work.__exit__(kind, error, trace)

    async def _keep(self) -> float | None:
        """Extend; gives seconds until the next time, or ``None`` if the lease is lost."""
        try:
            await self.extend(self._length / 1000)
        except LeaseLost:
            return None if self.lost else self._length / 3000
        except Closed:
            return None
        except SupersoniqError as error:
            log.warning("%r could not be extended: %s", self, error)
            left = self.time_left
            if left <= 0:
                self.lost = True
                return None
            return min(left, self._length / 9000)
        return self._length / 3000
