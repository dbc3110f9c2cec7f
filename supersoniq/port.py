"""The port: what every store is to every face.

A backend executes batches of operations (``supersoniq.core.ops``), and says when somebody who waits
should look again. That is all. It does not wait, coalesce, retry or check: the faces do the first
three and the core the last, so every backend behaves alike. The meaning of an operation is what
``supersoniq.core.machine.Machine.apply`` does with it.

To write one: subclass ``Backend``, run ``supersoniq.testing``'s conformance suite against it, and
register a factory in the entry-point group ``supersoniq.backends`` under its URL scheme::

    def connect(url: str, **options: object) -> Backend: ...
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from supersoniq.core.messages import Durability, Entry, Lease, Published
from supersoniq.core.ops import AnyOp, Outcome, Publish, Settle, Settlement, Take, Taken

__all__ = ["Backend", "Capabilities", "Direct", "Factory", "Result", "Stir"]

Result = Any
"""What the operation gives, or the ``SupersoniqError`` that it raises."""
Stir = Callable[[], None]


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a backend is, asked and never found out by failing."""

    durability: Durability
    """What a message survives once its publish has returned."""
    lasting: bool
    """Closing and opening it again finds everything as it was."""
    shared: bool
    """Several processes can open the same store at once."""
    leases_stay: bool = True
    """A lease outlives the backend object that took it. Where it does not, because a connection
    holds it, closing or losing that object releases it, uncounted."""
    bounds_queues: bool = False
    """It heeds ``Backend.max_queues``."""


class Direct(ABC):
    """Operations here and now, of a store that never waits for anything.

    To carry out one operation is all it needs. The others are what programs do most, one message
    at a time: made of that by default, and a store may do the same with less.
    """

    @abstractmethod
    def __call__(self, op: AnyOp) -> Any:
        """Execute one operation and give its result.

        Raises:
            SupersoniqError: as the operation says.
        """

    def publish(self, queue: str, entry: Entry) -> Published:
        """What ``Publish`` does with one entry."""
        published: list[Published] = self(Publish(queue, (entry,)))
        return published[0]

    def lease(self, queue: str) -> tuple[Lease, int] | None:
        """What ``Take`` does by default: one lease and its length in milliseconds, or nothing."""
        taken: Taken = self(Take(queue))
        return (taken.leases[0], taken.length) if taken.leases else None

    def ack(self, lease: Lease) -> None:
        """What ``Settle`` does with one acknowledgement; raises its verdict."""
        (verdict,) = self(Settle(lease.queue, (Settlement(lease, Outcome.ACK),)))
        if verdict is not None:
            raise verdict


class Backend(ABC):
    """A store of queues."""

    capabilities: Capabilities

    max_queues: int | None = None
    """How many queues there may be: an operation that would make another one is refused with
    ``TooManyQueues``. ``None``: any number. Others who use a shared store have their own."""

    direct: Direct | None = None
    """Only of a store that never waits for anything: faces then call this and skip batches and
    futures altogether."""

    @abstractmethod
    async def open(self) -> None:
        """Make it ready for use, in the running event loop.

        Raises:
            BackendUnavailable, IncompatibleStore: it cannot be used. Nothing is left open.
        """

    @abstractmethod
    async def close(self) -> None:
        """Let go of everything. Operations in flight are finished first. Closing twice is fine."""

    @abstractmethod
    async def execute(self, batch: Sequence[AnyOp]) -> list[Result]:
        """Execute operations that came at the same time, and give a result for each.

        They came from concurrent callers, so they may be reordered, except that publishes to one
        queue keep their order. Each is atomic by itself, and whoever is answered can rely on the
        stated durability. An operation's own error stands in its place in the list; the others
        are not touched by it.

        The caller never cancels this.

        Raises:
            BackendUnavailable: none was done.
            OutcomeUnknown: any of them may have been done.
        """

    @abstractmethod
    def listen(self, queue: str, stir: Stir) -> Callable[[], None]:
        """Have ``stir`` called, in the event loop, whenever something in that queue may have become
        ready or an event was logged, by whomever and in whatever process. Gives what ends it.

        It may be called too often, and late; never must a change go unheard that a caller could
        not have seen in an operation begun after ``listen`` returned. What time alone changes
        (``wake_in``) need not be told, unless the clock jumps. An operation that made nothing ready
        and logged nothing must not be told, or whoever looks in vain would look for ever.
        """


Factory = Callable[..., Backend]
