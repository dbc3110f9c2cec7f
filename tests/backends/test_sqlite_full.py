"""A disk that is full, or nearly."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from supersoniq import Queue
from supersoniq.backends.sqlite import connection
from supersoniq.core import ops
from supersoniq.core.errors import (
    StorageFull,
)
from tests.backends.files import HI, run, store


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
