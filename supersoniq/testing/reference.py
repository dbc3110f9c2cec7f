"""A second store that is right: the machine, kept outside the backends that open it.

The memory backend claims little: it is neither lasting, nor shared, nor a medium. This store claims
all three, so that the whole suite can be tried within one process and in a second, and broken on
purpose (``supersoniq.testing.faults``). A ``Store`` is what lasts; backends come and go.
"""

from __future__ import annotations

import secrets
import zlib
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import msgspec

from supersoniq.clock import Clock
from supersoniq.core import ops, rules
from supersoniq.core.errors import Closed, SupersoniqError
from supersoniq.core.ids import parse_id
from supersoniq.core.machine import Machine
from supersoniq.core.messages import Durability, Entry, Lease, Message, Record, damaged
from supersoniq.core.ops import AnyOp, Queues
from supersoniq.core.queue import QueueMachine
from supersoniq.core.states import Move, Status
from supersoniq.port import Backend, Capabilities, Result, Stir
from supersoniq.testing.harness import Harness

__all__ = ["ReferenceHarness", "Store", "StoreBackend"]


class CheckedQueue(QueueMachine):
    """A queue that verifies contents as it leases them."""

    def publish(self, entries: Sequence[Entry], now: int) -> list[Any]:
        """Store messages with their checksums."""
        return super().publish([_summed(entry) for entry in entries], now)

    def import_(self, messages: Sequence[Message], now: int) -> ops.Imported:
        """Store messages of another store with their checksums."""
        before = self._sequence
        imported = super().import_(messages, now)
        for record in self._table.after(before):
            checksum = zlib.crc32(record.content)
            record.details = msgspec.structs.replace(record.details, checksum=checksum)
        return imported

    def take(
        self,
        limit: int,
        recipient: str | None,
        duration: int | None,
        now: int,
        max_bytes: int | None = None,
    ) -> ops.Taken:
        """Lease what is whole, and set aside what is not."""
        good: list[Lease] = []
        while True:
            taken = super().take(limit - len(good), recipient, duration, now, max_bytes)
            whole = [lease for lease in taken.leases if self.is_whole(lease.record)]
            good += whole
            for lease in taken.leases:
                if not self.is_whole(lease.record):
                    self._set_aside(lease.record)
            if len(whole) == len(taken.leases):
                return msgspec.structs.replace(taken, leases=good)

    def look(self, number: int, now: int) -> Message:
        """One message, and whether it is whole."""
        message = super().look(number, now)
        return message if self.is_whole(self._find(number)) else damaged(message)

    def browse(
        self, status: Status | None, after: int | None, limit: int, now: int
    ) -> list[Message]:
        """Messages, and whether they are whole."""
        return [
            message if self.is_whole(self._find(parse_id(message.id))) else damaged(message)
            for message in super().browse(status, after, limit, now)
        ]

    def is_whole(self, record: Record) -> bool:
        """Whether the content is what was published."""
        return zlib.crc32(record.content) == record.details.checksum

    def _set_aside(self, record: Record) -> None:
        rules.corrupt(record, self._now, self._terms, self._tally)
        self._leases.ended()
        self._moved(record, Move.CORRUPT, self._now)


def _summed(entry: Entry) -> Entry:
    details = msgspec.structs.replace(entry.details, checksum=zlib.crc32(entry.content))
    return msgspec.structs.replace(entry, details=details)


class StoreMachine(Machine):
    """The machine of a store, with queues of the store's kind."""

    def __init__(self, durability: Durability, kind: type[QueueMachine]) -> None:
        super().__init__(secrets.token_bytes(32), durability)
        self.kind = kind


class Store:
    """What lasts. A fault is a subclass that overrides one of these."""

    queue: ClassVar[type[QueueMachine]] = CheckedQueue
    capabilities: ClassVar[Capabilities] = Capabilities(
        durability="os", lasting=True, shared=True, bounds_queues=True
    )

    def __init__(self) -> None:
        self.machine = StoreMachine(self.capabilities.durability, self.queue)
        self.ears: dict[str, set[Ear]] = {}
        self.heard: dict[str, int] = {}

    def apply(self, op: AnyOp, now: int) -> Any:
        """Carry out one operation."""
        return self.machine.apply(op, now)

    def opened(self) -> None:
        """A backend was opened on the store, by another process as it were."""

    def tell(self, queue: str, op: AnyOp) -> None:
        """Tell listeners, if what that operation did in that queue concerns them."""
        machine = self.machine.queues.get(queue)
        stirs = -1 if machine is None else machine.stirs
        if self.heard.get(queue) == stirs:
            return
        self.heard[queue] = stirs
        for ear in list(self.ears.get(queue, ())):
            ear()

    def rot(self, queue: str, number: int) -> None:
        """Flip one bit of a message's content."""
        record = self.machine.queues[queue]._find(number)
        content = record.content or b"\0"
        record.content = bytes([content[0] ^ 1]) + content[1:]


class Ear:
    """One listener."""

    def __init__(self, stir: Stir) -> None:
        self.stir = stir

    def __call__(self) -> None:
        self.stir()


class StoreBackend(Backend):
    """One opener of a store."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.capabilities = store.capabilities
        self._store = store
        self._clock = clock
        self._ears: list[tuple[str, Ear]] = []
        self._open = False
        self._unsubscribe: Callable[[], None] = lambda: None

    @property
    def max_queues(self) -> int | None:
        """How many queues there may be, for all its openers."""
        return self._store.machine.max_queues

    @max_queues.setter
    def max_queues(self, most: int | None) -> None:
        self._store.machine.max_queues = most

    async def open(self) -> None:
        """Make it ready for use."""
        self._open = True
        self._unsubscribe = self._clock.subscribe(self._jumped)
        self._store.opened()

    async def close(self) -> None:
        """Let go of the store."""
        self._open = False
        self._unsubscribe()
        for queue, ear in self._ears:
            self._store.ears[queue].discard(ear)
        self._ears.clear()

    async def execute(self, batch: Sequence[AnyOp]) -> list[Result]:
        """Execute operations in their order."""
        if not self._open:
            raise Closed("the reference backend")
        results: list[Result] = []
        for op in batch:
            try:
                results.append(self._store.apply(op, self._clock.now()))
            except SupersoniqError as error:
                results.append(error)
            if not isinstance(op, Queues):
                self._store.tell(op.queue, op)
        return results

    def listen(self, queue: str, stir: Stir) -> Callable[[], None]:
        """Have ``stir`` called when something in the queue may have become ready."""
        ear = Ear(stir)
        self._store.ears.setdefault(queue, set()).add(ear)
        self._ears.append((queue, ear))
        return lambda: self._store.ears[queue].discard(ear)

    def _jumped(self) -> None:
        for queue, ear in list(self._ears):
            if ear in self._store.ears[queue]:
                ear()


class ReferenceHarness(Harness):
    """A harness of such a store.

    Args:
        kind: ``Store``, or one that is broken on purpose.
    """

    patience = 0.1

    def __init__(self, kind: type[Store] = Store) -> None:
        self.store = kind()

    async def backend(self, clock: Clock) -> Backend:
        """Open one more backend on the store."""
        backend = StoreBackend(self.store, clock)
        await backend.open()
        return backend

    async def corrupt(self, queue: str, id: int) -> None:
        """Flip one bit of a message's content."""
        self.store.rot(queue, id)
