"""A connection that is made when it is needed, once for all who ask for it meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from supersoniq.core.errors import BackendUnavailable

__all__ = ["Once"]


class Connected(Protocol):
    """A connection."""

    @property
    def usable(self) -> bool:
        """Whether another request can be sent."""

    def close(self) -> None:
        """End it."""


C = TypeVar("C", bound=Connected)


class Once(Generic[C]):
    """The one connection.

    Args:
        dial: makes one.
    """

    def __init__(self, dial: Callable[[], Awaitable[C]]) -> None:
        self._dial = dial
        self._made: C | None = None
        self._making: asyncio.Task[C] | None = None
        self._closed = False

    async def get(self) -> C:
        """One that can be used. Whoever gives up waiting for it hinders nobody else.

        Raises:
            BackendUnavailable: this was closed.
            Exception: whatever ``dial`` raises.
        """
        if self._closed:
            raise BackendUnavailable("the connection is closed")
        if self._made is not None and self._made.usable:
            return self._made
        if self._making is None:
            self._making = asyncio.get_running_loop().create_task(self._make())
            self._making.add_done_callback(self._over)
        try:
            return await asyncio.shield(self._making)
        except asyncio.CancelledError:
            if self._closed:
                raise BackendUnavailable("the connection is closed") from None
            raise

    def close(self) -> None:
        """End it, and make none any more."""
        self._closed = True
        if self._making is not None:
            self._making.cancel()
        if self._made is not None:
            self._made.close()

    async def _make(self) -> C:
        made = await self._dial()
        if self._closed:
            made.close()
            raise BackendUnavailable("the connection is closed")
        self._made = made
        return made

    def _over(self, task: asyncio.Task[C]) -> None:
        self._making = None
        if not task.cancelled():
            task.exception()  # whoever asked for it may have gone
