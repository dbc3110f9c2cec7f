"""How the suite gets at a store: the one thing that a backend's author fills in.

A harness *is* one store. The suite makes a harness, opens backends on it, and closes it; the next
check makes the next one. What the store can do is asked from ``Backend.capabilities``, and what
is claimed there is tested, never skipped: a ``lasting`` store is closed and opened again, a
``shared`` one is opened twice at once, and one that keeps its content on a medium (``medium``) must
let the suite damage that.

    class MyHarness(Harness):
        def __init__(self) -> None:
            self._folder = tempfile.TemporaryDirectory()

        async def backend(self, clock: Clock) -> Backend:
            backend = MyBackend(self._folder.name, clock=clock)
            await backend.open()
            return backend

        async def corrupt(self, queue: str, id: int) -> None:
            ...  # flip one bit of the stored content

        async def close(self) -> None:
            self._folder.cleanup()
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from supersoniq.clock import Clock
from supersoniq.port import Backend

__all__ = ["Harness", "HarnessFactory"]


class Harness(ABC):
    """One store, empty at first."""

    medium: bool = True
    """Whether content leaves the process's memory, so that it can rot: then ``corrupt`` is due."""
    patience: float = 5.0
    """Seconds within which whoever listens must be told of a change, at the latest."""

    @abstractmethod
    async def backend(self, clock: Clock) -> Backend:
        """Open a backend on this store, with that clock.

        Where the store is lasting, a later call opens the very same store again; where it is
        shared, two may be open at once. The suite closes what it opened.
        """

    async def corrupt(self, queue: str, id: int) -> None:
        """Flip one bit of the stored content of the message with that id's number.

        Called while a backend is open on the store, and between operations.
        """
        raise NotImplementedError(f"{type(self).__name__} says medium, but has no corrupt()")

    async def crash(self, backend: Backend) -> None:
        """Lose this backend as when its process dies: nothing is flushed or said goodbye to.

        Without it, the suite closes the backend instead, which proves less.
        """
        await backend.close()

    async def close(self) -> None:  # noqa: B027  # a store with nothing to clean up is no error
        """Remove the store. Every backend on it has been closed."""


HarnessFactory = Callable[[], Harness]
