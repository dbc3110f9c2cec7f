"""A delivery, blocking."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from supersoniq.api import delivery as _delivery
from supersoniq.core.messages import Duration
from supersoniq.sync.loop import Run

__all__ = ["Delivery"]


class Delivery:
    """A leased message; every method is that of ``supersoniq.Delivery``, blocking."""

    def __init__(self, run: Run, delivery: _delivery.Delivery) -> None:
        self._async = delivery
        self._run = run

    def __repr__(self) -> str:
        return repr(self._async)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._async, name)

    @property
    def content(self) -> bytes:
        """The content."""
        return self._async.content

    @property
    def lost(self) -> bool:
        """Whether the lease is known to be lost. Long work should look now and then."""
        return self._async.lost

    @property
    def time_left(self) -> float:
        """Seconds for which the lease can be trusted, at least; negative when it is over."""
        return self._run(_time_left(self._async))

    def text(self) -> str:
        """The content as UTF-8 text."""
        return self._async.text()

    def json(self) -> Any:
        """The content as a JSON value."""
        return self._async.json()

    def ack(self) -> None:
        """The work is done; see ``supersoniq.Delivery.ack``."""
        self._run(self._async.ack())

    def nack(self, delay: Duration | None = None, reason: str | None = None) -> None:
        """The work failed; see ``supersoniq.Delivery.nack``."""
        self._run(self._async.nack(delay, reason))

    def release(self, delay: Duration = 0) -> None:
        """Give it back untried; see ``supersoniq.Delivery.release``."""
        self._run(self._async.release(delay))

    def reject(self, reason: str | None = None) -> None:
        """Nobody can do this; see ``supersoniq.Delivery.reject``."""
        self._run(self._async.reject(reason))

    def extend(self, seconds: Duration | None = None) -> int:
        """Hold it longer; see ``supersoniq.Delivery.extend``."""
        return self._run(self._async.extend(seconds))

    def __enter__(self) -> Delivery:
        self._run(self._async.keep())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A KeyboardInterrupt says as little about the work as a cancellation does: released.
        self._run(self._async.finish(error))


async def _time_left(delivery: _delivery.Delivery) -> float:
    return delivery.time_left
