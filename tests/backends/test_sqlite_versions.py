"""Files of another version, of other programs, and what a migration may leave."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from supersoniq.backends.sqlite import SqliteBackend, schema
from supersoniq.core.errors import (
    BackendUnavailable,
    IncompatibleStore,
)
from tests.backends.files import fill, run, sql, store


def test_the_pragmas_took_effect(tmp_path: Path) -> None:
    async def work() -> None:
        for synchronous, level in (("full", 2), ("normal", 1)):
            backend = SqliteBackend(tmp_path / "q.db", synchronous=synchronous)  # type: ignore[arg-type]
            await backend.open()
            used = backend._store._connection
            assert used is not None
            assert used.execute("PRAGMA synchronous").fetchone() == (level,)
            assert used.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            await backend.close()
        assert sql(tmp_path / "q.db", "PRAGMA application_id") == [(schema.APPLICATION_ID,)]
        assert sql(tmp_path / "q.db", "PRAGMA user_version") == [(schema.VERSION,)]

    run(work())


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (f"PRAGMA user_version = {schema.VERSION + 1}", "upgrade"),
        ("PRAGMA application_id = 77", "not one of"),
        ("DELETE FROM store", "secret"),
    ],
)
def test_a_file_that_is_not_for_this_version(tmp_path: Path, damage: str, words: str) -> None:
    async def work() -> None:
        await fill(tmp_path / "q.db", "hi")
        sql(tmp_path / "q.db", damage)
        before = (tmp_path / "q.db").read_bytes()
        with pytest.raises(IncompatibleStore, match=words):
            await SqliteBackend(tmp_path / "q.db").open()
        assert (tmp_path / "q.db").read_bytes() == before

    run(work())


def test_somebody_elses_files(tmp_path: Path) -> None:
    async def work() -> None:
        sql(tmp_path / "theirs.db", "CREATE TABLE t (x)")
        (tmp_path / "text").write_text("no database at all\n" * 100)
        for name in ("theirs.db", "text"):
            before = (tmp_path / name).read_bytes()
            with pytest.raises(IncompatibleStore):
                await SqliteBackend(tmp_path / name).open()
            assert (tmp_path / name).read_bytes()[100:] == before[100:]

    run(work())


def test_a_migration_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        await fill(tmp_path / "q.db", "hi")
        steps = (*schema._STEPS, ("CREATE TABLE extra (x)", "INSERT INTO extra VALUES (1, 2)"))
        monkeypatch.setattr(schema, "_STEPS", steps)
        monkeypatch.setattr(schema, "VERSION", len(steps))
        with pytest.raises(BackendUnavailable):
            await SqliteBackend(tmp_path / "q.db").open()
        assert sql(tmp_path / "q.db", "PRAGMA user_version") == [(schema.VERSION - 1,)]
        assert sql(tmp_path / "q.db", "SELECT * FROM sqlite_master WHERE name = 'extra'") == []
        steps = (*steps[:-1], ("CREATE TABLE extra (x)", "INSERT INTO extra VALUES (1)"))
        monkeypatch.setattr(schema, "_STEPS", steps)
        async with store(tmp_path / "q.db") as broker:
            delivery = await broker.queue("q").get(wait=0)
            assert delivery is not None
            assert delivery.text() == "hi"
            await delivery.ack()
        assert sql(tmp_path / "q.db", "SELECT x FROM extra") == [(1,)]

    run(work())


def test_no_statement_numbers_its_parameters() -> None:
    """Python 3.12.0 to 3.12.3 warn of ``?1`` with a tuple (python/cpython#117995)."""
    for path in Path(schema.__file__).parent.glob("*.py"):
        assert not re.search(r"\?\d", path.read_text()), path
