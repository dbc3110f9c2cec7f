"""The remote backend as the engine sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import ClassVar

from supersoniq.backends.remote.batch import Courier
from supersoniq.backends.remote.stirs import Stirs
from supersoniq.backends.remote.transport import Transport
from supersoniq.core.errors import Closed, InvalidSetting
from supersoniq.core.ops import AnyOp
from supersoniq.port import Backend, Capabilities, Result, Stir

__all__ = ["RemoteBackend"]


class RemoteBackend(Backend):
    """Queues that a server holds.

    Args:
        transport: the way to it, not open yet.
        patience: seconds of an outage that calls sit out where that is safe; 0 is none.

    Raises:
        InvalidSetting: the patience cannot be.
    """

    PATIENCE: ClassVar[float] = 5.0

    # The server's life is not ours: closing and opening again finds all as it was, whatever it
    # runs on. What survives the server itself is another matter, which durability tells.
    capabilities = Capabilities(durability="memory", lasting=True, shared=True)

    def __init__(self, transport: Transport, *, patience: float = PATIENCE) -> None:
        if (
            isinstance(patience, bool)
            or not isinstance(patience, int | float)
            or not 0 <= patience <= 3600
        ):
            raise InvalidSetting("patience", patience, "takes seconds from 0 to 3600")
        self.transport = transport
        self._patience = patience
        self._courier: Courier | None = None
        self._stirs: Stirs | None = None
        self._flying = 0
        self._landed = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Whether it can be used."""
        return self._courier is not None

    async def open(self) -> None:
        """Reach the server and learn what it can do."""
        if self._courier is not None:
            return
        greeting = await self.transport.open()
        self.capabilities = Capabilities(
            durability=greeting.durability,
            lasting=True,
            shared=True,
            leases_stay=self.transport.leases_stay,
        )
        self._courier = Courier(self.transport, greeting.limits, self._patience)
        self._stirs = Stirs(self.transport, self._patience)

    async def close(self) -> None:
        """Finish what is under way, without trying again, and let go of the connections."""
        courier, self._courier = self._courier, None
        stirs, self._stirs = self._stirs, None
        if courier is None or stirs is None:
            return
        courier.hurry()
        await stirs.close()
        while self._flying:
            self._landed.clear()
            await self._landed.wait()
        await self.transport.close()

    async def execute(self, batch: Sequence[AnyOp]) -> list[Result]:
        """Have the server carry out operations: one request, unless they are too much for it."""
        if self._courier is None:
            raise Closed("the remote backend")
        self._flying += 1
        try:
            return await self._courier.carry(batch)
        finally:
            self._flying -= 1
            self._landed.set()

    def listen(self, queue: str, stir: Stir) -> Callable[[], None]:
        """Have ``stir`` called when something in the queue may have become ready."""
        if self._stirs is None:
            return _nothing
        return self._stirs.listen(queue, stir)


def _nothing() -> None:
    """Stop nothing."""
