"""What the operations of a batch become: calls of scripts, and what their answers mean.

A ``Work`` is one call of one script, for one operation or for all takes, publishes or settlements
of a queue that came together. It says what to send, takes in what comes back, and fills in
results. It knows nothing of connections: ``exchange`` sends, and sends again what is not finished.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import msgspec

from supersoniq.backends.redis.link import Argument, Link
from supersoniq.backends.redis.scripts import Script
from supersoniq.core.errors import BackendUnavailable, OutcomeUnknown, SupersoniqError
from supersoniq.core.ids import Seal
from supersoniq.core.messages import Durability
from supersoniq.port import Result

__all__ = ["Facts", "Header", "Work", "base_of"]

_SHIFT = 40
_REST = (1 << 80) - 1


def base_of(number: int) -> str:
    """The part of an id that all messages of a queue share, as scripts compare it."""
    return f"{(number & _REST) >> _SHIFT:x}"


class Header(msgspec.Struct, frozen=True):
    """What every answer begins with."""

    now: int
    seal: Seal
    next: int
    """When time alone will change something, -1 if it will not."""

    @property
    def wake_in(self) -> int | None:
        """Milliseconds until then."""
        return None if self.next < 0 else max(self.next - self.now, 0)


class Facts(msgspec.Struct):
    """What works need to know of the store."""

    durability: Durability
    secret: bytes
    seals: dict[int, Seal]
    """Of queues by number, always the same objects."""

    def is_ours(self, seal: object) -> bool:
        """Whether that very seal was made here."""
        return isinstance(seal, Seal) and self.seals.get(seal.number) is seal

    def seal_of(self, number: int, base: str) -> Seal | None:
        """The seal of a queue; ``None`` if it was made with another secret."""
        found = self.seals.get(number) or Seal(self.secret, number)
        if _base(found) != base:
            return None
        self.seals[number] = found
        return found


def _base(seal: Seal) -> str:
    return base_of(seal.prefix(0))


class Work(ABC):
    """One call of a script.

    Args:
        queue: its name.
        results: the batch's, to be filled in.
        facts: of the store.
    """

    script: ClassVar[Script]
    reads: bool = False
    """It changes nothing but what time has brought: failing, it was certainly not done."""
    makes: bool = False
    """Where there is no queue, it makes one."""
    replicated: bool = True
    """It is to be on other servers too before it counts as done, if the store asks for that."""

    begun: bool = False
    """Some of it has been done already, in an earlier call."""
    asked: Link | None = None
    """Where to send it this once, while its queue is being moved there."""
    sent_on: int = 0
    """How often a node of a Cluster has sent it to another one."""

    def __init__(self, queue: str, results: list[Result], facts: Facts) -> None:
        self.queue = queue
        self.results = results
        self.facts = facts
        self.birth: tuple[Argument, Argument, Argument, Argument] = ("", "", "", "")
        """Number, base, policy and terms of a queue to be made."""

    @property
    @abstractmethod
    def places(self) -> Sequence[int]:
        """Where its operations stand in the batch."""

    @abstractmethod
    def arguments(self) -> list[Argument]:
        """What the script is given after what all scripts are."""

    @abstractmethod
    def take_in(self, header: Header, given: Any) -> bool:
        """Understand an answer. Gives whether all is done; if not, it is to be sent again."""

    @abstractmethod
    def missing(self) -> None:
        """There is no such queue."""

    def fail(self, error: Callable[[], SupersoniqError]) -> None:
        """It failed as a whole: each caller gets an error of its own."""
        for place in self.places:
            made = error()
            if self.begun and isinstance(made, BackendUnavailable):
                made = OutcomeUnknown(f"it was under way when this happened: {made.problem}")
            self.results[place] = made
