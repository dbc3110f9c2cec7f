"""Opening, closing, dropping, and callers that are cancelled meanwhile."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import warnings
from pathlib import Path

import pytest

from supersoniq.backends.sqlite import SqliteBackend
from supersoniq.core import ops
from supersoniq.core.errors import (
    Closed,
)
from tests.backends.files import HI, run


def test_closed(tmp_path: Path) -> None:
    async def work() -> None:
        backend = SqliteBackend(tmp_path / "q.db")
        with pytest.raises(Closed):
            await backend.execute([ops.Queues()])
        await backend.close()
        await backend.open()
        await backend.open()
        await backend.close()
        with pytest.raises(Closed):
            await backend.execute([ops.Queues()])
        with pytest.raises(Closed):
            backend.listen("q", lambda: None)

    run(work())


def test_an_open_store_that_is_dropped_says_so(tmp_path: Path) -> None:
    async def work() -> None:
        backend = SqliteBackend(tmp_path / "q.db")
        await backend.open()
        thread, watchman = backend._thread, backend._watchman
        assert thread is not None
        assert watchman is not None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del backend
            gc.collect()
        # What others have left may have been collected as well.
        [told] = [warning for warning in caught if "SqliteBackend" in str(warning.message)]
        assert told.category is ResourceWarning
        thread.shutdown(wait=True)
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            watchman._reader.execute("SELECT 1")

    run(work())


def test_a_cancelled_caller_leaves_the_store_in_order(tmp_path: Path) -> None:
    """Cancelled at every step of the loop that it takes: done or not done, never half."""

    async def work() -> None:
        backend = SqliteBackend(tmp_path / "q.db", min_free=0, synchronous="normal")
        await backend.open()
        for steps in range(60):
            task = asyncio.ensure_future(backend.execute([ops.Publish("q", [HI])]))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await backend.execute([ops.Publish("q", [HI])])
        used = backend._store._connection
        assert used is not None
        assert not used.in_transaction
        [figures] = await backend.execute([ops.Stats("q")])
        assert figures.ready == figures.published
        await backend.close()

    run(work())


def test_closing_finishes_what_is_in_flight(tmp_path: Path) -> None:
    async def work() -> None:
        backend = SqliteBackend(tmp_path / "q.db", min_free=0)
        await backend.open()
        jobs = [asyncio.ensure_future(backend.execute([ops.Publish("q", [HI])])) for _ in range(20)]
        await asyncio.sleep(0)
        await backend.close()
        answers = await asyncio.gather(*jobs)
        assert len(answers) == 20
        await backend.open()
        [figures] = await backend.execute([ops.Stats("q")])
        assert figures.published == 20
        await backend.close()

    run(work())
