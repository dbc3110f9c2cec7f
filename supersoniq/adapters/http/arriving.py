"""Half-sent bodies: what takes too long while too much of others arrives is given up, with 503.

``servers/arriving.py`` counts them, together with the messages of WebSockets. These are bodies of
lines, and beginnings: what is larger has to be let in, see ``admission.py``.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from supersoniq.adapters.http.problems import Refusal
from supersoniq.servers import arriving

__all__ = ["Arrival", "Arriving", "Cuttable"]


class Arriving(arriving.Arriving):
    """Bodies and messages of which more is to come, and which nobody has let in.

    Args:
        limit: bytes that they may have together, and with those that were let in.
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
        return max(self.share - self.size - self.storing, 0) // 4


class Cuttable:
    """A ``with`` block that awaits more of a body. Given up, it ends with a ``Refusal``."""

    __slots__ = ("_cancelling", "_cut", "_over", "_task")

    why = ""
    """It is given up: the refusal's words."""

    def __init__(self) -> None:
        self._cut = False
        self._over = True

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._over = False
        self._begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over = True
        self._end()
        if not self._cut:
            return
        # As asyncio.timeout does: our own cancellation, and no other one besides it.
        ours = self._task.uncancel() <= self._cancelling
        if ours and kind is asyncio.CancelledError:
            raise Refusal(503, self.why) from error

    def _begin(self) -> None:
        """More of it is awaited."""

    def _end(self) -> None:
        """No more is."""

    def give_up(self) -> None:
        """Cut the block off, if it waits then; what comes at once may come."""
        asyncio.get_running_loop().call_soon(self._cut_off)

    def _cut_off(self) -> None:
        if not self._over and not self._cut:
            self._cut = True
            self._task.cancel()


class Arrival(Cuttable):
    """One of those that nobody has let in."""

    __slots__ = ("_of", "size")

    why = "too much of other bodies is on its way, and this one has taken longest"

    def __init__(self, of: Arriving, size: int) -> None:
        super().__init__()
        self.size = size
        self._of = of

    def _begin(self) -> None:
        self._of.begin(self)

    def _end(self) -> None:
        self._of.end(self)

    def grow(self, size: int) -> None:
        """So many bytes more have come."""
        self.size += size
        self._of.grow(self, size)
