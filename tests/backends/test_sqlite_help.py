"""What the SQLite tests share: a clock to move, and a store for one coroutine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from supersoniq.backends.sqlite import SqliteBackend
from supersoniq.clock import Clock
from supersoniq.core import ops
from supersoniq.core.errors import SupersoniqError
from supersoniq.core.messages import Entry, Lease, prepare

T = TypeVar("T")
START = 1_700_000_000_000


class Hand(Clock):
    """A clock that a test moves."""

    def __init__(self, at: int = START) -> None:
        self.at = at
        self.jumps: list[Callable[[], None]] = []

    def now(self) -> int:
        return self.at

    def subscribe(self, jumped: Callable[[], None]) -> Callable[[], None]:
        self.jumps.append(jumped)
        return lambda: self.jumps.remove(jumped)

    def move(self, by: int) -> None:
        self.at += by
        for jumped in list(self.jumps):
            jumped()


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


@asynccontextmanager
async def opened(path: Path, **options: Any) -> AsyncIterator[SqliteBackend]:
    backend = SqliteBackend(path, **options)
    await backend.open()
    try:
        yield backend
    finally:
        await backend.close()


async def do(backend: SqliteBackend, op: ops.AnyOp) -> Any:
    """Execute one operation and raise its error."""
    [result] = await backend.execute([op])
    if isinstance(result, SupersoniqError):
        raise result
    return result


def entry(content: Any = "x", **options: Any) -> Entry:
    return prepare(content, **options)


async def publish(backend: SqliteBackend, *contents: Any, queue: str = "q", **options: Any) -> Any:
    entries = [entry(content, **options) for content in contents]
    return await do(backend, ops.Publish(queue, entries))


async def take(backend: SqliteBackend, limit: int = 1, queue: str = "q", **how: Any) -> list[Lease]:
    taken = await do(backend, ops.Take(queue, limit, **how))
    assert isinstance(taken, ops.Taken)
    return taken.leases


async def settle(
    backend: SqliteBackend,
    receipt: Lease | str,
    outcome: ops.Outcome = ops.Outcome.ACK,
    queue: str = "q",
    **how: Any,
) -> Any:
    """Settle one lease and raise its error."""
    [verdict] = await do(backend, ops.Settle(queue, [ops.Settlement(receipt, outcome, **how)]))
    if isinstance(verdict, SupersoniqError):
        raise verdict
    return verdict


async def stats(backend: SqliteBackend, queue: str = "q") -> ops.QueueStats:
    found = await do(backend, ops.Stats(queue))
    assert isinstance(found, ops.QueueStats)
    return found
