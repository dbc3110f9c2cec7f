"""Observing an engine: who wants figures is told of every operation, once, in one place.

An observer stands between the engine and its store. It sees batches as they come back, and, where a
store is direct, its operations one by one. It changes nothing, and an engine that nobody observes
has nothing in its way: ``Engine.observe`` wraps the two things that the engine calls, the
coalescer's ``execute`` and ``direct``. What an observer does not override costs nothing.

A batch belongs to many callers. So that somebody can know whose doing it was, ``called`` is told
once more, and in the caller's own context, of all that is no taking and settling.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter
from typing import Any

from supersoniq.core.errors import SupersoniqError
from supersoniq.core.messages import Entry, Lease, Published
from supersoniq.core.ops import AnyOp, Settle, Take
from supersoniq.port import Direct, Result

__all__ = ["Execute", "Observer", "observed", "observed_direct", "overrides"]

Execute = Callable[[Sequence[AnyOp]], Awaitable[list[Result]]]


class Observer:
    """Is told what is done. Does nothing with it: override what is of interest.

    Everything is called in the event loop, in between: be quick, and raise nothing.
    """

    def batch(self, size: int, seconds: float) -> None:
        """The store carried out a batch of that many operations in that time."""

    def failed(self, size: int, error: BaseException) -> None:
        """The store failed a whole batch of that many operations."""

    def done(self, op: AnyOp, result: Result) -> None:
        """An operation was carried out; its result may be the error that it raises."""

    def called(self, op: AnyOp, result: Result) -> None:
        """The same in the context of whoever called, without errors: of all but ``Take`` and
        ``Settle``, and of what is published directly.
        """

    def published(self, queue: str) -> None:
        """One message was published directly."""

    def leased(self, lease: Lease, length: int) -> None:
        """One message was leased directly, for that many milliseconds."""

    def acked(self, lease: Lease) -> None:
        """One lease was acknowledged directly."""


def overrides(observer: Observer, name: str) -> bool:
    """Whether an observer does anything when it is told of that."""
    return getattr(type(observer), name) is not getattr(Observer, name)


def observed(execute: Execute, observer: Observer) -> Execute:
    """What carries out batches, with somebody told of each."""
    done = observer.done if overrides(observer, "done") else None

    async def carry_out(batch: Sequence[AnyOp]) -> list[Result]:
        begun = perf_counter()
        try:
            results = await execute(batch)
        except BaseException as error:
            observer.failed(len(batch), error)
            raise
        observer.batch(len(batch), perf_counter() - begun)
        if done is not None:
            for op, result in zip(batch, results, strict=True):
                done(op, result)
        return results

    return carry_out


def observed_direct(direct: Direct, observer: Observer) -> Direct:
    """What carries out operations at once, with somebody told of each."""
    names = ("done", "called", "published", "leased", "acked")
    return (
        _Observed(direct, observer) if any(overrides(observer, each) for each in names) else direct
    )


class _Observed(Direct):
    def __init__(self, direct: Direct, observer: Observer) -> None:
        self._direct = direct
        self._done, self._called = observer.done, observer.called
        self._publish, self._published = direct.publish, observer.published
        self._lease, self._leased = direct.lease, observer.leased
        self._ack, self._acked = direct.ack, observer.acked
        for mine, theirs in (("publish", "published"), ("lease", "leased"), ("ack", "acked")):
            if not overrides(observer, theirs):
                setattr(self, mine, getattr(direct, mine))

    def __call__(self, op: AnyOp) -> Any:
        try:
            result = self._direct(op)
        except SupersoniqError as error:
            self._done(op, error)
            raise
        self._done(op, result)
        if op.__class__ is not Take and op.__class__ is not Settle:
            self._called(op, result)
        return result

    def publish(self, queue: str, entry: Entry) -> Published:
        published = self._publish(queue, entry)
        self._published(queue)
        return published

    def lease(self, queue: str) -> tuple[Lease, int] | None:
        found = self._lease(queue)
        if found is not None:
            self._leased(*found)
        return found

    def ack(self, lease: Lease) -> None:
        self._ack(lease)
        self._acked(lease)
