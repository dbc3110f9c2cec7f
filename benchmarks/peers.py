"""What SupersoniQ is compared with, each used as its documentation says.

A peer that is not installed gives ``None`` from ``find``, and its rows say so.
"""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Sequence
from pathlib import Path
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


# One transaction for each call through aiosqlite: what one writes oneself on a first evening.

_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = {synchronous};
CREATE TABLE messages (
    id INTEGER PRIMARY KEY,
    priority INTEGER NOT NULL,
    content BLOB NOT NULL,
    deadline INTEGER,
    deliveries INTEGER NOT NULL DEFAULT 0);
CREATE INDEX ready ON messages (priority DESC, id) WHERE deadline IS NULL;
CREATE INDEX leased ON messages (deadline) WHERE deadline IS NOT NULL;
"""
_LEASE = """
UPDATE messages SET deadline = ?, deliveries = deliveries + 1 WHERE id = (
    SELECT id FROM messages WHERE deadline IS NULL ORDER BY priority DESC, id LIMIT 1)
RETURNING id, content, deliveries
"""
_LAPSE = "UPDATE messages SET deadline = NULL WHERE deadline <= ?"


class LeaseTable:
    """A queue with leases, each call one statement and so one transaction and one thread hop."""

    def __init__(self, module: ModuleType, path: Path, synchronous: str) -> None:
        self._connecting = module.connect(path, isolation_level=None)
        self._synchronous = synchronous
        self._lapse_at = 0

    async def __aenter__(self) -> LeaseTable:
        self._db: Any = await self._connecting
        await self._db.executescript(_SCHEMA.format(synchronous=self._synchronous))
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._db.close()

    async def fill(self, count: int) -> None:
        """Begin with so many messages."""
        rows = [(0, CONTENT)] * count
        await self._db.execute("BEGIN")
        await self._db.executemany("INSERT INTO messages (priority, content) VALUES (?, ?)", rows)
        await self._db.execute("COMMIT")

    async def round_trip(self) -> None:
        """Publish, lease, ack."""
        insert = "INSERT INTO messages (priority, content) VALUES (?, ?)"
        await self._db.execute_fetchall(insert, (0, CONTENT))
        now = int(time.time() * 1000)
        if now >= self._lapse_at:  # once a second will do
            self._lapse_at = now + 1000
            await self._db.execute_fetchall(_LAPSE, (now,))
        ((id_, _, deliveries),) = await self._db.execute_fetchall(_LEASE, (now + 30_000,))
        acked = "DELETE FROM messages WHERE id = ? AND deliveries = ?"
        await self._db.execute_fetchall(acked, (id_, deliveries))


def persist_queue(module: ModuleType, folder: Path, depth: int, seconds: float) -> float:
    """Put, get and ack of its ``SQLiteAckQueue`` by one caller; round trips per second."""
    queue = module.SQLiteAckQueue(str(folder), auto_commit=True)
    for _ in range(depth):
        queue.put(CONTENT)
    count, started = 0, time.perf_counter()
    while time.perf_counter() < started + seconds:
        queue.put(CONTENT)
        queue.ack(queue.get(block=False))
        count += 1
    rate = count / (time.perf_counter() - started)
    queue.close()
    return rate


def litequeue(module: ModuleType, path: Path, depth: int, seconds: float) -> float:
    """Put, pop and done by one caller; round trips per second. It takes text only."""
    queue = module.LiteQueue(str(path))
    text = CONTENT.decode()
    with queue.transaction():
        for _ in range(depth):
            queue.put(text)
    count, started = 0, time.perf_counter()
    while time.perf_counter() < started + seconds:
        queue.put(text)
        queue.done(queue.pop().message_id)
        count += 1
    rate = count / (time.perf_counter() - started)
    queue.close()
    return rate
