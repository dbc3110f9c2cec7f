"""The leases that a connection took by ``operations``, and has not settled.

When the connection ends they are released. There is no credit here that would bound them, and a
client may let any number of them lapse; so contents are not kept, and what must have lapsed is
forgotten now and then. How long a lease lasts is known without looking at anybody's clock: from
when it was taken, for the length that the store told.

A lease that is just being settled is left alone until the outcome is known, lest the release
overtake the settlement.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from supersoniq.api.engine import Engine
from supersoniq.core.errors import LeaseLost
from supersoniq.core.messages import Lease
from supersoniq.core.ops import Outcome, Settle, Settlement, Verdict
from supersoniq.core.policy import MAX_LEASE

__all__ = ["Terms"]

SWEEP = 1024
"""So many leases are kept before any is looked at."""


class Term:
    """One lease."""

    __slots__ = ("end", "queue", "settling")

    def __init__(self, queue: str, end: float) -> None:
        self.queue = queue
        self.end = end
        """When it has lapsed at the latest, on the event loop's clock."""
        self.settling = 0
        """Settlements of it that are under way."""


class Terms:
    """The leases of one connection, by receipt.

    Args:
        engine: what releases them.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._time = asyncio.get_running_loop().time
        self._terms: dict[str, Term] = {}
        self._sweep_at = SWEEP
        self._over = False

    def __len__(self) -> int:
        return len(self._terms)

    def add(self, leases: Sequence[Lease], length: int) -> None:
        """Messages were given to the client, for so many milliseconds. Amortised O(1) each."""
        now = self._time()
        for lease in leases:
            self._terms[lease.receipt] = Term(lease.queue, now + length / 1000)
        if self._over:
            self.release()
        if len(self._terms) > self._sweep_at:
            self._terms = {
                receipt: term
                for receipt, term in self._terms.items()
                if term.end > now or term.settling
            }
            self._sweep_at = max(SWEEP, 2 * len(self._terms))

    def begin(self, op: Settle) -> None:
        """Settlements begin."""
        for settlement in op.settlements:
            if (term := self._mine(op.queue, settlement)) is not None:
                term.settling += 1

    def end(self, op: Settle, verdicts: Sequence[Verdict] | None) -> None:
        """Settlements have ended.

        Args:
            op: as ``begin`` was given it.
            verdicts: on each; ``None``: nobody knows.
        """
        loose: list[str] = []
        for number, settlement in enumerate(op.settlements):
            term = self._mine(op.queue, settlement)
            if term is None or not term.settling:
                continue
            term.settling -= 1
            assert isinstance(settlement.receipt, str)
            if verdicts is not None:
                verdict = verdicts[number]
                extended = settlement.outcome is Outcome.EXTEND
                if isinstance(verdict, LeaseLost) or (verdict is None and not extended):
                    del self._terms[settlement.receipt]
                    continue
                if extended and isinstance(verdict, int):
                    length = settlement.duration or MAX_LEASE * 1000
                    term.end = self._time() + length / 1000
            if self._over and not term.settling:
                loose.append(settlement.receipt)
        self._release(op.queue, loose)

    def release(self) -> None:
        """The connection has ended: give back what it held."""
        self._over = True
        queues: dict[str, list[str]] = {}
        for receipt, term in self._terms.items():
            if not term.settling:
                queues.setdefault(term.queue, []).append(receipt)
        for queue, receipts in queues.items():
            self._release(queue, receipts)

    def _mine(self, queue: str, settlement: Settlement) -> Term | None:
        assert isinstance(settlement.receipt, str)
        term = self._terms.get(settlement.receipt)
        return term if term is not None and term.queue == queue else None

    def _release(self, queue: str, receipts: Sequence[str]) -> None:
        if receipts:
            settlements = [Settlement(receipt, Outcome.RELEASE) for receipt in receipts]
            self._engine.settle_soon(queue, settlements)
