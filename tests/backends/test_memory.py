"""The memory backend through the public suite, by batches and by the plain cases of ``Direct``."""

from collections.abc import Sequence
from typing import Any

import pytest

from supersoniq.backends.memory import MemoryBackend
from supersoniq.clock import Clock
from supersoniq.core.errors import SupersoniqError
from supersoniq.core.messages import Lease
from supersoniq.core.ops import AnyOp, Outcome, Publish, Settle, Take, Taken
from supersoniq.port import Backend, Direct, Result
from supersoniq.testing import Conformance, Harness
from supersoniq.testing.simulate import simulate


class MemoryHarness(Harness):
    medium = False  # bytes never leave the process

    async def backend(self, clock: Clock) -> Backend:
        backend = MemoryBackend(clock=clock)
        await backend.open()
        return backend


class OneByOne(MemoryBackend):
    """Whatever ``Direct`` has a plain case for goes that way."""

    direct: Direct

    async def execute(self, batch: Sequence[AnyOp]) -> list[Result]:
        results: list[Result] = []
        for op in batch:
            try:
                results.append(self._one(self.direct, op))
            except SupersoniqError as error:
                results.append(error)
        return results

    def _one(self, direct: Direct, op: AnyOp) -> Any:
        if isinstance(op, Publish) and len(op.entries) == 1:
            return [direct.publish(op.queue, op.entries[0])]
        if op == Take(getattr(op, "queue", "")) and (found := direct.lease(op.queue)) is not None:
            return Taken([found[0]], found[1], found[1])
        if isinstance(op, Settle) and len(op.settlements) == 1:
            [settlement] = op.settlements
            lease = settlement.receipt
            if settlement.outcome is Outcome.ACK and isinstance(lease, Lease):
                if lease.queue != op.queue:
                    return direct(op)
                try:
                    direct.ack(lease)
                except SupersoniqError as error:
                    return [error]
                return [None]
        return direct(op)


class Defaults(Direct):
    """What a ``Direct`` is that has nothing but operations."""

    def __init__(self, direct: Direct) -> None:
        self._direct = direct

    def __call__(self, op: AnyOp) -> Any:
        return self._direct(op)


class OneByOneHarness(MemoryHarness):
    async def backend(self, clock: Clock) -> Backend:
        backend = OneByOne(clock=clock)
        await backend.open()
        return backend


class DefaultsHarness(MemoryHarness):
    async def backend(self, clock: Clock) -> Backend:
        backend = OneByOne(clock=clock)
        backend.direct = Defaults(backend.direct)
        await backend.open()
        return backend


class TestMemory(Conformance):
    harness = MemoryHarness


class TestOneByOne(Conformance):
    harness = OneByOneHarness


class TestDefaults(Conformance):
    harness = DefaultsHarness


@pytest.mark.parametrize("harness", [OneByOneHarness, DefaultsHarness])
@pytest.mark.parametrize("seed", range(4))
def test_answers_are_the_machines(harness: type[Harness], seed: int) -> None:
    simulate(harness, steps=3000, seed=seed)
