"""Half-sent bodies: what takes too long while too much of others arrives is given up, with 503.

``servers/arriving.py`` counts them, together with the messages of WebSockets.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

from supersoniq.adapters.http.problems import Refusal
from supersoniq.servers import arriving

__all__ = ["Arrival", "Arriving"]


class Arriving(arriving.Arriving):
    """Bodies and messages of which more is to come.

    Args:
        limit: bytes that they may have together.
    """

    __slots__ = ("storing",)

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.storing = 0
        """Bytes of batches of lines that are being stored: they are not given up any more."""

    def __call__(self, size: int = 0) -> Arrival:
        """One more body, of which so many bytes are here: a ``with`` block that awaits the rest.

        It raises a ``Refusal`` at its end if that body was given up.
        """
        return Arrival(self, size)

    def room(self) -> int:
        """Bytes that a batch of lines may have now, before it is stored."""
        return max(self.limit - self.size - self.storing, 0) // 4


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
