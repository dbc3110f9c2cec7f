"""What the operations of a batch do, inside the transaction that ``store`` has opened for them.

**Order.** The operations of a batch come from concurrent callers and may be reordered, so
between two operations of other kinds all settlements of a queue come first, then its publishes,
then its takes: each kind is then a handful of statements whatever the size of the batch.

**Cache.** Unpacked queues are kept from one transaction to the next. The store says when they are
stale: when somebody else has written, and when a transaction was rolled back.

An operation's own error is found before anything of it is written, so it stands in its place
among the results and the others are not touched by it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from supersoniq.backends.sqlite import importing, managing
from supersoniq.backends.sqlite.publishing import Publishing
from supersoniq.backends.sqlite.queue import StoredQueue
from supersoniq.backends.sqlite.schema import MAX_QUEUES
from supersoniq.backends.sqlite.settling import settle
from supersoniq.backends.sqlite.taking import take
from supersoniq.backends.sqlite.wake import GONE, Token
from supersoniq.core import ops
from supersoniq.core.errors import (
    LeaseLost,
    QueueNotFound,
    StorageFull,
    SupersoniqError,
    TooManyQueues,
)
from supersoniq.core.ids import Seal
from supersoniq.core.messages import Durability
from supersoniq.core.policy import Policy, changed
from supersoniq.port import Result

__all__ = ["Operations"]

MOST_KEPT = 10_000
"""Names that are remembered, also of queues that are not there: whoever asks can make them up."""
_Group = tuple[list[int], list[int], list[int]]
"""The places in a batch of one queue's settlements, publishes and takes."""


