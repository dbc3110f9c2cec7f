"""Commits that fail, bugs, and somebody who keeps the file locked."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from supersoniq.backends.sqlite import SqliteBackend
from supersoniq.core import ops
from supersoniq.core.errors import (
    BackendUnavailable,
    OutcomeUnknown,
    StorageFull,
)
from tests.backends.files import HI, run


def failing(error: sqlite3.Error, code: int) -> Callable[[sqlite3.Connection], None]:
    error.sqlite_errorcode = code

    def commit(used: sqlite3.Connection) -> None:
        raise error

    return commit


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (10 | 4 << 8, OutcomeUnknown),  # an I/O error while syncing
        (5, BackendUnavailable),
        (13, StorageFull),
        (8, BackendUnavailable),
    ],
)
def test_a_commit_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[Exception]
) -> None:
    async def work() -> None:
        backend = SqliteBackend(tmp_path / "q.db", min_free=0)
        await backend.open()
        await backend.execute([ops.Publish("q", [HI])])
        used = backend._store._connection
        with monkeypatch.context() as patch:
            patch.setattr(backend._store, "_commit", failing(sqlite3.OperationalError("!"), code))
            with pytest.raises(kind) as caught:
                await backend.execute([ops.Publish("q", [HI])])
            assert type(caught.value) is kind
        # After a failed sync the connection is not trusted any more.
        assert (backend._store._connection is used) is (kind is not OutcomeUnknown)
        [taken] = await backend.execute([ops.Take("q", 5)])
        assert len(taken.leases) == 1
        assert backend._store._connection is not None
        await backend.close()

    run(work())


def test_a_bug_rolls_back_and_the_next_batch_is_fine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        backend = SqliteBackend(tmp_path / "q.db", min_free=0)
        await backend.open()
        with monkeypatch.context() as patch:
            patch.setattr(backend._store._operations, "save", lambda: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                await backend.execute([ops.Publish("q", [HI])])
        assert await backend.execute([ops.Queues()]) == [[]]
        await backend.close()

    run(work())


def test_somebody_who_keeps_the_file_locked(tmp_path: Path) -> None:
    async def work() -> None:
        backend = SqliteBackend(tmp_path / "q.db", min_free=0, patience=0.2)
        await backend.open()
        foreign = sqlite3.connect(tmp_path / "q.db", isolation_level=None)
        foreign.execute("BEGIN IMMEDIATE")
        with pytest.raises(BackendUnavailable, match="another program"):
            await backend.execute([ops.Publish("q", [HI])])
        foreign.execute("COMMIT")
        foreign.close()
        await backend.execute([ops.Publish("q", [HI])])
        await backend.close()

    run(work())
