"""A broker, blocking."""

from __future__ import annotations

import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, TypeVar

from supersoniq.api import broker as _broker
from supersoniq.api.observer import Observer
from supersoniq.core.errors import Closed
from supersoniq.core.ops import QueueStats
from supersoniq.sync.loop import Loop
from supersoniq.sync.queue import Queue

__all__ = ["Broker"]

T = TypeVar("T")


class Broker:
    """A store's queues. Open it with ``with``, or ``open`` and ``close``."""

    def __init__(self, broker: _broker.Broker) -> None:
        self._async = broker
        self._loop: Loop | None = None
        self._lock = threading.Lock()

    def open(self) -> Broker:
        """Open the store; see ``supersoniq.Broker.open``."""
        with self._lock:
            if self._loop is None:
                loop = Loop()
                try:
                    loop.run(self._async.open())
                except BaseException:
                    loop.stop()
                    raise
                self._loop = loop
        return self

    def close(self) -> None:
        """Close the store; see ``supersoniq.Broker.close``. Waiting calls raise ``Closed``."""
        with self._lock:
            if self._loop is not None:
                loop, self._loop = self._loop, None
                try:
                    loop.run(self._async.close())
                finally:
                    loop.stop()

    def __enter__(self) -> Broker:
        return self.open()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self, call: Coroutine[Any, Any, T]) -> T:
        loop = self._loop
        if loop is None:
            call.close()
            raise Closed("the broker")
        return loop.run(call)

    def queue(self, name: str = "default", **policy: Any) -> Queue:
        """A queue; see ``supersoniq.Broker.queue``."""
        return Queue(self._run, self._async.queue(name, **policy))

    def queues(self) -> list[str]:
        """The names of all queues, sorted."""
        return self._run(self._async.queues())

    def stats(self) -> dict[str, QueueStats]:
        """The figures of every queue, by name."""
        return self._run(self._async.stats())

    def observe(self, observer: Observer) -> None:
        """Have somebody told of what is carried out, in the thread of the event loop."""

        async def observe() -> None:
            self._async.observe(observer)

        if self._loop is None:
            self._async.observe(observer)
        else:
            self._run(observe())

    def delete_queue(self, name: str) -> None:
        """Delete a queue and all it holds; see ``supersoniq.Broker.delete_queue``."""
        self._run(self._async.delete_queue(name))
