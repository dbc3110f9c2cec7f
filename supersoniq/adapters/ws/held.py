"""What a connection was given and has not settled.

Each delivery counts against its subscription's credit until its client has settled it, be it too
late: only the client knows whether it still works on it. When the connection ends, all that is
left is released at once, uncounted. A delivery that is just being settled is left alone until the
outcome is known, lest the release overtake the settlement.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from supersoniq.api.engine import Engine
from supersoniq.core.errors import LeaseLost
from supersoniq.core.messages import Lease
from supersoniq.core.ops import Outcome, Settlement, Verdict

__all__ = ["Held", "Holder"]


class Holder(Protocol):
    """Whose credit a delivery counts against: a subscription."""

    def settled(self) -> None:
        """One of its deliveries counts no more."""


class Delivered:
    """One delivery."""

    __slots__ = ("holder", "lease", "settling")

    def __init__(self, lease: Lease, holder: Holder) -> None:
        self.lease = lease
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
        self._delivered[receipt] = Delivered(lease, holder)

    def begin(self, queue: str, settlement: Settlement) -> Settlement:
        """A settlement begins; gives what is to be carried out."""
        receipt = settlement.receipt
        assert isinstance(receipt, str)
        found = self._delivered.get(receipt)
        if found is None or found.lease.queue != queue:
            return settlement
        found.settling += 1
        # The store finds its way faster from the lease itself.
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
        loose: list[Lease] = []
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
                loose.append(found.lease)
        self._engine.release_soon(loose)

    def release(self) -> None:
        """The connection has ended: give back what it held."""
        self._over = True
        loose = [each.lease for each in self._delivered.values() if not each.settling]
        self._engine.release_soon(loose)
