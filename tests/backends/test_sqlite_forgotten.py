"""After a power loss that took the last commits, old receipts settle nothing that came since."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from supersoniq.backends.sqlite import SqliteBackend
from supersoniq.core import ops
from supersoniq.core.errors import LeaseLost
from supersoniq.core.messages import Lease, prepare
from supersoniq.core.ops import Outcome, Settlement
from tests.backends.files import run


async def opened(path: Path) -> SqliteBackend:
    backend = SqliteBackend(path, min_free=0, synchronous="normal")
    await backend.open()
    return backend


async def do(backend: SqliteBackend, op: ops.AnyOp) -> Any:
    [answer] = await backend.execute([op])
    return answer


async def put_and_take(backend: SqliteBackend, content: bytes) -> Lease:
    await do(backend, ops.Publish("q", [prepare(content)]))
    taken = await do(backend, ops.Take("q", 10))
    lease: Lease = taken.leases[-1]
    assert lease.message().content == content
    return lease


@pytest.mark.parametrize("outcome", [Outcome.ACK, Outcome.REJECT])
@pytest.mark.parametrize("keep_done", [0, 60])
def test_a_receipt_of_what_was_forgotten(tmp_path: Path, outcome: Outcome, keep_done: int) -> None:
    async def work() -> None:
        backend = await opened(tmp_path / "q.db")
        await do(backend, ops.Configure("q", {"keep_done": keep_done}))
        await put_and_take(backend, b"kept")
        await backend.close()
        shutil.copy(tmp_path / "q.db", tmp_path / "synced.db")
        backend = await opened(tmp_path / "q.db")
        forgotten = (await put_and_take(backend, b"forgotten")).receipt
        await backend.close()
        await asyncio.sleep(0.005)  # made in another millisecond
        backend = await opened(tmp_path / "synced.db")
        other = await put_and_take(backend, b"other")
        settled = ops.Settle("q", [Settlement(forgotten, outcome)])
        [verdict] = await do(backend, settled)
        assert isinstance(verdict, LeaseLost)
        ack = ops.Settle("q", [Settlement(other.receipt, Outcome.ACK)])
        assert await do(backend, ack) == [None]
        await backend.close()

    run(work())
