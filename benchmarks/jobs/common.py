"""What the scripts here have in common.

Each is run as a module, in a process of its own and in whatever environment its library needs, so
nothing of SupersoniQ is imported here. It is given a server's URL, how many jobs, and how many of
them at the same time. It publishes the jobs, then works them off, and prints one line of JSON: its
version, and jobs per second of either part.

Every peer gets what suits it: no results are kept, no progress is shown, nothing is logged, and
where it takes a while to see the first job or to end, that does not count.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version

__all__ = ["CONTENT", "Done", "in_parallel", "noop", "tell", "the_task"]

CONTENT = "x" * 256


def the_task() -> tuple[str, int, int]:
    """URL, jobs, jobs at the same time: from the command line."""
    logging.disable()
    return sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def noop(content: str) -> None:
    """The job, where it is no coroutine."""


class Done:
    """Notes when the last job was done.

    Args:
        count: of jobs.
    """

    def __init__(self, count: int) -> None:
        self.left = count
        self.all = asyncio.Event()
        self.at = 0.0

    def one(self) -> None:
        """One more is done."""
        self.left -= 1
        if not self.left:
            self.at = time.perf_counter()
            self.all.set()


async def in_parallel(call: Callable[[], Awaitable[object]], count: int, tasks: int) -> float:
    """Call something so often, from so many tasks; gives calls per second."""
    left = count

    async def one_of_them() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await call()

    started = time.perf_counter()
    await asyncio.gather(*(one_of_them() for _ in range(tasks)))
    return count / (time.perf_counter() - started)


def tell(packages: str, publish: float, consume: float) -> None:
    """Print what was measured."""
    versions = ", ".join(f"{name} {version(name)}" for name in packages.split())
    print(json.dumps({"version": versions, "publish": publish, "consume": consume}))
