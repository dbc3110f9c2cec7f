"""The machine: all queues of one store, and the meaning of every operation.

``apply(op, now)`` is the specification: a backend is right when it answers as this does. It is
deterministic: the only randomness is the secret it is given, and that shows in nothing but ids and
receipts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from supersoniq.core import ops
from supersoniq.core.errors import LeaseLost, QueueNotFound, TooManyQueues
from supersoniq.core.ids import Seal
from supersoniq.core.messages import Durability
from supersoniq.core.policy import Policy, changed
from supersoniq.core.queue import QueueMachine

__all__ = ["Machine"]


class Machine:
    """All queues of one store.

    Args:
        secret: 32 random bytes, from which ids and receipts are derived.
        durability: what its publishes report.
    """

    def __init__(self, secret: bytes, durability: Durability = "memory") -> None:
        self.queues: dict[str, QueueMachine] = {}
        self.max_queues: int | None = None
        """How many there may be; ``None``: any number."""
        self.kind: type[QueueMachine] = QueueMachine
        """What its queues are; the testing package has other ones."""
        self._secret = secret
        self._durability: Durability = durability
        self._made = 0

    def apply(self, op: ops.AnyOp, now: int) -> Any:
        """Carry out one operation at ``now``, in milliseconds since the epoch.

        After calling it, ``queue.next`` of its queue says when time alone will change something.

        Raises:
            SupersoniqError: as the operation says; nothing has changed.
        """
        return _MEANING[type(op)](self, op, now)

    def queue(self, name: str) -> QueueMachine:
        """The queue of that name.

        Raises:
            QueueNotFound: there is none.
        """
        found = self.queues.get(name)
        if found is None:
            raise QueueNotFound(name)
        return found

    def make(self, name: str, now: int) -> QueueMachine:
        """The queue of that name, made if there is none.

        Raises:
            TooManyQueues: there may be no more of them.
        """
        found = self.queues.get(name)
        if found is None:
            if self.max_queues is not None and len(self.queues) >= self.max_queues:
                raise TooManyQueues(name, self.max_queues)
            self._made += 1
            seal = Seal(self._secret, self._made)
            found = self.kind(name, seal, now, self._durability)
            self.queues[name] = found
        return found

    def _publish(self, op: ops.Publish, now: int) -> Any:
        existing = self.queues.get(op.queue)
        if existing is not None:
            return existing.publish(op.entries, now)
        made = self.make(op.queue, now)
        try:
            return made.publish(op.entries, now)
        except BaseException:
            del self.queues[op.queue]
            raise

    def _take(self, op: ops.Take, now: int) -> ops.Taken:
        found = self.queues.get(op.queue)
        if found is None:
            return ops.Taken([])
        return found.take(op.limit, op.recipient, op.duration, now, op.max_bytes)

    def _settle(self, op: ops.Settle, now: int) -> list[ops.Verdict]:
        found = self.queues.get(op.queue)
        if found is None:
            return [LeaseLost("its queue is gone") for _ in op.settlements]
        return found.settle(op.settlements, now)

    def _configure(self, op: ops.Configure, now: int) -> Any:
        found = self.queues.get(op.queue)
        if found is not None:
            return found.configure(op.changes, now)
        made = self.make(op.queue, now)
        try:
            return made.configure(op.changes, now)
        except BaseException:
            del self.queues[op.queue]
            raise

    def _import(self, op: ops.Import, now: int) -> ops.Imported:
        changed(Policy(), op.policy)  # also where the queue keeps its own
        found = self.queues.get(op.queue)
        if found is not None:
            return found.import_(op.messages, now)
        made = self.make(op.queue, now)
        try:
            made.configure(op.policy, now)
            if op.paused:
                made.pause(op.paused_until, None, now)
            return made.import_(op.messages, now)
        except BaseException:
            del self.queues[op.queue]
            raise

    def _delete(self, op: ops.Delete, now: int) -> None:
        self.queue(op.queue)
        del self.queues[op.queue]

    def _queues(self, op: ops.Queues, now: int) -> list[str]:
        return sorted(self.queues)


_Meaning = Callable[[Machine, Any, int], Any]
_MEANING: dict[type[Any], _Meaning] = {
    ops.Publish: Machine._publish,
    ops.Take: Machine._take,
    ops.Settle: Machine._settle,
    ops.Look: lambda m, op, now: m.queue(op.queue).look(op.id, now),
    ops.Browse: lambda m, op, now: m.queue(op.queue).browse(op.status, op.after, op.limit, now),
    ops.Cancel: lambda m, op, now: m.queue(op.queue).cancel(op.id, now),
    ops.Redrive: lambda m, op, now: m.queue(op.queue).redrive(op.ids, op.limit, now),
    ops.Purge: lambda m, op, now: m.queue(op.queue).purge(op.status, op.ids, now),
    ops.Pause: lambda m, op, now: m.queue(op.queue).pause(op.until, op.duration, now),
    ops.Resume: lambda m, op, now: m.queue(op.queue).resume(now),
    ops.Configure: Machine._configure,
    ops.Describe: lambda m, op, now: m.queue(op.queue).policy,
    ops.Import: Machine._import,
    ops.Delete: Machine._delete,
    ops.Stats: lambda m, op, now: m.queue(op.queue).stats(now),
    ops.Queues: Machine._queues,
    ops.Explain: lambda m, op, now: m.queue(op.queue).explain(op.id, now),
    ops.Follow: lambda m, op, now: m.queue(op.queue).follow(op.since, op.kinds, op.limit, now),
}
