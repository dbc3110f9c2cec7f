"""A watch for clients that may read slowly: it takes no more events at a time than it can send."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from supersoniq.api.engine import Engine
from supersoniq.api.watch import Watch
from supersoniq.core.messages import Event, EventKind
from supersoniq.core.ops import Follow, Followed

__all__ = ["CHUNK", "Feed", "size_of"]

CHUNK = 256 * 1024
"""Bytes of content in one frame, unless a single message is larger."""
MOST = 500
"""Events read at a time."""
FIRST_GUESS = 4
"""Events read at a time before any was seen."""
GROWTH = 8
"""How many times more may be read at a time than before: the next ones may be larger."""


class Feed(Watch):
    """A watch that reads as many events at a time as fit into a few frames."""

    def __init__(
        self,
        engine: Engine,
        queue: str,
        since: int | None,
        kinds: frozenset[EventKind],
        ensure: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(engine, queue, since, kinds, ensure)
        self._limit = FIRST_GUESS

    async def begin(self) -> int:
        """Start, and give the offset after which everything will be told."""
        await self.start()
        assert self.offset is not None
        begun = self.offset
        self._take(await self._follow())
        if self._ready and self._ready[0].kind is EventKind.GAP:
            return self._ready[0].offset
        return begun

    def more(self, room: int) -> list[Event]:
        """Events that are here already, up to so many bytes of content."""
        found: list[Event] = []
        while self._ready and room > 0:
            room -= size_of(self._ready[0])
            if room >= 0:
                found.append(self._ready.popleft())
        return found

    def rewind(self, offset: int) -> None:
        """Forget what came after an offset that this has given; it is still in the store."""
        self._ready.clear()
        self.offset = offset

    def forget(self, offset: int) -> None:
        """The same, if anything of it is here."""
        if self._ready:
            self.rewind(offset)

    async def _follow(self) -> Followed:
        op = Follow(self._queue, self.offset, self._kinds, self._limit)
        followed: Followed = await self._engine.call(op)
        events = followed.events
        if events:
            average = sum(map(size_of, events)) // len(events)
            self._limit = max(1, min(MOST, GROWTH * self._limit, 4 * CHUNK // average))
        return followed


def size_of(event: Event) -> int:
    """About the bytes that an event takes."""
    return 64 + (0 if event.message is None else len(event.message.content))
