"""The memory that half-sent bodies take, of all clients together.

One body is bounded by ``max_body`` and by ``body_timeout``. But who opens a thousand connections
can have a thousand bodies on their way, each nearly whole and none of them ever ended. So what has
come is counted. Above ``max_arriving`` the body that has been arriving for longest is given up,
with 503: those of honest clients are there within moments, and are not the oldest where anybody
dawdles.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

from supersoniq.adapters.http.problems import Refusal

__all__ = ["Arrival", "Arriving"]


class Arriving:
    """Bodies of which more is to come.

    Args:
        limit: bytes that they may have together.
    """

    __slots__ = ("_bodies", "limit", "size", "storing")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0
        """Bytes that have come."""
        self.storing = 0
        """Bytes of batches of lines that are being stored: they are not given up any more."""
        self._bodies: dict[Arrival, None] = {}

    def __call__(self, size: int = 0) -> Arrival:
        """One more, of which so many bytes are here: a ``with`` block in which the rest is awaited.

        It raises a ``Refusal`` at its end if that body was given up.
        """
        return Arrival(self, size)

    def room(self) -> int:
        """Bytes that a batch of lines may have now, before it is stored."""
        return max(self.limit - self.size - self.storing, 0) // 4

    def begin(self, arrival: Arrival) -> None:
        """Count it. O(1)."""
        self._bodies[arrival] = None
        self.grow(arrival, arrival.size)

    def grow(self, arrival: Arrival, size: int) -> None:
        """So many bytes more have come. O(1) amortised: a body is given up once."""
        if arrival not in self._bodies:
            return  # it was given up, and will hear of it when it next waits
        self.size += size
        while self.size > self.limit and arrival in self._bodies:
            oldest = next(iter(self._bodies))
            self.end(oldest)
            oldest.give_up()

    def end(self, arrival: Arrival) -> None:
        """Count it no more. O(1)."""
        if arrival in self._bodies:
            del self._bodies[arrival]
            self.size -= arrival.size


class Arrival:
    """One of them."""

    __slots__ = ("_cancelling", "_cut", "_of", "_over", "_task", "size")

    def __init__(self, of: Arriving, size: int) -> None:
        self.size = size
        self._of = of
        self._cut = self._over = False

    def __enter__(self) -> Arrival:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._of.begin(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._of.end(self)
        self._over = True
        if not self._cut:
            return
        # As asyncio.timeout does: our own cancellation, and no other one besides it.
        ours = self._task.uncancel() <= self._cancelling
        if ours and kind is asyncio.CancelledError:
            text = "too much of other bodies is on its way, and this one has taken longest"
            raise Refusal(503, text) from error

    def grow(self, size: int) -> None:
        """So many bytes more have come."""
        self.size += size
        self._of.grow(self, size)

    def give_up(self) -> None:
        """Cut the block off, if it waits then; what comes at once may come."""
        asyncio.get_running_loop().call_soon(self._cut_off)

    def _cut_off(self) -> None:
        if not self._over:
            self._cut = True
            self._task.cancel()
