"""A file that has rotted: what comes is what was published, or an error of ours.

Single flipped contents are the public suite's.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from supersoniq import Draft
from supersoniq.backends.sqlite import SqliteBackend
from supersoniq.core import ops
from supersoniq.core.errors import (
    BackendUnavailable,
)
from supersoniq.core.states import Status
from tests.backends.files import HI, fill, run, sql, store

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
