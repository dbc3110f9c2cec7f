"""Watching a queue: every watcher sees every event, and holds nobody up."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType

from supersoniq.api.engine import Engine
from supersoniq.core.errors import Closed, InvalidArgument
from supersoniq.core.messages import Event, EventKind
from supersoniq.core.ops import Follow, Followed

__all__ = ["Watch", "event_kinds"]

RENEWAL = 60.0
"""Seconds after which an idle watcher asks again, lest its kinds stop being recorded."""


def event_kinds(kinds: Iterable[EventKind | str]) -> frozenset[EventKind]:
    """Check the kinds that a watcher asks for.

    Raises:
        InvalidArgument: none, an unknown one, or ``gap``, which comes by itself.
    """
    chosen: set[EventKind] = set()
    known = [str(kind) for kind in EventKind if kind is not EventKind.GAP]
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        if kind not in known:
            raise InvalidArgument("kinds", kind, f"takes some of: {', '.join(known)}")
        chosen.add(EventKind(kind))
    if not chosen:
        raise InvalidArgument("kinds", "", f"takes at least one of: {', '.join(known)}")
    return frozenset(chosen)


class Watch:
    """Events of a queue, as an asynchronous iterator.

    It starts with the first event that is asked for, or, as ``async with queue.watch() as events``,
    right at the beginning of the block. It ends when the broker closes. Events wait in the store,
    not here: a watcher that falls behind the store's log is told by a ``gap`` event.
    """

    def __init__(
        self,
        engine: Engine,
        queue: str,
        since: int | None,
        kinds: frozenset[EventKind],
        ensure: Callable[[], Awaitable[None]],
        visible: Callable[[Event], bool] | None = None,
    ) -> None:
        self.offset = since
        """The last event seen; ``None`` before the start. Resume from here."""
        self._engine = engine
        self._queue = queue
        self._kinds = kinds
        self._ensure = ensure
        self._visible = visible
        self._ready: deque[Event] = deque()
        self._stirred = asyncio.Event()
        self._interrupted = False
        self._deaf: Callable[[], None] | None = None

    async def start(self) -> None:
        """Begin now."""
        if self._deaf is None:
            await self._ensure()
            stopped = self._engine.on_close(self._stirred.set)
            deaf = self._engine.listen(self._queue, self._stirred.set)
            self._deaf = lambda: (deaf(), stopped())[0]
            if self.offset is None:
                self._take(await self._follow())

    def stop(self) -> None:
        """End; iterating again goes on where it ended."""
        if self._deaf is not None:
            self._deaf()
            self._deaf = None

    def interrupt(self) -> None:
        """Let ``next`` give what there is now, which may be ``None``, instead of waiting."""
        self._interrupted = True
        self._stirred.set()

    async def next(self, wait: float | None = None) -> Event | None:
        """The next event, or ``None`` after ``wait`` seconds (``None`` waits for ever).

        Raises:
            Closed: the broker was closed.
        """
        loop = asyncio.get_running_loop()
        end = None if wait is None else loop.time() + wait
        await self.start()
        while not self._ready:
            if self._engine.closing:
                raise Closed("the broker")
            if self._interrupted:
                self._interrupted = False
                return None
            self._stirred.clear()
            followed = await self._follow()
            self._take(followed)
            if self._ready or self._stirred.is_set():
                continue
            pause = RENEWAL
            if followed.wake_in is not None:
                pause = min(pause, followed.wake_in / 1000 + 0.0005)
            if end is not None:
                left = end - loop.time()
                if left <= 0:
                    return None
                pause = min(pause, left)
            try:
                async with asyncio.timeout(pause):
                    await self._stirred.wait()
            except TimeoutError:
                pass
        self._interrupted = False
        return self._ready.popleft()

    async def _follow(self) -> Followed:
        followed: Followed = await self._engine.call(Follow(self._queue, self.offset, self._kinds))
        return followed

    def _take(self, followed: Followed) -> None:
        self.offset = followed.offset
        visible = self._visible
        self._ready.extend(e for e in followed.events if visible is None or visible(e))

    def __aiter__(self) -> Watch:
        return self

    async def __anext__(self) -> Event:
        try:
            event = await self.next()
        except Closed:
            self.stop()
            raise StopAsyncIteration from None
        assert event is not None
        return event

    async def __aenter__(self) -> Watch:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
