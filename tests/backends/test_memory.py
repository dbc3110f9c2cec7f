"""The memory backend through the public suite."""

from supersoniq.backends.memory import MemoryBackend
from supersoniq.clock import Clock
from supersoniq.port import Backend
from supersoniq.testing import Conformance, Harness


class MemoryHarness(Harness):
    medium = False  # bytes never leave the process

    async def backend(self, clock: Clock) -> Backend:
        backend = MemoryBackend(clock=clock)
        await backend.open()
        return backend


class TestMemory(Conformance):
    harness = MemoryHarness
