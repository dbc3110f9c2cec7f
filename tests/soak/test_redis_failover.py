"""Failovers of Redis: what was acknowledged by a replica, too, is there afterwards."""

from __future__ import annotations

import asyncio

import pytest

from supersoniq.backends.redis import RedisBackend, connect
from supersoniq.core.errors import BackendUnavailable, OutcomeUnknown
from tests.backends.redis_groups import RedisCluster, SentinelTrio
from tests.backends.redis_server import RedisServer, needs_server, until
from tests.backends.redis_work import contents, keep_busy, put

pytestmark = [needs_server, pytest.mark.soak, pytest.mark.timeout(0)]


async def fail_over(url: str, kill: RedisServer) -> None:
    """Kill a main server under load, and see what its successor has."""
    backend = connect(url, min_replicas=1, patience=2)
    await backend.open()
    stored, acked, perhaps = set[bytes](), set[bytes](), set[bytes]()
    tasks = [
        asyncio.create_task(keep_busy(backend, str(k), stored, acked, perhaps)) for k in range(8)
    ]
    await until(lambda: len(acked) > 50)
    kill.kill()
    await asyncio.gather(*tasks)
    await comes_back(backend)
    held = set(await contents(backend))
    assert stored - acked - perhaps <= held, "lost"
    assert not held & acked, "came back"
    await backend.close()


async def comes_back(backend: RedisBackend) -> None:
    """Wait until calls are carried out again."""
    for _ in range(600):
        try:
            await put(backend, b"again")
        except BackendUnavailable:
            await asyncio.sleep(0.05)
        except OutcomeUnknown:
            return  # Done, but there is no second replica to wait for.
        else:
            return
    raise AssertionError("nobody took over")


def test_sentinels_name_another_server() -> None:
    with SentinelTrio() as trio:
        asyncio.run(fail_over(trio.url, trio.main))


def test_a_replica_takes_over_in_a_cluster() -> None:
    with RedisCluster(3, 1) as cluster:
        asyncio.run(fail_over(cluster.url, cluster.master_of("q")))
