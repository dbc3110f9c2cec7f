"""The file: its modes, its versions, its damage, its limits, and who may open it."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import sqlite3
import stat
import subprocess
import warnings
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from supersoniq import Draft, Queue, connect
from supersoniq.api.broker import Broker
from supersoniq.backends.sqlite import SqliteBackend, connection, schema
from supersoniq.backends.sqlite import connect as factory
from supersoniq.core import ops
from supersoniq.core.errors import (
    BackendUnavailable,
    Closed,
    IncompatibleStore,
    InvalidSetting,
    OutcomeUnknown,
    StorageFull,
)
from supersoniq.core.messages import prepare
from supersoniq.core.states import Status

HI = prepare("hi")


def store(path: Path, **options: Any) -> Broker:
    return Broker(SqliteBackend(path, **{"min_free": 0, **options}))


async def fill(path: Path, *contents: Any) -> None:
    async with store(path) as broker:
        await broker.queue("q").publish_many(contents)


def sql(path: Path, statement: str, *values: Any) -> list[Any]:
    other = sqlite3.connect(path)
    try:
        with other:
            return other.execute(statement, values).fetchall()
    finally:
        other.close()


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


# URLs and options.


def test_urls() -> None:
    assert factory("sqlite:///a/b.db").path == os.path.realpath("a/b.db")
    assert factory("sqlite:////a/b.db").path == "/a/b.db"
    assert factory("sqlite:///a%20b.db").path == os.path.realpath("a b.db")
    assert factory("sqlite:///a.db?synchronous=normal").capabilities.durability == "os"
    assert factory("sqlite:///a.db", synchronous="normal").capabilities.durability == "os"
    assert factory("sqlite:///a.db").capabilities.durability == "disk"
    factory("sqlite:///a.db?min_free=5&patience=1.5")


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:",
        "sqlite://",
        "sqlite:///",
        "sqlite:////",
        "sqlite://host/a.db",
        "sqlite:///:memory:",
        "sqlite:///a.db?unknown=1",
        "sqlite:///a.db?synchronous=off",
        "sqlite:///a.db?patience=soon",
        "sqlite:///a.db?patience=-1",
        "sqlite:///a.db?patience=nan",
        "sqlite:///a.db?min_free=1.5",
        "sqlite:///a.db?min_free=-1",
        "sqlite:///a.db?min_free=1&min_free=2",
        "sqlite:///a%00.db",
        "sqlite:////tmp",
        "sqlite:///a.db#part",
        "redis:///a.db",
    ],
)
def test_urls_that_cannot_be(url: str) -> None:
    with pytest.raises(InvalidSetting):
        factory(url)


def test_an_unknown_option_by_keyword() -> None:
    with pytest.raises(InvalidSetting, match="journal"):
        factory("sqlite:///a.db", journal="off")


def test_it_is_found_by_its_scheme(tmp_path: Path) -> None:
    async def work() -> None:
        async with connect(f"sqlite:///{tmp_path}/q.db", min_free=0) as broker:
            published = await broker.queue().publish("hi")
        assert published.durability == "disk"

    run(work())


# Places.


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


# Versions.


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


# Damage. Single flipped contents are the public suite's.

WRECKS = [
    "UPDATE messages SET content = 'now a text' WHERE id & 7 = 2",
    "UPDATE messages SET content = CAST(x'ff00' AS TEXT) WHERE id & 7 = 2",
    "UPDATE messages SET details = x'ff' WHERE id & 7 = 2",
    "UPDATE messages SET checksum = 'x' WHERE id & 7 = 2",
    "UPDATE messages SET content = CAST('one' AS BLOB) WHERE id & 7 = 2",
    "DELETE FROM messages WHERE id & 7 = 2",
    "UPDATE ready SET past = x'00ff' WHERE sequence = 3",
]


@pytest.mark.parametrize("wreck", WRECKS)
def test_a_wrecked_row_stops_nobody(tmp_path: Path, wreck: str) -> None:
    async def work() -> None:
        await fill(tmp_path / "q.db", "one", "two", "three")
        sql(tmp_path / "q.db", wreck)
        async with store(tmp_path / "q.db") as broker:
            queue = broker.queue("q")
            await queue.browse()
            found = [delivery.text() for delivery in await queue.get_many(5, wait=0)]
            if "past" in wreck:
                assert found == ["one", "two", "three"]
                return
            assert found == ["one", "three"]
            figures = await queue.stats()
            assert (figures.corrupt, figures.dead, figures.leased) == (1, 1, 2)
            [dead] = await queue.browse(status=Status.DEAD)
            assert dead.reason == "corrupt"
            assert await queue.redrive() == 1
            assert await queue.get(wait=0) is None
            assert await queue.purge(Status.DEAD) == 1

    run(work())


def test_flipped_bits_are_never_delivered(tmp_path: Path) -> None:
    """Anywhere in the file: what comes is what was published, or an error of ours."""
    contents = {b"%03d" % n + bytes(range(60)) for n in range(60)}

    async def work() -> None:
        await fill(tmp_path / "q.db", *contents)
        whole = (tmp_path / "q.db").read_bytes()
        damage = random.Random(5)
        for n in range(60):
            path = tmp_path / f"{n}.db"
            place = damage.randrange(100, len(whole))
            rotten = bytearray(whole)
            rotten[place] ^= 1 << damage.randrange(8)
            path.write_bytes(rotten)
            backend = SqliteBackend(path, min_free=0, synchronous="normal")
            try:
                await backend.open()
                [taken] = await backend.execute([ops.Take("q", 100)])
                await backend.execute([ops.Browse("q"), ops.Redrive("q"), ops.Purge("q")])
                if isinstance(taken, ops.Taken):
                    assert {lease.message().content for lease in taken.leases} <= contents
            except BackendUnavailable:
                pass
            await backend.close()

    run(work())


@pytest.mark.parametrize(
    "wreck",
    [
        "UPDATE parked SET status = 'deae'",
        "UPDATE queues SET next = 'soon'",
        "UPDATE ready SET rank = 'first'",
    ],
)
def test_rotten_numbers_are_an_error_of_ours(tmp_path: Path, wreck: str) -> None:
    async def work() -> None:
        async with store(tmp_path / "q.db") as broker:
            queue = broker.queue("q")
            await queue.publish_many(["one", Draft("two", delay=60)])
        sql(tmp_path / "q.db", wreck)
        async with store(tmp_path / "q.db") as broker:
            if "parked" in wreck:
                assert len(await broker.queue("q").browse()) == 2
            else:
                with pytest.raises(BackendUnavailable, match="damaged"):
                    await broker.queue("q").get(wait=0)

    run(work())


def test_a_damaged_queue_row_harms_no_other_queue(tmp_path: Path) -> None:
    async def work() -> None:
        await fill(tmp_path / "q.db", "hi")
        sql(tmp_path / "q.db", "UPDATE queues SET tally = x'ff'")
        async with store(tmp_path / "q.db") as broker:
            batch = [ops.Publish("other", [HI]), ops.Take("q"), ops.Take("q"), ops.Stats("q")]
            stored, *refused = await broker.backend.execute(batch)
            assert stored[0].durability == "disk"
            assert [type(error) for error in refused] == [BackendUnavailable] * 3
            assert refused[0] is not refused[1]

    run(work())


def test_a_truncated_file_is_an_error_and_stays_as_it_is(tmp_path: Path) -> None:
    async def work() -> None:
        await fill(tmp_path / "q.db", *["x" * 3000] * 50)
        whole = (tmp_path / "q.db").read_bytes()
        (tmp_path / "q.db").write_bytes(whole[: len(whole) // 2])
        backend = SqliteBackend(tmp_path / "q.db")
        with pytest.raises(BackendUnavailable, match="damaged"):  # noqa: PT012  # either may tell
            await backend.open()
            await backend.execute([ops.Take("q", 100)])
        await backend.close()

    run(work())


# Limits.


def test_publishes_are_refused_at_the_floor_and_settlements_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        free = 1000
        monkeypatch.setattr(connection, "free_bytes", lambda folder: free)
        async with store(tmp_path / "q.db", min_free=500) as broker:
            queue = broker.queue("q")
            await queue.publish("hi")
            free = 499
            delivery = await queue.get(wait=0)
            assert delivery is not None
            one, two, three = await broker.backend.execute(
                [ops.Publish("q", [HI]), ops.Publish("new", [HI]), ops.Queues()]
            )
            assert (type(one), type(two), three) == (StorageFull, StorageFull, ["q"])
            await delivery.ack()
            free = 500
            await queue.publish("again")

    run(work())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    if mount("-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)):
        pytest.skip("cannot mount a tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def mount(*arguments: str) -> int:
    return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode


async def publish_until_full(queue: Queue) -> int:
    for stored in range(2000):
        try:
            await queue.publish("x" * 20_000)
        except StorageFull:
            return stored
    raise AssertionError("the disk never was full")


def test_a_full_disk_loses_nothing_and_heals(small_disk: Path) -> None:
    async def work() -> None:
        async with store(small_disk / "q.db") as broker:  # no reserve at all
            queue = broker.queue("q")
            stored = await publish_until_full(queue)
            assert stored > 300
            assert (await queue.stats()).ready == stored
            with pytest.raises(StorageFull):
                await queue.publish("x" * 200_000)
            mount("-o", "remount,size=32m", str(small_disk))
            await queue.publish("there is room again")
            assert (await queue.stats()).ready == stored + 1
        async with store(small_disk / "q.db") as broker:
            assert (await broker.queue("q").stats()).ready == stored + 1

    run(work())


def test_a_full_disk_with_a_reserve_still_settles(small_disk: Path) -> None:
    async def work() -> None:
        async with store(small_disk / "q.db", min_free=9 << 20) as broker:
            queue = broker.queue("q", keep_done=60)
            stored = await publish_until_full(queue)
            assert stored > 50
            for delivery in await queue.get_many(stored, wait=0):
                await delivery.nack(delay=0, reason="the disk is full")
            for delivery in await queue.get_many(stored, wait=0):
                await delivery.ack()
            assert (await queue.stats()).done == stored

    run(work())


# Failures.


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


# Lifetimes.


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
        thread = backend._thread
        assert thread is not None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del backend
            gc.collect()
        assert [warning.category for warning in caught] == [ResourceWarning]
        thread.shutdown(wait=True)

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
