"""How much each caller may hold open, so that one of them leaves places for the others.

Rates bound what a caller does; this bounds what it keeps a server waiting for. One place is taken
for as long as a WebSocket or a WebTransport session is open, a stream of events or of stirs, a
lease request that may wait, or an upload of lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from supersoniq.auth.tokens import Caller
from supersoniq.core.errors import TooManyOpen

__all__ = ["Holds"]

COME_BACK = 1.0
"""Seconds after which to look again whether there is a place: nobody knows when there will be."""


class Holds:
    """Counts what callers, by the ``sub`` of their tokens, hold open.

    Args:
        most: places of each caller; 1 or more.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: dict[str, int] = {}
        """Those who hold something; nobody else is remembered."""

    @contextmanager
    def place(self, caller: Caller) -> Iterator[None]:
        """Hold one place, until this is left. O(1).

        Raises:
            TooManyOpen: the caller holds as many as it may.
        """
        name = caller.subject
        if self._open.get(name, 0) >= self._most:
            raise TooManyOpen(self._most, COME_BACK)
        self._open[name] = self._open.get(name, 0) + 1
        try:
            yield
        finally:
            self._open[name] -= 1
            if not self._open[name]:
                del self._open[name]
