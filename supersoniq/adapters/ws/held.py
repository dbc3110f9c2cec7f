"""What a connection was given and has not settled.

Each delivery counts against its subscription's credit until its client has settled it, be it too
late: only the client knows whether it still works on it. When the connection ends, all that is
left is released at once, uncounted. A delivery that is just being settled is left alone until the
outcome is known, lest the release overtake the settlement.

The store finds its way faster from a lease than from its receipt. But a lease has its message, and
a client may hold ten thousand: of what is not small the receipt alone is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from supersoniq.api.engine import Engine
from supersoniq.core.errors import LeaseLost
from supersoniq.core.messages import Lease
from supersoniq.core.ops import Outcome, Settlement, Verdict

__all__ = ["Held", "Holder"]

LITTLE = 1024
"""Bytes that a message may have so that its lease is kept."""


class Holder(Protocol):
    """Whose credit a delivery counts against: a subscription."""

    def settled(self) -> None:
        """One of its deliveries counts no more."""


class Delivered:
    """One delivery."""

    __slots__ = ("holder", "lease", "queue", "settling")

    def __init__(self, queue: str, lease: Lease | str, holder: Holder) -> None:
        self.queue = queue
        self.lease = lease
        """Or its receipt."""
        self.holder = holder
        self.settling = 0
        """Settlements of it that are under way."""


class Held:
    """The deliveries of one connection, by receipt.

    Args:
        engine: what releases them.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._delivered: dict[str, Delivered] = {}
        self._over = False

    def __len__(self) -> int:
        return len(self._delivered)

    def add(self, receipt: str, lease: Lease, holder: Holder) -> None:
        """A message was given to the client."""
        kept = lease if _size(lease) <= LITTLE else receipt
        self._delivered[receipt] = Delivered(lease.queue, kept, holder)

    def begin(self, queue: str, settlement: Settlement) -> Settlement:
        """A settlement begins; gives what is to be carried out."""
        receipt = settlement.receipt
        assert isinstance(receipt, str)
        found = self._delivered.get(receipt)
        if found is None or found.queue != queue:
            return settlement
        found.settling += 1
        return Settlement(
            found.lease,
            settlement.outcome,
            settlement.delay,
            settlement.reason,
            settlement.duration,
        )

    def end(
        self,
        asked: Sequence[Settlement],
        begun: Sequence[Settlement],
        verdicts: Sequence[Verdict] | None,
    ) -> None:
        """Settlements have ended.

        Args:
            asked: as ``begin`` was given them.
            begun: what it gave for each.
            verdicts: on each; ``None``: nobody knows.
        """
        told = [None] * len(begun) if verdicts is None else verdicts
        loose: list[str] = []
        for given, settlement, verdict in zip(asked, begun, told, strict=True):
            if given is settlement:
                continue
            # To make the receipt from the lease once more would take longer than all else here.
            assert isinstance(given.receipt, str)
            receipt = given.receipt
            found = self._delivered.get(receipt)
            if found is None or found.lease is not settlement.receipt:
                continue
            found.settling -= 1
            gone = (
                settlement.outcome is not Outcome.EXTEND
                if verdict is None
                else isinstance(verdict, LeaseLost)
            )
            if gone and verdicts is not None:
                del self._delivered[receipt]
                found.holder.settled()
            elif self._over and not found.settling:
                loose.append(receipt)
        self._release(loose)

    def release(self) -> None:
        """The connection has ended: give back what it held."""
        self._over = True
        self._release([name for name, each in self._delivered.items() if not each.settling])

    def _release(self, receipts: Sequence[str]) -> None:
        """Give some back, and keep nothing of them."""
        queues: dict[str, list[Settlement]] = {}
        for receipt in receipts:
            found = self._delivered.pop(receipt)
            settlement = Settlement(found.lease, Outcome.RELEASE)
            queues.setdefault(found.queue, []).append(settlement)
        for queue, settlements in queues.items():
            self._engine.settle_soon(queue, settlements)


def _size(lease: Lease) -> int:
    """Bytes of what can be large in a message."""
    record = lease.record
    headers = record.details.headers
    if not headers:
        return len(record.content)
    return len(record.content) + sum(len(name) + len(value) for name, value in headers.items())
