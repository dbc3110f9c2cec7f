"""Faults in what an operation does, or in what it answers."""

from __future__ import annotations

from typing import Any

import msgspec

from supersoniq.core import ops
from supersoniq.core.errors import KeyConflict, LeaseLost, SupersoniqError
from supersoniq.core.ids import parse_id
from supersoniq.core.keys import KeyUse, digest
from supersoniq.core.messages import Lease, Published
from supersoniq.core.ops import AnyOp, Outcome, Settlement
from supersoniq.core.policy import Policy, Terms
from supersoniq.core.states import Status
from supersoniq.testing.reference import Store


class LosesRestOfBatch(Store):
    """An ack of one message finishes everything that was taken with it."""

    def __init__(self) -> None:
        super().__init__()
        self._mates: dict[tuple[str, str], list[str]] = {}

    def apply(self, op: AnyOp, now: int) -> Any:
        result = super().apply(op, now)
        if isinstance(op, ops.Take):
            receipts = [lease.receipt for lease in result.leases]
            self._mates.update({(op.queue, receipt): receipts for receipt in receipts})
        elif isinstance(op, ops.Settle):
            for settlement in op.settlements[:3]:
                if settlement.outcome is Outcome.ACK:
                    receipts = self._mates.get((op.queue, _text(settlement.receipt)), [])
                    rest = [Settlement(receipt, Outcome.ACK) for receipt in receipts]
                    super().apply(ops.Settle(op.queue, rest), now)
        return result


class ForgetsWhenOpened(Store):
    """What was published last is not there after opening again: acknowledged before it was kept."""

    def opened(self) -> None:
        for queue in self.machine.queues.values():
            last = queue._table.get(queue._sequence)
            if last is not None and last.status is Status.READY:
                queue.cancel(queue._seal.prefix(last.created_at) | last.sequence, queue._now)


class DeliversTwice(Store):
    """Every third take also gives the message that was taken before it."""

    def __init__(self) -> None:
        super().__init__()
        self._takes = 0
        self._last: Lease | None = None

    def apply(self, op: AnyOp, now: int) -> Any:
        result = super().apply(op, now)
        if isinstance(op, ops.Take):
            self._takes += 1
            last = self._last
            if self._takes % 3 == 0 and last is not None and last.queue == op.queue:
                result.leases[op.limit - 1 :] = [last]
            self._last = result.leases[-1] if result.leases else None
        return result


class DoesNotFence(Store):
    """Any receipt of a message settles its present lease, as a job id does in many queues."""

    def apply(self, op: AnyOp, now: int) -> Any:
        queue = self.machine.queues.get(op.queue) if isinstance(op, ops.Settle) else None
        if queue is None or not isinstance(op, ops.Settle):
            return super().apply(op, now)
        settlements = []
        for settlement in op.settlements:
            try:
                sequence, _, mark = queue._seal.open(_text(settlement.receipt))
            except LeaseLost:
                settlements.append(settlement)
                continue
            record = queue._table.get(sequence)
            term = record.leases if record is not None else 1
            receipt = queue._seal.receipt(sequence, term, mark)
            settlements.append(msgspec.structs.replace(settlement, receipt=receipt))
        return super().apply(ops.Settle(op.queue, settlements), now)


class CountsReleases(Store):
    """A release counts as a delivery."""

    def apply(self, op: AnyOp, now: int) -> Any:
        result = super().apply(op, now)
        if isinstance(op, ops.Settle):
            for settlement, verdict in zip(op.settlements, result, strict=True):
                if settlement.outcome is Outcome.RELEASE and verdict is None:
                    queue = self.machine.queues[op.queue]
                    record, _ = queue._held(settlement.receipt)
                    assert record.past is not None
                    record.past.uncounted -= 1
        return result


class ForgetsKeysOnAck(Store):
    """The key goes with its message, as where it is kept in the message's row."""

    def apply(self, op: AnyOp, now: int) -> Any:
        result = super().apply(op, now)
        if isinstance(op, ops.Settle) and op.queue in self.machine.queues:
            queue = self.machine.queues[op.queue]
            for key, use in list(queue._keys._uses.items()):
                sequence = queue._seal.sequence_of(use.number)
                if sequence is not None and queue._table.get(sequence) is None:
                    del queue._keys._uses[key]
        return result


class KeysBeforeMessages(Store):
    """A key is stored in a step of its own, before its message: a refusal leaves it behind."""

    def apply(self, op: AnyOp, now: int) -> Any:
        try:
            return super().apply(op, now)
        except SupersoniqError:
            if isinstance(op, ops.Publish) and op.queue in self.machine.queues:
                queue = self.machine.queues[op.queue]
                for entry in op.entries:
                    key = entry.details.key
                    if key is not None and queue._keys.find(key, now) is None:
                        use = KeyUse(1, digest(entry.content), now + queue._terms.dedup_window)
                        queue._keys.note(key, use)
            raise


