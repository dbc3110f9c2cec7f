"""Imported ids are forgotten once they need not be known, though nothing is imported any more."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest

from supersoniq.backends.memory import MemoryBackend
from supersoniq.backends.redis import connect
from supersoniq.backends.sqlite import SqliteBackend
from supersoniq.core import ops
from supersoniq.core.imports import REMEMBERED
from supersoniq.core.messages import Message, prepare
from supersoniq.core.states import Status
from supersoniq.port import Backend
from supersoniq.testing import ManualClock
from tests.backends.redis_server import needs_server, shared, store_prefix


def memory(_: Path, clock: ManualClock) -> tuple[Backend, Callable[[], int]]:
    backend = MemoryBackend(clock=clock)
    return backend, lambda: len(backend._machine.queues["q"]._imports)


def sqlite(folder: Path, clock: ManualClock) -> tuple[Backend, Callable[[], int]]:
    path = folder / "store.db"

    def known() -> int:
        with closing(sqlite3.connect(path)) as file:
            return cast(int, file.execute("SELECT count(*) FROM imported").fetchone()[0])

    return SqliteBackend(path, clock=clock), known


def redis(_: Path, clock: ManualClock) -> tuple[Backend, Callable[[], int]]:
    prefix = store_prefix()

    def known() -> int:
        with shared().client() as client:
            names = [*client.scan_iter(f"{prefix}:*:imported")]
            others = [*client.scan_iter(f"{prefix}:*:imports")]
            assert len(names) == len(others)
            return sum(cast(int, client.hlen(name)) for name in names)

    return connect(shared().url, prefix=prefix, clock=clock), known


@pytest.mark.parametrize("made", [memory, sqlite, pytest.param(redis, marks=needs_server)])
def test_they_go_as_time_passes(
    made: Callable[[Path, ManualClock], tuple[Backend, Callable[[], int]]], tmp_path: Path
) -> None:
    async def main() -> None:
        clock = ManualClock()
        backend, known = made(tmp_path, clock)
        await backend.open()
        messages = [
            Message(
                id=f"0199e0f5-3b5c-7d2f-8a1e-5f0c6b7d8e{n:02}", queue="q", content=b"x",
                content_type="a/b", headers={}, sender=None, recipient=None, priority=n, key=None,
                created_at=0, available_at=0, expires_at=None, status=Status.READY, deliveries=0,
                reason=None,
            )
            for n in range(10, 14)
        ]  # fmt: skip
        await backend.execute([ops.Import("q", messages)])
        [taken] = await backend.execute([ops.Take("q", 3)])
        done = [ops.Settlement(lease, ops.Outcome.ACK) for lease in taken.leases]
        await backend.execute([ops.Settle("q", done)])
        assert known() == 4
        entry = prepare(b"later", delay=REMEMBERED / 1000)
        await backend.execute([ops.Publish("q", [entry])])
        clock.advance(ms=REMEMBERED)
        await backend.execute([ops.Take("q", recipient="nobody")])  # time catches up
        assert known() == 1, "that of the one that is there is still known"
        again = [
            ops.Import("q", messages[:1]),
            ops.Look("q", int(messages[0].id.replace("-", ""), 16)),
        ]
        [imported, seen] = await backend.execute(again)
        assert (imported.stored, seen.id) == (0, messages[0].id)
        await backend.close()

    asyncio.run(main())
