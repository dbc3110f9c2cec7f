"""What the remote backend needs of a connection: batches there and answers back, and stirs.

A transport knows nothing of operations, and does not try again. It tells failures apart, which is
what everything above it rests on: ``BackendUnavailable`` if nothing was sent or the server said
that nothing was done, ``OutcomeUnknown`` if anything was sent and no answer came.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager

import msgspec

from supersoniq.core.errors import SupersoniqError
from supersoniq.core.messages import Durability
from supersoniq.wire.answers import Answers

__all__ = ["Greeting", "Refused", "Transport"]


class Sizes(msgspec.Struct):
    """How much the server takes at once."""

    max_batch_body: int
    """Bytes of a batch."""
    max_batch: int
    """Operations in it."""


class Greeting(msgspec.Struct):
    """What the server says of itself. There may be more in it."""

    name: str
    version: str
    durability: Durability
    limits: Sizes


class Refused(Exception):
    """The server refused a whole batch: certainly none of it was done."""

    def __init__(self, error: SupersoniqError) -> None:
        super().__init__(str(error))
        self.error = error


class Transport(ABC):
    """A way to a server."""

    leases_stay: bool = True
    """Whether a lease outlives the connection over which it was taken."""

    @abstractmethod
    async def open(self) -> Greeting:
        """Reach the server.

        Raises:
            BackendUnavailable: it cannot be reached. Nothing is left open.
            AuthenticationFailed: it does not let this caller in.
            IncompatibleStore: whoever answers there is no such server.
        """

    @abstractmethod
    async def close(self) -> None:
        """Let go of everything."""

    @abstractmethod
    async def send(self, operations: Sequence[bytes]) -> Answers:
        """Have a batch carried out.

        Args:
            operations: each in its MessagePack form.

        Raises:
            BackendUnavailable: certainly not done.
            OutcomeUnknown: perhaps done.
            Refused: certainly not done, and there is no use in trying again.
        """

    @abstractmethod
    def stirs(
        self, queues: Collection[str]
    ) -> AbstractAsyncContextManager[AsyncIterator[Collection[str]]]:
        """Listen: the names of those that stirred, as they do.

        The first thing it gives, perhaps nothing, says that the server is listening from now on. It
        ends, or raises ``BackendUnavailable`` or ``OutcomeUnknown``, when the connection does.
        """
