"""The broker: a store's queues, and the way to them."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

from supersoniq.api.engine import Engine
from supersoniq.api.observer import Observer
from supersoniq.api.queue import Queue
from supersoniq.core import checks, ops
from supersoniq.core.errors import Closed, QueueNotFound
from supersoniq.core.policy import Policy, changed
from supersoniq.port import Backend

__all__ = ["Broker"]


class Broker:
    """A store's queues. Open it with ``async with``, or ``open`` and ``close``.

    Args:
        backend: a backend that is not open yet; ``supersoniq.connect`` finds one by its URL.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._engine: Engine | None = None
        self._observers: list[Observer] = []
        self.make_engine: Callable[[Backend], Engine] = Engine
        """Makes the engine when it is opened; ``supersoniq.tracing`` has its own."""

    @property
    def engine(self) -> Engine:
        """What carries out operations.

        Raises:
            Closed: the broker is not open.
        """
        if self._engine is None:
            raise Closed("the broker")
        return self._engine

    @property
    def is_open(self) -> bool:
        """Whether it has been opened, and not closed since."""
        return self._engine is not None

    async def open(self) -> Broker:
        """Open the store. Opening an open broker does nothing.

        Raises:
            BackendUnavailable, IncompatibleStore: nothing is left open.
        """
        if self._engine is None:
            await self.backend.open()
            self._engine = self.make_engine(self.backend)
            for observer in self._observers:
                self._engine.observe(observer)
        return self

    def observe(self, observer: Observer) -> None:
        """Have somebody told of what is carried out, as long as there is this broker.

        Args:
            observer: see ``supersoniq.api.observer``.
        """
        self._observers.append(observer)
        if self._engine is not None:
            self._engine.observe(observer)

    async def close(self) -> None:
        """Send waiters away, let runners drain, release what is held, close the store.

        Deliveries that were neither settled nor given to anybody else are released, uncounted.
        Closing a closed broker does nothing.
        """
        engine = self._engine
        if engine is not None and not engine.closing:
            try:
                await engine.close()
            finally:
                self._engine = None
                await self.backend.close()

    async def __aenter__(self) -> Broker:
        return await self.open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def queue(self, name: str = "default", **policy: Any) -> Queue:
        """A queue, declared in the store at its first call.

        Args:
            name: 1 to 128 of ``A-Z a-z 0-9 . _ -``, beginning with a letter or a digit.
            policy: fields of ``Policy`` to set, for everybody; the others stay as they are.

        Raises:
            InvalidName, InvalidPolicy
            Closed: the broker is not open.
        """
        checks.queue_name(name)
        changed(Policy(), policy)
        return Queue(self.engine, name, policy)

    async def queues(self) -> list[str]:
        """The names of all queues, sorted."""
        names: list[str] = await self.engine.call(ops.Queues())
        return names

    async def stats(self) -> dict[str, ops.QueueStats]:
        """The figures of every queue, each of one moment, by name."""
        figures: dict[str, ops.QueueStats] = {}
        for name in await self.queues():
            try:
                figures[name] = await self.engine.call(ops.Stats(name))
            except QueueNotFound:
                continue  # deleted since
        return figures

    async def delete_queue(self, name: str) -> None:
        """Delete a queue and all it holds; its receipts are void.

        Raises:
            InvalidName, QueueNotFound
        """
        await self.engine.call(ops.Delete(checks.queue_name(name)))
        self.engine.deletions += 1
