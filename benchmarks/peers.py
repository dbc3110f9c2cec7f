"""What SupersoniQ is compared with, each used as its documentation says.

A peer that is not installed gives ``None`` from ``find``, and its rows say so.
"""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from benchmarks.harness import CONTENT

_Item = tuple[int, int, bytes]


def find(name: str) -> ModuleType | None:
    """An optional package."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


# asyncio.PriorityQueue: no lease, no ack, no receipt; gone with its process.


def priority_queue(count: int) -> float:
    """Two tasks pass messages through it; gives messages per second of CPU time."""
    return asyncio.run(_priority_queue(count))


async def _priority_queue(count: int) -> float:
    queue: asyncio.PriorityQueue[_Item] = asyncio.PriorityQueue()

    async def produce() -> None:
        for n in range(count):
            await queue.put((-(n & 3), n, CONTENT))

    async def consume() -> None:
        for _ in range(count):
            await queue.get()
            queue.task_done()

    started = time.process_time()
    await asyncio.gather(produce(), consume())
    return count / (time.process_time() - started)


async def fill_priority_queue(contents: Sequence[bytes]) -> asyncio.PriorityQueue[_Item]:
    """Put them all in."""
    queue: asyncio.PriorityQueue[_Item] = asyncio.PriorityQueue()
    for n, content in enumerate(contents):
        await queue.put((0, n, content))
    return queue
