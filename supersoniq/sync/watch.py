"""Watching, blocking."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType

from supersoniq.api import queue as _queue
from supersoniq.api import watch as _watch
from supersoniq.core.errors import Closed
from supersoniq.core.messages import Event, EventKind
from supersoniq.sync.loop import Run

__all__ = ["Watch"]


class Watch:
    """Events of a queue, as an iterator; see ``supersoniq.Watch``."""

    def __init__(
        self,
        run: Run,
        queue: _queue.Queue,
        since: int | None,
        kinds: Iterable[EventKind | str],
    ) -> None:
        self._run = run
        self._async = self._run(_make_watch(queue, since, kinds))

    @property
    def offset(self) -> int | None:
        """The last event seen. Resume from here."""
        return self._async.offset

    def next(self, wait: float | None = None) -> Event | None:
        """The next event, or ``None`` after ``wait`` seconds (``None`` waits for ever)."""
        return self._run(self._async.next(wait))

    def __iter__(self) -> Watch:
        return self

    def __next__(self) -> Event:
        try:
            event = self.next()
        except Closed:
            raise StopIteration from None
        assert event is not None
        return event

    def __enter__(self) -> Watch:
        self._run(self._async.start())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._run(_stop(self._async))


async def _make_watch(
    queue: _queue.Queue, since: int | None, kinds: Iterable[EventKind | str]
) -> _watch.Watch:
    return queue.watch(since, kinds)


async def _stop(watch: _watch.Watch) -> None:
    watch.stop()
