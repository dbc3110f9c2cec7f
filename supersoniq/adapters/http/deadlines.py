"""Deadlines for what is nearly always in time.

Each request has two of them and hardly one is ever missed, so a timer for each would be the dearest
part of many requests. Deadlines of the same length end in the order in which they began: one timer,
for the first of them, is enough for all. And what is there at once needs none: ``within`` begins
one only where there is something to wait for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from types import TracebackType, coroutine
from typing import Any, TypeVar

__all__ = ["Deadlines"]

T = TypeVar("T")


class Deadlines:
    """Deadlines of one length. Each is a ``with`` block that raises ``TimeoutError`` at its end.

    Args:
        seconds: their length.
    """

    __slots__ = ("_loop", "_running", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._running: dict[Deadline, None] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        """The loop whose timer is set."""

    def __call__(self) -> Deadline:
        return Deadline(self)

    @coroutine
    def within(
        self, work: Awaitable[T], waits: Callable[[], None] | None = None
    ) -> Generator[Any, Any, T]:
        """Await something that is mostly there at once; only if it is not, the deadline begins.

        Args:
            work: what is awaited.
            waits: called when the deadline begins.

        Raises:
            TimeoutError: it is not there in time.
        """
        going = work.__await__()
        try:
            awaited = next(going)
        except StopIteration as done:
            result: T = done.value
            return result
        if waits is not None:
            waits()
        with self():
            # From here on this is ``yield from going``, begun after its first step.
            while True:
                try:
                    try:
                        yield awaited
                    except BaseException as error:
                        awaited = going.throw(error)
                    else:
                        awaited = next(going)
                except StopIteration as done:
                    result = done.value
                    return result

    def begin(self, deadline: Deadline) -> None:
        """Watch one more. O(1)."""
        loop = asyncio.get_running_loop()
        deadline.end = loop.time() + self.seconds
        self._running[deadline] = None
        if self._loop is not loop:
            self._loop = loop
            loop.call_later(self.seconds, self._look, loop)

    def over(self, deadline: Deadline) -> None:
        """Watch it no more. O(1)."""
        self._running.pop(deadline, None)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Cut off those that have ended, and come back for the next."""
        now = loop.time()
        while self._running:
            deadline = next(iter(self._running))
            if deadline.end > now:
                loop.call_later(deadline.end - now, self._look, loop)
                return
            del self._running[deadline]
            deadline.miss()
        self._loop = None


class Deadline:
    """One of them."""

    __slots__ = ("_cancelling", "_missed", "_of", "_task", "end")

    def __init__(self, of: Deadlines) -> None:
        self.end = 0.0
        self._of = of
        self._missed = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._of.begin(self)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._of.over(self)
        if not self._missed:
            return
        # As asyncio.timeout does: our own cancellation, and no other one besides it.
        ours = self._task.uncancel() <= self._cancelling
        if ours and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def miss(self) -> None:
        """Cut the block off."""
        self._missed = True
        self._task.cancel()
