"""Loops whose clocks stand still while the machine does.

Many tests have a server and its clients in one process, and bounds of a fraction of a second, as
nobody wants to wait longer for them. On a busy machine such a process stops for a second now and
then, and all its deadlines would be over though nobody in it was late. In a loop made here no more
than ``LONGEST`` passes between two looks at the clock, and it looks every few milliseconds: as
long as the process runs its time is the world's, and when it stops so does its time.

What is on another clock (a thread, a process, a store) does not wait for this one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple

import uvloop

__all__ = ["Steady", "SteadyUv", "run"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
LONGEST = 0.05
"""Seconds that pass at the most between two looks, however long it was."""
LOOK = 0.01
"""Seconds between two looks, when nothing else happens."""


class Steady(asyncio.SelectorEventLoop):
    """asyncio's own, which takes the time of its timers from ``time``."""

    def __init__(self) -> None:
        self._now = self._seen = 0.0
        super().__init__()
        self._now = self._seen = super().time()
        self._look()

    def time(self) -> float:
        seen = super().time()
        self._now += min(seen - self._seen, LONGEST)
        self._seen = seen
        return self._now

    def _look(self) -> None:
        self.call_later(LOOK, self._look)


class SteadyUv(uvloop.Loop):
    """uvloop's, whose timers are made here: they are wound up again when they ring too early."""

    def __init__(self) -> None:
        super().__init__()
        self._now = self._seen = super().time()
        self._look()

    def time(self) -> float:
        seen = super().time()
        self._now += min(max(seen - self._seen, 0.0), LONGEST)
        self._seen = seen
        return self._now

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        timer = _Timer(when, callback, args, self, context)
        self._wind(timer, super().call_later)
        return timer

    def _wind(self, timer: _Timer, later: Callable[..., asyncio.TimerHandle]) -> None:
        def ring() -> None:
            if timer.when() > self.time():
                self._wind(timer, later)
            elif not timer.cancelled():
                timer._run()

        timer.inner = later(max(timer.when() - self.time(), 0.0), ring)

    def _look(self) -> None:
        self.time()
        super().call_later(LOOK, self._look)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """What a handle tells its loop."""


class _Timer(asyncio.TimerHandle):
    """Of a steady loop, over one of uvloop's."""

    inner: asyncio.TimerHandle

    def cancel(self) -> None:
        super().cancel()
        self.inner.cancel()


def run(main: Coroutine[Any, Any, T], loop: Callable[[], Any] = Steady) -> T:
    """As ``asyncio.run``, in a steady loop."""
    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(main)
