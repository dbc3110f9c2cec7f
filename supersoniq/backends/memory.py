"""The memory backend: the machine itself, with somebody to tell when it stirs.

Nothing here waits for anything, so operations are carried out at once, in the caller's own step
of the event loop (``Here``). One process, one event loop; gone when it is closed.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any

from supersoniq.clock import Clock, SystemClock
from supersoniq.core.errors import Closed, InvalidSetting, SupersoniqError
from supersoniq.core.machine import Machine
from supersoniq.core.messages import Entry, Lease, Published
from supersoniq.core.ops import AnyOp, Queues
from supersoniq.port import Backend, Capabilities, Direct, Result, Stir

__all__ = ["MemoryBackend", "connect"]


class MemoryBackend(Backend):
    """Queues in this process's memory.

    Args:
        clock: the store's clock.
    """

    capabilities = Capabilities(
        durability="memory", lasting=False, shared=False, bounds_queues=True
    )

    def __init__(self, *, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._machine = Machine(secrets.token_bytes(32), "memory")
        self._ears: dict[str, set[Stir]] = {}
        self._heard: dict[str, int] = {}
        self._open = False
        self._unsubscribe: Callable[[], None] = lambda: None
        self.direct = Here(self, self._machine, self._clock)

    @property
    def max_queues(self) -> int | None:
        """How many queues there may be; ``None``: any number."""
        return self._machine.max_queues

    @max_queues.setter
    def max_queues(self, most: int | None) -> None:
        self._machine.max_queues = most

    async def open(self) -> None:
        """Make it ready for use."""
        self._open = True
        self._unsubscribe = self._clock.subscribe(self._stir_all)

    async def close(self) -> None:
        """Forget everything."""
        self._open = False
        self._unsubscribe()
        self._machine.queues.clear()

    async def execute(self, batch: Sequence[AnyOp]) -> list[Result]:
        """Execute operations in their order."""
        results: list[Result] = []
        for op in batch:
            try:
                results.append(self.apply(op))
            except SupersoniqError as error:
                results.append(error)
        return results

    def listen(self, queue: str, stir: Stir) -> Callable[[], None]:
        """Have ``stir`` called when something in the queue may have become ready."""
        ears = self._ears.setdefault(queue, set())
        ears.add(stir)

        def stop() -> None:
            ears.discard(stir)
            if not ears and self._ears.get(queue) is ears:
                del self._ears[queue]
                self._heard.pop(queue, None)

        return stop

    def apply(self, op: AnyOp) -> Any:
        """Execute one operation.

        Raises:
            SupersoniqError: as the operation says.
            Closed: it is not open.
        """
        if not self._open:
            raise Closed("the memory backend")
        try:
            return self._machine.apply(op, self._clock.now())
        finally:
            if self._ears and not isinstance(op, Queues):
                self.tell(op.queue)

    def tell(self, queue: str) -> None:
        """Tell those who listen to a queue, if something has become ready since they were told."""
        if queue not in self._ears:
            return
        machine = self._machine.queues.get(queue)
        stirs = machine.stirs if machine is not None else -1
        if self._heard.get(queue) != stirs:
            self._heard[queue] = stirs
            for stir in list(self._ears[queue]):
                stir()

    def _stir_all(self) -> None:
        for ears in list(self._ears.values()):
            for stir in list(ears):
                stir()


class Here(Direct):
    """The machine, in the caller's own step of the event loop.

    Args:
        backend: whose operations these are.
        machine: its machine; without queues while the backend is closed.
        clock: the store's clock.
    """

    __slots__ = ("_apply", "_ears", "_now", "_queues", "_tell")

    def __init__(self, backend: MemoryBackend, machine: Machine, clock: Clock) -> None:
        self._apply = backend.apply
        self._tell = backend.tell
        self._ears = backend._ears
        self._queues = machine.queues
        self._now = clock.now

    def __call__(self, op: AnyOp) -> Any:
        """Execute one operation."""
        return self._apply(op)

    def publish(self, queue: str, entry: Entry) -> Published:
        """Publish one message."""
        found = self._queues.get(queue)
        if found is None:
            return super().publish(queue, entry)
        try:
            return found.publish_one(entry, self._now())
        finally:
            if self._ears:
                self._tell(queue)

    def lease(self, queue: str) -> tuple[Lease, int] | None:
        """Lease one message."""
        found = self._queues.get(queue)
        if found is None:
            return super().lease(queue)
        try:
            return found.take_one(self._now())
        finally:
            if self._ears:
                self._tell(queue)

    def ack(self, lease: Lease) -> None:
        """Acknowledge one message."""
        found = self._queues.get(lease.queue)
        if found is None:
            super().ack(lease)
            return
        try:
            found.ack_one(lease, self._now())
        finally:
            if self._ears:
                self._tell(lease.queue)


def connect(url: str, **options: Any) -> MemoryBackend:
    """The factory behind ``memory://``.

    Raises:
        InvalidSetting: the URL names anything, or an option is unknown.
    """
    if url not in ("memory:", "memory:/", "memory://"):
        raise InvalidSetting("url", url, "memory:// takes nothing more: each broker has its own")
    for name, value in options.items():
        raise InvalidSetting(name, value, "memory:// takes no options")
    return MemoryBackend()
