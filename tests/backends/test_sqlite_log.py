"""The event log in the file: its bounds, its damage, and what an older file's log becomes."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from supersoniq.backends.sqlite import SqliteBackend, schema
from supersoniq.core import log, ops
from supersoniq.core.messages import Entry, Event, EventKind, prepare
from supersoniq.port import Result


async def do(backend: SqliteBackend, op: ops.AnyOp) -> Result:
    [answer] = await backend.execute([op])
    return answer


async def follow(backend: SqliteBackend, since: int | None) -> tuple[list[Event], int]:
    followed = await do(backend, ops.Follow("q", since))
    assert isinstance(followed, ops.Followed)
    return followed.events, followed.offset


def of_sizes(*sizes: int) -> Sequence[Entry]:
    return [prepare(b"x" * size) for size in sizes]


def told(events: Sequence[Event]) -> list[int | str]:
    """The sizes of the contents, or the kind of what has none."""
    return [len(event.message.content) if event.message else str(event.kind) for event in events]


async def opened(path: Path) -> SqliteBackend:
    backend = SqliteBackend(path, min_free=0, synchronous="normal")
    await backend.open()
    return backend


def kept(path: Path) -> list[int]:
    with sqlite3.connect(path) as other:
        rows = other.execute("SELECT size FROM events ORDER BY offset").fetchall()
    other.close()
    return [size for (size,) in rows]


@pytest.mark.parametrize(
    ("sizes", "end"),
    [
        ((10, 900), ["gap", 10, 900]),
        ((600, 300, 200), ["gap", 300, 200]),  # alone over the bounds
        ((1, 2000, 5), ["gap", 5]),
        ((5, 2000), ["gap", 2000]),  # the newest is kept whatever its size
    ],
)
def test_a_batch_drops_what_it_leaves_no_room_for(
    sizes: tuple[int, ...], end: list[int | str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "CAPACITY_BYTES", 1000)

    async def work() -> None:
        backend = await opened(tmp_path / "q.db")
        await do(backend, ops.Publish("q", of_sizes(1)))
        _, since = await follow(backend, None)
        await do(backend, ops.Publish("q", of_sizes(100)))
        await do(backend, ops.Publish("q", of_sizes(*sizes)))
        events, onwards = await follow(backend, since)
        assert told(events) == end
        assert kept(tmp_path / "q.db") == end[1:]
        assert await follow(backend, onwards) == ([], onwards)
        await backend.close()

    asyncio.run(work())


def test_sizes_that_have_rotted_stop_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "CAPACITY_BYTES", 1000)

    async def work() -> None:
        backend = await opened(tmp_path / "q.db")
        await do(backend, ops.Publish("q", of_sizes(1)))
        _, since = await follow(backend, None)
        await do(backend, ops.Publish("q", of_sizes(300, 300)))
        with sqlite3.connect(tmp_path / "q.db") as other:
            other.execute("UPDATE events SET size = 'large'")
        other.close()
        await do(backend, ops.Publish("q", of_sizes(700)))
        await do(backend, ops.Publish("q", of_sizes(200)))
        events, _ = await follow(backend, since)
        assert told(events) == ["gap", 700, 200]
        await backend.close()

    asyncio.run(work())


def test_the_log_of_an_older_file_is_not_carried_over_and_watchers_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "q.db"

    def made_by_version_1() -> tuple[int, int]:
        old = sqlite3.connect(path, isolation_level=None)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(schema, "_STEPS", schema._STEPS[:1])
            patch.setattr(schema, "VERSION", 1)
            schema.migrate(old)
        offset = log.first_offset(1_700_000_000_000) + 7
        watches = b'{"published":[9000000000000,1]}'
        old.execute(
            "INSERT INTO queues VALUES (1, 'q', '{}', '{}', 0, 0, 0, 0, NULL, 0, ?, ?, 1, ?)",
            (offset, offset, watches),
        )
        old.execute("INSERT INTO events VALUES (1, ?, 'published', 0, x'00')", (offset,))
        old.close()
        return offset - 1, offset

    async def work() -> None:
        earlier, newest = made_by_version_1()
        backend = await opened(path)
        await do(backend, ops.Publish("q", of_sizes(3)))
        events, _ = await follow(backend, newest)
        assert told(events) == [3]
        events, _ = await follow(backend, earlier)
        assert told(events) == ["gap", 3]
        assert events[0].kind is EventKind.GAP
        await backend.close()

    asyncio.run(work())
