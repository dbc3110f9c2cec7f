"""Redis for long: walks beside the machine, cut connections, killed servers."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from supersoniq.testing import check
from supersoniq.testing.simulate import simulate
from tests.backends.redis_groups import RedisCluster
from tests.backends.redis_server import needs_server
from tests.backends.test_memory import MemoryHarness
from tests.backends.test_redis_cluster import harness_on
from tests.backends.test_redis_conformance import RedisHarness
from tests.backends.test_redis_cuts import cut_and_see
from tests.backends.test_redis_kills import kill_and_see
from tests.backends.test_sqlite_conformance import SqliteHarness
from tests.soak.conftest import scaled

SEED = int(os.environ.get("SUPERSONIQ_TEST_SEED", "1"))
pytestmark = [needs_server, pytest.mark.soak, pytest.mark.timeout(0)]


def test_long_walks() -> None:
    for seed in range(SEED, SEED + 10):
        print(simulate(RedisHarness, scaled(10_000), seed))


def test_the_same_walks_on_every_store() -> None:
    """Each beside the machine, by the same seed: so all three gave the same answers."""
    for seed in range(SEED + 100, SEED + 103):
        for harness in (MemoryHarness, SqliteHarness, RedisHarness):
            print(harness.__name__, simulate(harness, scaled(5_000), seed, reopen_every=0))


def test_the_whole_suite_on_a_cluster() -> None:
    with RedisCluster(3) as cluster:
        report = asyncio.run(check(harness_on(cluster)))
    assert report.ok, report


def test_many_connections_cut_in_the_middle_of_commands() -> None:
    for seed in range(SEED, SEED + 4):
        asyncio.run(cut_and_see(scaled(1000), seed))


def test_many_kills() -> None:
    begun = time.monotonic()
    asyncio.run(kill_and_see(scaled(200)))
    print(f"{scaled(200)} kills in {time.monotonic() - begun:.0f} s")
