"""Extending leases while their work goes on.

Nearly all work is done long before its lease needs extending, so what counts is what it costs to
plan that and then drop it. A timer for each delivery was an eighth of a busy consumer's time; here
deliveries whose turn comes at about the same time share one, and a set that they leave again. It
also brings their extensions into one batch.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

__all__ = ["Keeper", "Rounds"]

GRAINS = 30_000
"""From a lease in milliseconds to seconds of a round: a thirtieth. So much too soon it may be."""


class Kept(Protocol):
    """A delivery, as far as its keeper knows it."""

    settled: Any
    lost: bool

    async def _keep(self) -> float | None:
        """Extend; gives seconds until the next time, or ``None`` for no more."""


class Rounds:
    """When whose turn is. Each broker has one."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._rounds: dict[tuple[int, int], set[Keeper]] = {}

    def join(self, keeper: Keeper, when: float, length: int) -> set[Keeper]:
        """Have it called then or a little sooner, unless it leaves the set. O(1).

        Args:
            keeper: who is called.
            when: on the loop's clock.
            length: of the lease in milliseconds.
        """
        grain = length / GRAINS
        number = int(when / grain)
        found = self._rounds.get((length, number))
        if found is None:
            found = self._rounds[length, number] = set()
            self._loop.call_at(number * grain, self._ring, (length, number))
        found.add(keeper)
        return found

    def _ring(self, key: tuple[int, int]) -> None:
        for keeper in self._rounds.pop(key):
            keeper.due()


class Keeper:
    """Extends a delivery's lease while a block runs; a task only when it is due.

    Args:
        delivery: whose lease.
        rounds: which tell when.
        first: when for the first time, on the loop's clock.
        length: of the lease in milliseconds.
        worker: the task to cancel if the lease is lost.
    """

    __slots__ = ("_cancelled", "_delivery", "_length", "_round", "_rounds", "_task", "_worker")

    def __init__(
        self,
        delivery: Kept,
        rounds: Rounds,
        first: float,
        length: int,
        worker: asyncio.Task[Any] | None,
    ) -> None:
        self._delivery = delivery
        self._rounds = rounds
        self._length = length
        self._worker = worker
        self._task: asyncio.Task[None] | None = None
        self._cancelled = False
        self._round = rounds.join(self, first, length)

    def stop(self, error: BaseException | None) -> bool:
        """End; whether the block was cancelled because the lease was lost."""
        self._round.discard(self)
        if self._task is not None:
            self._task.cancel()
        if self._cancelled and self._worker is not None:
            # As asyncio.timeout does: our own cancellation, and no other one besides it.
            return self._worker.uncancel() <= 0 and isinstance(error, asyncio.CancelledError)
        return False

    def due(self) -> None:
        """It is time."""
        self._task = asyncio.get_running_loop().create_task(self._keep())

    async def _keep(self) -> None:
        delivery = self._delivery
        if delivery.settled is not None:
            return
        again = await delivery._keep()
        if again is not None:
            when = asyncio.get_running_loop().time() + again
            self._round = self._rounds.join(self, when, self._length)
        elif delivery.lost and self._worker is not None:
            self._cancelled = True
            self._worker.cancel("the lease was lost")
