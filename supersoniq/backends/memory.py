"""The memory backend: the machine itself, with somebody to tell when it stirs.

Nothing here waits for anything, so operations are carried out at once, in the caller's own step
of the event loop (``direct``). One process, one event loop; gone when it is closed.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any

from supersoniq.clock import Clock, SystemClock
from supersoniq.core.errors import Closed, InvalidSetting, SupersoniqError
from supersoniq.core.machine import Machine
from supersoniq.core.ops import AnyOp, Queues
from supersoniq.port import Backend, Capabilities, Result, Stir

__all__ = ["MemoryBackend", "connect"]


class MemoryBackend(Backend):
    """Queues in this process's memory.

    Args:
        clock: the store's clock.
    """

    capabilities = Capabilities(durability="memory", lasting=False, shared=False)

    def __init__(self, *, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._now = self._clock.now
        self._machine = Machine(secrets.token_bytes(32), "memory")
        self._apply = self._machine.apply
        self._ears: dict[str, set[Stir]] = {}
        self._heard: dict[str, int] = {}
        self._open = False
        self._unsubscribe: Callable[[], None] = lambda: None
        self.direct = self._direct

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
                results.append(self._direct(op))
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

    def _direct(self, op: AnyOp) -> Any:
        if not self._open:
            raise Closed("the memory backend")
        if not self._ears:
            return self._apply(op, self._now())
        try:
            return self._apply(op, self._now())
        finally:
            if not isinstance(op, Queues) and op.queue in self._ears:
                self._tell(op.queue)

    def _tell(self, queue: str) -> None:
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
