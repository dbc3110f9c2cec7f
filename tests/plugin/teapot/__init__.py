"""A backend by somebody else: memory, with a taste of its own. Only public doors are used."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from supersoniq.backends.memory import MemoryBackend
from supersoniq.core.ops import AnyOp
from supersoniq.port import Backend, Capabilities, Result, Stir

__all__ = ["connect", "connect_nothing"]


class Teapot(Backend):
    """Wraps another backend, and is not direct: its batches go through the coalescer."""

    capabilities = Capabilities(durability="memory", lasting=False, shared=False)

    def __init__(self, leaves: int) -> None:
        self.leaves = leaves
        self.batches: list[int] = []
        self._inner = MemoryBackend()

    async def open(self) -> None:
        await self._inner.open()

    async def close(self) -> None:
        await self._inner.close()

    async def execute(self, batch: Sequence[AnyOp]) -> list[Result]:
        self.batches.append(len(batch))
        return await self._inner.execute(batch)

    def listen(self, queue: str, stir: Stir) -> Callable[[], None]:
        return self._inner.listen(queue, stir)


def connect(url: str, *, leaves: int = 1) -> Teapot:
    return Teapot(leaves)


def connect_nothing(url: str) -> None:
    """A factory that has forgotten its job."""
