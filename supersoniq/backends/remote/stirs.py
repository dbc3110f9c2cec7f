"""How a waiter is woken from afar: one stream, over which the server says what stirred.

A listener need not be heard of at once. Whoever listens looks first, and most often finds
something; so the server is asked only for those who still listen after a moment. From when it says
that it listens nothing goes unheard, and as something may have happened before, everybody new is
told to look once more. That also mends a broken stream: come back, and tell everybody to look.

To listen to one more queue a new stream is opened beside the old one, which ends when the new one
stands. A stream that nobody has needed for long is let go.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Collection

from supersoniq.backends.remote.transport import Refused, Transport
from supersoniq.core.errors import RateLimited, SupersoniqError
from supersoniq.port import Stir

__all__ = ["Stirs"]

log = logging.getLogger("supersoniq")

MOMENT = 0.005
"""Seconds for which one must have listened before the server is asked."""
LINGER = 10.0
"""Seconds after which a stream that nobody needs is let go, at the least."""
SHORTEST, LONGEST = 0.05, 2.0
"""Seconds between two tries to come back."""


class Stirs:
    """Tells listeners when to look again.

    Args:
        transport: an open one.
        patience: seconds of an outage after which listeners are told to look, and so learn of it.
    """

    def __init__(self, transport: Transport, patience: float) -> None:
        self._transport = transport
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._ears: dict[str, dict[object, Stir]] = {}
        self._heard: frozenset[str] = frozenset()
        """The queues that the present stream tells of."""
        self._stream: asyncio.Task[None] | None = None
        """The one that tells."""
        self._coming: asyncio.Task[None] | None = None
        """The one that will take its place."""
        self._timer: asyncio.TimerHandle | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._needed = False
        self._closed = False

    def listen(self, queue: str, stir: Stir) -> Callable[[], None]:
        """Have ``stir`` called when something in that queue may have changed. O(1)."""
        token = object()
        ears = self._ears.setdefault(queue, {})
        ears[token] = stir
        self._needed = True
        if queue not in self._heard:
            self._soon()

        def stop() -> None:
            ears.pop(token, None)
            if not ears and self._ears.get(queue) is ears:
                del self._ears[queue]

        return stop

    async def close(self) -> None:
        """Tell nobody anything any more."""
        self._closed = True
        for timer in (self._timer, self._sweeper):
            if timer is not None:
                timer.cancel()
        tasks = [task for task in (self._stream, self._coming) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _soon(self, seconds: float = MOMENT) -> None:
        if self._timer is None and not self._closed:
            self._timer = self._loop.call_later(seconds, self._ensure)

    def _ensure(self) -> None:
        """See to it that everybody who listens is heard of."""
        self._timer = None
        if self._coming is None and not self._closed and self._ears.keys() - self._heard:
            self._coming = self._loop.create_task(self._come())

    async def _come(self) -> None:
        """Open a stream for all who listen now, and become the one that tells."""
        pause, began = SHORTEST, self._loop.time()
        told: frozenset[str] = frozenset()
        me = asyncio.current_task()
        while self._ears:
            names, hopeless = frozenset(self._ears), False
            try:
                async with self._transport.stirs(names) as stream:
                    async for stirred in stream:
                        if self._stream is not me:
                            self._take_over(names)
                        self._tell(stirred)
                problem: object = "the server ended it"
            except Refused as refused:
                problem, hopeless = refused.error, True
            except SupersoniqError as error:
                problem = error
            except Exception as error:
                log.exception("a stream of stirs failed")  # a bug must not leave waiters asleep
                problem = error
            if self._stream is me:
                # It did stand: whoever listens is heard of by nobody until the next one does.
                self._stream, self._heard = None, frozenset()
                log.info("stirs are no longer told: %s; coming back", problem)
                self._soon(SHORTEST * random.uniform(0.2, 1.0))
                return
            if isinstance(problem, RateLimited):
                log.warning("nobody tells what stirs: %s; looking every few seconds", problem)
                self._tell(names)
            elif hopeless or self._loop.time() - began > self._patience:
                # Whoever looks learns of it.
                self._tell(names - told)
                told |= names
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, LONGEST)
        self._coming = None

    def _take_over(self, names: frozenset[str]) -> None:
        old, new = self._stream, names - self._heard
        self._stream, self._coming = asyncio.current_task(), None
        self._heard = names
        if old is not None:
            old.cancel()
        self._tell(new)
        self._soon()  # who came meanwhile
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(LINGER, self._sweep)

    def _tell(self, names: Collection[str]) -> None:
        for name in names:
            for stir in list(self._ears.get(name, {}).values()):
                stir()

    def _sweep(self) -> None:
        """Let go of a stream that nobody has listened to since the last time."""
        self._sweeper = None
        if self._stream is None:
            return
        if self._needed or self._ears:
            self._needed = False
            self._sweeper = self._loop.call_later(LINGER, self._sweep)
            return
        self._stream.cancel()
        self._stream, self._heard = None, frozenset()
