"""Bringing a batch through: as few requests as it takes, and an honest word on each operation.

**Two kinds of failure.** What was certainly not done is tried again until ``patience`` is over,
whatever it is. Where an answer is missing, only what may be repeated is tried again:

- what only looks, and what says how things shall be from now on (``Configure``, ``Resume``);
- publishes in which every message has a key, as long as the queue is sure to remember it: what the
  first try has stored is then found, not stored again. Whose message is found is told by its id,
  which holds the instant at which it was made: one from before the first try is somebody else's,
  and a duplicate; any other is ours;
- imports, which store each message once, however often they come, and purges of what was moved on,
  which pass over what is not there; what the first try has stored or dropped is not counted again;
- settlements, which are answered as the first time while the message is kept. Where it is not, a
  lost lease proves nothing: the first try may have been what ended it. That is unknown, then.

Everything else is of unknown outcome at once. And what was in doubt once stays so until it is
answered: a server that cannot be reached any more does not make it certain.

**Patience** is counted from the beginning of an outage. Who comes later, when it has already lasted
so long, gets one try: a server that is gone for good is not waited for by one caller after another.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence

import msgspec

from supersoniq.backends.remote.transport import Refused, Sizes, Transport
from supersoniq.core import ops
from supersoniq.core.errors import (
    BackendUnavailable,
    InvalidArgument,
    KeyConflict,
    LeaseLost,
    OutcomeUnknown,
    QueueNotFound,
    SupersoniqError,
)
from supersoniq.core.ids import parse_id
from supersoniq.core.messages import Message, Published
from supersoniq.core.ops import AnyOp, Outcome
from supersoniq.core.policy import Policy
from supersoniq.port import Result
from supersoniq.wire.answers import Answer, Answers, BrowseOut, understood
from supersoniq.wire.operations import written

__all__ = ["Courier"]

SHORTEST, LONGEST = 0.05, 1.0
"""Seconds between two tries."""
MARGIN = 30.0
"""Seconds for which a key must still be remembered when its publish is repeated."""
HEADER = 5
"""Bytes in front of the operations of a batch."""
_pack = msgspec.msgpack.Encoder().encode

_HARMLESS = (
    ops.Look,
    ops.Browse,
    ops.Describe,
    ops.Stats,
    ops.Queues,
    ops.Explain,
    ops.Follow,
)
"""They only look: to do them twice is to do them once."""


class _Call:
    """One operation on its way."""

    __slots__ = ("begun", "doubt", "floor", "op", "page", "raw", "result")

    def __init__(self, op: AnyOp) -> None:
        self.op = op
        self.raw = _pack(written(op))
        self.result: Result = None
        self.doubt = False
        """Whether it was sent before, and no answer came."""
        self.begun = 0.0
        """When it was first sent."""
        self.floor = 0
        """What the server's clock showed then, at the least."""
        self.page: list[Message] = []
        """What browsing has found so far."""

    def repeatable(self) -> bool:
        op = self.op
        if isinstance(op, ops.Publish):
            return all(entry.details.key is not None for entry in op.entries)
        if isinstance(op, ops.Purge):
            return op.ids is not None
        return isinstance(op, (*_HARMLESS, ops.Configure, ops.Resume, ops.Settle, ops.Import))

    def fail(self, error: SupersoniqError) -> None:
        """It ends with an error that says nothing of an earlier try."""
        if self.doubt and not isinstance(self.op, _HARMLESS):
            error = OutcomeUnknown(f"it was sent, and tried again in vain: {error}")
        else:
            error = type(error)(**error.data)  # a shared one would collect tracebacks
        self.result = error

    def answered(self, answer: Answer) -> bool:
        """Note what became of it; whether that was all."""
        if answer.error is not None:
            error = answer.error.error()
            if answer.error.code == "closed":
                return False  # the server is going away: certainly not done
            certain = isinstance(error, KeyConflict | InvalidArgument)
            if certain or not self.doubt:
                self.result = error
            else:
                self.fail(error)
            return True
        try:
            result = understood(self.op, bytes(answer.ok) if answer.ok else b"")
        except (msgspec.MsgspecError, ValueError) as error:
            self.result = OutcomeUnknown(f"the answer cannot be read: {error}")
            return True
        if isinstance(result, BrowseOut):
            return self._turn(result)
        if self.doubt and isinstance(self.op, ops.Publish):
            result = self._ours(result)
        elif self.doubt and isinstance(self.op, ops.Settle):
            result = [*map(_honest, self.op.settlements, result)]
        self.result = result
        return True

    def _turn(self, found: BrowseOut) -> bool:
        """Add a page; whether it was the last one."""
        self.page += found.messages
        op = self.op
        assert isinstance(op, ops.Browse)
        left = op.limit - len(found.messages)
        if found.more and found.messages and left > 0:
            after = parse_id(found.messages[-1].id)
            self.op = ops.Browse(op.queue, op.status, after, left)
            self.raw = _pack(written(self.op))
            return False
        self.result = self.page
        return True

    def _ours(self, stored: list[Published]) -> list[Published]:
        """Of what the repeated publish has found: what the first try stored is no duplicate."""
        seen: set[int] = set()
        told: list[Published] = []
        for each in stored:
            ours = each.duplicate and each.number >> 80 >= self.floor and each.number not in seen
            seen.add(each.number)
            told.append(Published(each.number, each.duplicate and not ours, each.durability))
        return told


