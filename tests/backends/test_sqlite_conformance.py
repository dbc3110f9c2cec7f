"""The SQLite backend through the public suite."""

import sqlite3
import tempfile
from pathlib import Path

from supersoniq.backends.sqlite import SqliteBackend
from supersoniq.clock import Clock
from supersoniq.port import Backend
from supersoniq.testing import Conformance, Harness


class SqliteHarness(Harness):
    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.path = Path(self._folder.name, "q.db")

    async def backend(self, clock: Clock) -> Backend:
        backend = SqliteBackend(self.path, clock=clock, synchronous="normal", min_free=0)
        await backend.open()
        return backend

    async def corrupt(self, queue: str, id: int) -> None:
        sequence = id & (1 << 40) - 1
        with sqlite3.connect(self.path) as other:
            row = "(SELECT number << 40 | ? FROM queues WHERE name = ?)"
            where = f"FROM messages WHERE id = {row}"
            [[content]] = other.execute(f"SELECT content {where}", (sequence, queue)).fetchall()
            rotten = bytes([content[0] ^ 4, *content[1:]]) if content else b"\0"
            other.execute(
                f"UPDATE messages SET content = ? WHERE id = {row}", (rotten, sequence, queue)
            )
        other.close()

    async def close(self) -> None:
        self._folder.cleanup()


class TestSqlite(Conformance):
    harness = SqliteHarness