class IgnoresConflicts(Store):
    """A key with other content is answered as a duplicate."""

    def apply(self, op: AnyOp, now: int) -> Any:
        try:
            return super().apply(op, now)
        except KeyConflict as error:
            if not isinstance(op, ops.Publish) or len(op.entries) > 1:
                raise
            return [Published(parse_id(error.id), True, self.capabilities.durability)]


class PublishesPiecemeal(Store):
    """A batch is published one by one, so a refusal leaves its first part."""

    def apply(self, op: AnyOp, now: int) -> Any:
        if not isinstance(op, ops.Publish) or len(op.entries) < 2:
            return super().apply(op, now)
        return [super(PublishesPiecemeal, self).apply(ops.Publish(op.queue, [entry]), now)[0]
                for entry in op.entries]  # fmt: skip


class OneVerdictForAll(Store):
    """One lost lease refuses the whole batch of settlements."""

    def apply(self, op: AnyOp, now: int) -> Any:
        if isinstance(op, ops.Settle) and op.queue in self.machine.queues:
            queue = self.machine.queues[op.queue]
            queue.tick(now)
            for settlement in op.settlements:
                try:
                    record, term = queue._held(settlement.receipt)
                except LeaseLost as error:
                    return [error for _ in op.settlements]
                if record.leases != term:
                    return [LeaseLost("one of the batch") for _ in op.settlements]
        return super().apply(op, now)


class Miscounts(Store):
    """A purge is not counted."""

    def apply(self, op: AnyOp, now: int) -> Any:
        result = super().apply(op, now)
        if isinstance(op, ops.Stats):
            return msgspec.structs.replace(result, purged=0)
        return result


class WakesNobody(Store):
    """Listeners are never told."""

    def tell(self, queue: str, op: AnyOp) -> None:
        return


class DeafToReturns(Store):
    """Listeners are told of publishes only."""

    def tell(self, queue: str, op: AnyOp) -> None:
        if isinstance(op, ops.Publish):
            super().tell(queue, op)


class SleepsTooLong(Store):
    """``wake_in`` looks at leases only, and not at what is scheduled."""

    def apply(self, op: AnyOp, now: int) -> Any:
        result = super().apply(op, now)
        if isinstance(op, ops.Take) and op.queue in self.machine.queues:
            queue = self.machine.queues[op.queue]
            late = queue._leases.next() - now
            wake = late if late < 1 << 61 else None
            return msgspec.structs.replace(result, wake_in=wake)
        return result


class ForgetsPolicy(Store):
    """The policy lives in the process that set it."""

    def opened(self) -> None:
        for queue in self.machine.queues.values():
            queue.policy = Policy()
            queue._terms = Terms.of(queue.policy)


class ShiftingPages(Store):
    """A page's cursor is a place in the list, so it shifts as messages go."""

    def apply(self, op: AnyOp, now: int) -> Any:
        if isinstance(op, ops.Browse) and op.after is not None:
            queue = self.machine.queue(op.queue)
            place = queue._seal.sequence_of(op.after)
            everything = queue.browse(op.status, None, 1 << 30, now)
            if place is not None:
                return everything[place : place + op.limit]
        return super().apply(op, now)


class ImportsFinishedAgain(Store):
    """An imported id is known only while its message is there, as with a unique index."""

    def apply(self, op: AnyOp, now: int) -> Any:
        if isinstance(op, ops.Import) and (queue := self.machine.queues.get(op.queue)):
            known = queue._imports._known
            for number, (sequence, _) in list(known.items()):
                if queue._table.get(sequence) is None:
                    del known[number]
        return super().apply(op, now)


class ImportsNeverAgain(Store):
    """A message that was moved on is still known, so it is lost when it comes back."""

    def apply(self, op: AnyOp, now: int) -> Any:
        queue = self.machine.queues.get(op.queue) if isinstance(op, ops.Purge) else None
        before = {} if queue is None else dict(queue._imports._known)
        result = super().apply(op, now)
        if queue is not None:
            queue._imports._known.update(before)
        return result


class ImportsFresh(Store):
    """An imported message begins anew: its deliveries and failures are forgotten."""

    def apply(self, op: AnyOp, now: int) -> Any:
        if isinstance(op, ops.Import):
            anew = [msgspec.structs.replace(m, deliveries=0, reason=None) for m in op.messages]
            op = msgspec.structs.replace(op, messages=anew)
        return super().apply(op, now)


class SilentGaps(Store):
    """A watcher that missed events is not told."""

    def apply(self, op: AnyOp, now: int) -> Any:
        result = super().apply(op, now)
        if isinstance(op, ops.Follow):
            told = [event for event in result.events if event.message is not None]
            return msgspec.structs.replace(result, events=told)
        return result


def _text(receipt: Lease | str) -> str:
    return receipt if isinstance(receipt, str) else receipt.receipt