def _honest(settlement: ops.Settlement, verdict: ops.Verdict) -> ops.Verdict:
    """The verdict on a repeated settlement."""
    if isinstance(verdict, LeaseLost) and settlement.outcome is not Outcome.EXTEND:
        return OutcomeUnknown(
            f"the {settlement.outcome} was sent before, and now {verdict}: perhaps by itself"
        )
    return verdict


class Courier:
    """Carries batches.

    Args:
        transport: an open one.
        sizes: what the server takes at once.
        patience: seconds of an outage within which to try again.
    """

    def __init__(self, transport: Transport, sizes: Sizes, patience: float) -> None:
        self._transport = transport
        self._sizes = sizes
        self._patience = patience
        self._time = asyncio.get_running_loop().time
        self._outage: float | None = None
        """When the present one began."""
        self._hurry = asyncio.Event()
        self._at, self._seen = 0, 0.0
        """What the server's clock last showed, and when that was on ours."""

    def hurry(self) -> None:
        """Try nothing again from now on."""
        self._hurry.set()

    async def carry(self, batch: Sequence[AnyOp]) -> list[Result]:
        """Have operations carried out; a result for each."""
        results: list[Result] = list(batch)
        calls: list[tuple[int, _Call]] = []
        for place, op in enumerate(batch):
            try:
                call = _Call(op)
            except SupersoniqError as error:
                results[place] = error
                continue
            if len(call.raw) + HEADER > self._sizes.max_batch_body:
                rule = f"is over the {self._sizes.max_batch_body} bytes that a request may have"
                results[place] = InvalidArgument("size", len(call.raw), rule)
            else:
                calls.append((place, call))
        for parcel in self._parcels([call for _, call in calls]):
            await self._deliver(parcel)
        for place, call in calls:
            results[place] = call.result
        return results

    def _parcels(self, calls: list[_Call]) -> Iterator[list[_Call]]:
        """In their order, as many at once as the server takes."""
        parcel: list[_Call] = []
        size = HEADER
        for call in calls:
            size += len(call.raw)
            if parcel and (
                size > self._sizes.max_batch_body or len(parcel) >= self._sizes.max_batch
            ):
                yield parcel
                parcel, size = [], HEADER + len(call.raw)
            parcel.append(call)
        if parcel:
            yield parcel

    async def _deliver(self, pending: list[_Call]) -> None:
        """Until each has a result."""
        pause = SHORTEST
        began: float | None = None
        while pending:
            failure: SupersoniqError
            try:
                pending = await self._safe_to_repeat(pending)
                answers = await self._send(pending)
            except Refused as refused:
                for call in pending:
                    call.fail(refused.error)
                return
            except OutcomeUnknown as error:
                for call in pending:
                    call.doubt = True
                    if not call.repeatable():
                        call.result = OutcomeUnknown(error.problem)
                pending = [call for call in pending if call.repeatable()]
                failure = error
            except BackendUnavailable as error:
                failure = error
            else:
                results = answers.results
                left = [
                    call
                    for call, answer in zip(pending, results, strict=False)
                    if not call.answered(answer)
                ]
                closing = any(r.error is not None and r.error.code == "closed" for r in results)
                pending = [*left, *pending[len(results) :]]
                if results and not closing:
                    continue
                failure = BackendUnavailable("the server is closing")
            began = self._time() if began is None else began
            if not await self._again(pause, began):
                for call in pending:
                    call.fail(failure)
                return
            pause = min(2 * pause, LONGEST)

    async def _send(self, calls: list[_Call]) -> Answers:
        if not calls:
            return Answers(self._at, [])
        now = self._time()
        for call in calls:
            if not call.begun:
                call.begun = now
                call.floor = int(self._at + (now - self._seen) * 1000) if self._at else 0
        try:
            answers = await self._transport.send([call.raw for call in calls])
        except (BackendUnavailable, OutcomeUnknown):
            if self._outage is None:
                self._outage = self._time()
            raise
        self._outage = None
        self._at, self._seen = answers.at, self._time()
        return answers

    async def _safe_to_repeat(self, pending: list[_Call]) -> list[_Call]:
        """Those in doubt that may be sent again; the others end here."""
        doubtful = {
            call.op.queue for call in pending if call.doubt and isinstance(call.op, ops.Publish)
        }
        if not doubtful:
            return pending
        asked = [_Call(ops.Describe(queue)) for queue in doubtful]
        try:
            answers = await self._send(asked)
        except OutcomeUnknown as error:
            raise BackendUnavailable(error.problem) from error  # what waits was not sent again
        remembered: dict[str, float] = {}
        for call, answer in zip(asked, answers.results, strict=False):
            assert isinstance(call.op, ops.Describe)
            if call.answered(answer):
                if isinstance(call.result, Policy):
                    remembered[call.op.queue] = call.result.dedup_window
                elif isinstance(call.result, QueueNotFound):
                    remembered[call.op.queue] = Policy().dedup_window
        kept: list[_Call] = []
        for call in pending:
            if call.doubt and isinstance(call.op, ops.Publish):
                needed = self._time() - call.begun + MARGIN
                if remembered.get(call.op.queue, 0.0) < needed:
                    call.result = OutcomeUnknown("its key would not be remembered long enough")
                    continue
            kept.append(call)
        return kept

    async def _again(self, pause: float, began: float) -> bool:
        """Wait a little, unless the patience with the server, or with this batch, is over."""
        if self._outage is not None:
            began = min(began, self._outage)
        if self._hurry.is_set() or self._time() + pause > began + self._patience:
            return False
        try:
            async with asyncio.timeout(pause * random.uniform(0.5, 1.0)):
                await self._hurry.wait()
        except TimeoutError:
            return True
        return False
