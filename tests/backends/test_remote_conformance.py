"""The remote backend through the public suite, over a real socket."""

import pytest

from supersoniq.backends.memory import MemoryBackend
from supersoniq.clock import Clock
from supersoniq.port import Backend
from supersoniq.testing import Conformance, Harness
from supersoniq.testing.simulate import simulate
from tests.backends.served import RemoteHarness


class MemoryHarness(Harness):
    medium = False

    async def backend(self, clock: Clock) -> Backend:
        backend = MemoryBackend(clock=clock)
        await backend.open()
        return backend


class TestOntoMemory(Conformance):
    harness = lambda: RemoteHarness(MemoryHarness())  # noqa: E731


@pytest.mark.parametrize("seed", range(3))
def test_answers_are_the_machines(seed: int) -> None:
    simulate(lambda: RemoteHarness(MemoryHarness()), steps=1000, seed=seed, reopen_every=300)
