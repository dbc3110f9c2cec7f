"""Where a store's files may live, who may read them, and which of them are left behind."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from supersoniq.backends.sqlite import SqliteBackend, connection
from supersoniq.core.errors import (
    BackendUnavailable,
)
from tests.backends.files import run, store


def test_places_where_no_file_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        with pytest.raises(BackendUnavailable, match="does not exist"):
            await SqliteBackend(tmp_path / "none" / "q.db").open()
        backend = SqliteBackend(tmp_path / "later")
        (tmp_path / "later").mkdir()
        with pytest.raises(BackendUnavailable, match="directory"):
            await backend.open()
        monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith("q.db"))
        (tmp_path / "q.db").touch()
        with pytest.raises(BackendUnavailable, match="readable and writable"):
            await SqliteBackend(tmp_path / "q.db").open()
        monkeypatch.setattr(os, "access", lambda path, mode: False)
        with pytest.raises(BackendUnavailable, match="not writable"):
            await SqliteBackend(tmp_path / "q.db").open()

    run(work())


def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert connection._file_system("/proc") == "proc"
    monkeypatch.setattr(connection, "_file_system", lambda folder: "nfs4")

    async def work() -> None:
        with pytest.raises(BackendUnavailable, match="nfs4"):
            await SqliteBackend(tmp_path / "q.db").open()

    run(work())
    assert os.listdir(tmp_path) == []


def test_what_is_made_is_for_this_user_alone(tmp_path: Path) -> None:
    async def work() -> None:
        old = os.umask(0)
        try:
            async with store(tmp_path / "q.db") as broker:
                await broker.queue("q").publish("hi")
                ear = broker.backend.listen("q", lambda: None)
                modes = {
                    name: stat.S_IMODE(os.stat(tmp_path / name).st_mode)
                    for name in os.listdir(tmp_path)
                }
                ear()
        finally:
            os.umask(old)
        files = ("q.db", "q.db-wal", "q.db-shm", "q.db-lock")
        assert modes == {**dict.fromkeys(files, 0o600), "q.db-wake": 0o700}

    run(work())


def test_the_last_to_close_leaves_no_log(tmp_path: Path) -> None:
    async def work() -> None:
        one, two = store(tmp_path / "q.db"), store(tmp_path / "q.db")
        await one.open()
        await two.open()
        await one.queue("q").publish("hi")
        await one.close()
        assert (tmp_path / "q.db-wal").exists()
        await two.close()
        await two.close()
        assert set(os.listdir(tmp_path)) == {"q.db", "q.db-lock"}

    run(work())