class Operations:
    """The queues of one file, and what can be done with them.

    Args:
        connection: with a transaction open whenever a method is called.
        seal_of: gives the seal of a queue by its number, always the same object.
        durability: what publishes report.
        refuse: says why publishes have to be refused at the moment, or ``None``.
        max_queues: how many queues there may be; ``None``: any number.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        seal_of: Callable[[int], Seal],
        durability: Durability,
        refuse: Callable[[], StorageFull | None],
        max_queues: Callable[[], int | None],
    ) -> None:
        self.now = 0
        """The transaction's instant."""
        self._connection = connection
        self._seal_of = seal_of
        self._durability: Durability = durability
        self._refuse = refuse
        self._max_queues = max_queues
        self._queues: dict[str, StoredQueue | None] = {}
        self._touched: set[str] = set()
        self._deleted: dict[str, Token] = {}

    def forget(self) -> None:
        """What is in memory is not what is in the file any more."""
        self._queues.clear()
        self._touched.clear()
        self._deleted.clear()

    def catch_up(self, batch: Sequence[Any]) -> bool:
        """Let time catch up with the queues of a batch, a bounded step each.

        Gives whether they all have: only then may the batch be carried out.
        """
        done = True
        for name in {op.queue for op in batch if isinstance(op, ops.Op)}:
            try:
                queue = self._queue(name)
            except SupersoniqError:
                continue  # Its own operations will be told.
            if queue is not None and not queue.catch_up(self.now):
                done = False
        return done

    def carry_out(self, batch: Sequence[Any]) -> list[Result]:
        """Carry out a batch, in the transaction that is open. Gives the results."""
        results: list[Result] = [None] * len(batch)
        groups: dict[str, _Group] = {}
        for place, op in enumerate(batch):
            slot = _SLOTS.get(type(op))
            if slot is not None:
                group = groups.get(op.queue)
                if group is None:
                    group = groups[op.queue] = ([], [], [])
                group[slot].append(place)
                continue
            for name in [op.queue] if isinstance(op, ops.Op) else list(groups):
                if name in groups:
                    self._group(name, groups.pop(name), batch, results)
            try:
                results[place] = self._single(op)
            except SupersoniqError as error:
                results[place] = error
        for name, group in groups.items():
            self._group(name, group, batch, results)
        return results

    def _group(
        self,
        name: str,
        group: _Group,
        batch: Sequence[Any],
        results: list[Result],
    ) -> None:
        """Carry out settlements, publishes and takes of one queue."""
        try:
            queue = self._queue(name)
            self._grouped(name, queue, group, batch, results)
        except SupersoniqError as error:
            # The queue cannot be loaded or made: the others are not touched by that.
            for place in (*group[0], *group[1], *group[2]):
                results[place] = type(error)(**error.data)

    def _grouped(
        self,
        name: str,
        queue: StoredQueue | None,
        group: _Group,
        batch: Sequence[Any],
        results: list[Result],
    ) -> None:
        settles, publishes, takes = group
        now = self.now
        if settles:
            if queue is None:
                for place in settles:
                    results[place] = [
                        LeaseLost("its queue is gone") for _ in batch[place].settlements
                    ]
            else:
                queue.tick(now)
                answers = settle(queue, [batch[place] for place in settles], now)
                for place, answer in zip(settles, answers, strict=True):
                    results[place] = answer
        if publishes:
            self._publish(name, publishes, batch, results)
        if takes:
            queue = self._queue(name)
            if queue is None:
                for place in takes:
                    results[place] = ops.Taken([])
            else:
                queue.tick(now)
                taken = take(queue, [batch[place] for place in takes], now)
                for place, given in zip(takes, taken, strict=True):
                    results[place] = given

    def _publish(
        self,
        name: str,
        places: list[int],
        batch: Sequence[Any],
        results: list[Result],
    ) -> None:
        refusal = self._refuse()
        if refusal is not None:
            for place in places:
                # Each caller gets an error of its own: a shared one would gather all tracebacks.
                results[place] = StorageFull(refusal.problem)
            return
        queue = self._queue(name)
        while queue is None and places:
            # Each of them makes the queue, and one that is refused leaves none behind.
            first, *places = places
            try:
                queue = self._make(name)
            except TooManyQueues as error:
                results[first] = error
                continue
            publishing = Publishing(queue, self.now)
            try:
                results[first] = publishing.publish(batch[first].entries)
            except SupersoniqError as error:
                results[first] = error
                self._drop(queue)
                queue = None
            else:
                publishing.flush()
        if queue is None or not places:
            return
        queue.tick(self.now)
        publishing = Publishing(queue, self.now)
        answers = publishing.publish_plain([batch[place].entries for place in places])
        if answers is not None:
            for place, published in zip(places, answers, strict=True):
                results[place] = published
        else:
            for place in places:
                try:
                    results[place] = publishing.publish(batch[place].entries)
                except SupersoniqError as error:
                    results[place] = error
        publishing.flush()

    def _single(self, op: ops.AnyOp) -> Any:
        if isinstance(op, ops.Queues):
            return [
                name
                for (name,) in self._connection.execute("SELECT name FROM queues ORDER BY name")
            ]
        queue = self._queue(op.queue)
        if isinstance(op, ops.Configure):
            return self._configure(queue, op)
        if isinstance(op, ops.Import):
            return self._import(queue, op)
        if queue is None:
            raise QueueNotFound(op.queue)
        if isinstance(op, ops.Describe):
            return queue.policy
        if isinstance(op, ops.Delete):
            self._drop(queue)
            self._deleted[op.queue] = GONE
            return None
        queue.tick(self.now)
        return managing.MEANING[type(op)](queue, op, self.now)

    def _configure(self, queue: StoredQueue | None, op: ops.Configure) -> Any:
        if queue is not None:
            queue.tick(self.now)
            return queue.configure(op.changes)
        made = self._make(op.queue)
        try:
            return made.configure(op.changes)
        except SupersoniqError:
            self._drop(made)
            raise

    def _import(self, queue: StoredQueue | None, op: ops.Import) -> ops.Imported:
        changed(Policy(), op.policy)  # also where the queue keeps its own
        refusal = self._refuse()
        if refusal is not None:
            raise StorageFull(refusal.problem)
        if queue is not None:
            queue.tick(self.now)
            return importing.import_(queue, op.messages, self.now)
        made = self._make(op.queue)
        try:
            made.configure(op.policy)
            if op.paused:
                managing.pause(made, op.paused_until, None, self.now)
            return importing.import_(made, op.messages, self.now)
        except SupersoniqError:
            self._drop(made)
            raise

    # The queues.

    def _queue(self, name: str) -> StoredQueue | None:
        """The queue of that name, from the cache or its row."""
        self._touched.add(name)
        try:
            return self._queues[name]
        except KeyError:
            found = StoredQueue.load(self._connection, name, self._seal_of, self._durability)
            self._queues[name] = found
            return found

    def _make(self, name: str) -> StoredQueue:
        """A new queue.

        Raises:
            TooManyQueues, StorageFull: there may, or can, be no more of them.
        """
        most = self._max_queues()
        if most is not None:
            ((count,),) = self._connection.execute("SELECT count(*) FROM queues")
            if count >= most:
                raise TooManyQueues(name, most)
        made = StoredQueue.make(self._connection, name, self._seal_of, self.now, self._durability)
        if made.number > MAX_QUEUES:
            made.shelves.clear()
            raise StorageFull(f"the file has had {MAX_QUEUES} queues, which is all it can")
        self._queues[name] = made
        return made

    def _drop(self, queue: StoredQueue) -> None:
        queue.shelves.clear()
        self._queues[queue.name] = None

    def save(self) -> dict[str, Token]:
        """Write what changed in queues' own rows. Gives those that stirred."""
        stirred = dict(self._deleted)
        self._deleted.clear()
        for name in self._touched:
            queue = self._queues.get(name)
            if queue is not None and queue.dirty:
                queue.save()
                if queue.stirs != queue.told:
                    queue.told = queue.stirs
                    stirred[name] = (queue.number, queue.stirs)
        self._touched.clear()
        if len(self._queues) > MOST_KEPT:
            self._queues.clear()  # all of it is in the file
        return stirred


_SLOTS: dict[type[Any], int] = {ops.Settle: 0, ops.Publish: 1, ops.Take: 2}
