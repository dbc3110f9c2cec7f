"""Observing an engine: who wants figures is told of every operation, once, in one place.

An observer stands between the engine and its store. It sees batches as they come back, and, where a
store is direct, its operations one by one. It changes nothing, and an engine that nobody observes
has nothing in its way: ``Engine.observe`` wraps the two things that the engine calls, the
coalescer's ``execute`` and ``direct``, and that once for all observers. What none of them overrides
costs nothing.

A batch belongs to many callers. So that somebody can know whose doing it was, ``called`` is told
once more, and in the caller's own context, of all that is no taking and settling.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter
from typing import Any

from supersoniq.core.errors import SupersoniqError
from supersoniq.core.messages import Entry, Lease, Published
from supersoniq.core.ops import AnyOp, Op, Settle, Take
from supersoniq.port import Direct, Result

__all__ = ["UNTOLD", "Execute", "Observer", "observed", "observed_direct", "telling"]

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


UNTOLD: frozenset[type[Op]] = frozenset((Take, Settle))
"""Operations of which ``called`` is not told."""


def telling(observers: Sequence[Observer], name: str) -> tuple[Callable[..., None], ...]:
    """What is to be called of those who do anything when they are told of that."""
    idle = getattr(Observer, name)
    return tuple(getattr(each, name) for each in observers if getattr(type(each), name) is not idle)


def observed(execute: Execute, observer: Observer) -> Execute:
    """What carries out batches, with somebody told of each."""
    if isinstance(execute, _Execution):
        return _Execution(execute.bare, (*execute.observers, observer))
    return _Execution(execute, (observer,))


def observed_direct(direct: Direct, observer: Observer) -> Direct:
    """What carries out operations at once, with somebody told of each."""
    if isinstance(direct, _Observed):
        return _Observed(direct.bare, (*direct.observers, observer))
    return _Observed(direct, (observer,))


class _Execution:
    def __init__(self, bare: Execute, observers: tuple[Observer, ...]) -> None:
        self.bare, self.observers = bare, observers
        self._batch, self._failed = telling(observers, "batch"), telling(observers, "failed")
        self._done = telling(observers, "done")

    async def __call__(self, batch: Sequence[AnyOp]) -> list[Result]:
        begun = perf_counter()
        try:
            results = await self.bare(batch)
        except BaseException as error:
            for failed in self._failed:
                failed(len(batch), error)
            raise
        seconds = perf_counter() - begun
        for told in self._batch:
            told(len(batch), seconds)
        for done in self._done:
            for op, result in zip(batch, results, strict=True):
                done(op, result)
        return results


class _Observed(Direct):
    def __init__(self, bare: Direct, observers: tuple[Observer, ...]) -> None:
        self.bare, self.observers = bare, observers
        self._done, self._called = telling(observers, "done"), telling(observers, "called")
        self._published = telling(observers, "published")
        self._leased, self._acked = telling(observers, "leased"), telling(observers, "acked")
        self._publish, self._lease, self._ack = bare.publish, bare.lease, bare.ack
        if not self._published:
            self.publish = bare.publish  # type: ignore[method-assign]
        if not self._leased:
            self.lease = bare.lease  # type: ignore[method-assign]
        if not self._acked:
            self.ack = bare.ack  # type: ignore[method-assign]

    def __call__(self, op: AnyOp) -> Any:
        try:
            result = self.bare(op)
        except SupersoniqError as error:
            for done in self._done:
                done(op, error)
            raise
        for done in self._done:
            done(op, result)
        if op.__class__ not in UNTOLD:
            for called in self._called:
                called(op, result)
        return result

    def publish(self, queue: str, entry: Entry) -> Published:
        published = self._publish(queue, entry)
        for told in self._published:
            told(queue)
        return published

    def lease(self, queue: str) -> tuple[Lease, int] | None:
        found = self._lease(queue)
        if found is not None:
            for leased in self._leased:
                leased(*found)
        return found

    def ack(self, lease: Lease) -> None:
        self._ack(lease)
        for acked in self._acked:
            acked(lease)
