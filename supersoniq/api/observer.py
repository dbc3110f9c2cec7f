"""Observing an engine: who wants figures is told of every operation, once, in one place.

An observer stands between the engine and its store. It sees batches as they come back, and, where a
store is direct, its operations one by one. It changes nothing, and an engine that nobody observes
has nothing in its way: ``Engine.observe`` wraps the two things that the engine calls, the
coalescer's ``execute`` and ``direct``. Publishing one message directly, which has nothing to tell
that the store does not count itself, is not even then slower.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter
from typing import Any

from supersoniq.core.errors import SupersoniqError
from supersoniq.core.messages import Lease
from supersoniq.core.ops import AnyOp
from supersoniq.port import Direct, Result

__all__ = ["Execute", "Observer", "observed", "observed_direct"]

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

    def leased(self, lease: Lease, length: int) -> None:
        """One message was leased directly, for that many milliseconds."""

    def acked(self, lease: Lease) -> None:
        """One lease was acknowledged directly."""


def observed(execute: Execute, observer: Observer) -> Execute:
    """What carries out batches, with somebody told of each."""

    async def carry_out(batch: Sequence[AnyOp]) -> list[Result]:
        begun = perf_counter()
        try:
            results = await execute(batch)
        except BaseException as error:
            observer.failed(len(batch), error)
            raise
        observer.batch(len(batch), perf_counter() - begun)
        done = observer.done
        for op, result in zip(batch, results, strict=True):
            done(op, result)
        return results

    return carry_out


def observed_direct(direct: Direct, observer: Observer) -> Direct:
    """What carries out operations at once, with somebody told of each."""
    return _Observed(direct, observer)


class _Observed(Direct):
    def __init__(self, direct: Direct, observer: Observer) -> None:
        self._direct = direct
        self._lease = direct.lease
        self._ack = direct.ack
        self._done = observer.done
        self._leased = observer.leased
        self._acked = observer.acked
        self.publish = direct.publish  # type: ignore[method-assign]

    def __call__(self, op: AnyOp) -> Any:
        try:
            result = self._direct(op)
        except SupersoniqError as error:
            self._done(op, error)
            raise
        self._done(op, result)
        return result

    def lease(self, queue: str) -> tuple[Lease, int] | None:
        found = self._lease(queue)
        if found is not None:
            self._leased(*found)
        return found

    def ack(self, lease: Lease) -> None:
        self._ack(lease)
        self._acked(lease)
