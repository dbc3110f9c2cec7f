"""Redis Cluster: queues spread over nodes, and slots that move while they are used."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from supersoniq.backends.redis import RedisBackend, connect
from supersoniq.clock import Clock
from supersoniq.core import ops
from supersoniq.core.errors import BackendUnavailable, InvalidSetting
from supersoniq.core.messages import prepare
from supersoniq.core.ops import Outcome, Settlement
from supersoniq.port import Backend
from supersoniq.testing import Harness, check
from tests.backends.redis_groups import RedisCluster
from tests.backends.redis_server import needs_server, store_prefix

pytestmark = needs_server


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    with RedisCluster(2) as made:
        yield made


def harness_on(cluster: RedisCluster) -> type[Harness]:
    class ClusterHarness(Harness):
        medium = False

        def __init__(self) -> None:
            self._prefix = store_prefix()

        async def backend(self, clock: Clock) -> Backend:
            backend = connect(cluster.url, prefix=self._prefix, clock=clock)
            await backend.open()
            return backend

    return ClusterHarness


def test_a_cluster_is_a_store_like_any_other(cluster: RedisCluster) -> None:
    wanted = ["g01", "g06", "g08", "g09", "import"]
    report = asyncio.run(check(harness_on(cluster), wanted))
    assert report.ok, report
    assert len(report.passed) > 30


def test_queues_are_spread_over_the_nodes(cluster: RedisCluster) -> None:
    async def main() -> None:
        prefix = store_prefix()
        backend = connect(cluster.url, prefix=prefix)
        await backend.open()
        names = [f"q{n}" for n in range(20)]
        batch = [ops.Publish(name, [prepare(name)]) for name in names]
        assert all(isinstance(answer, list) for answer in await backend.execute(batch))
        assert await backend.execute([ops.Queues()]) == [sorted(names)]
        taken = await backend.execute([ops.Take(name) for name in names])
        found = [each.leases[0].message().content.decode() for each in taken]
        assert found == names
        await backend.close()
        for node in cluster.masters:
            with node.client() as client:
                assert len(list(client.scan_iter(f"{prefix}:*:queue"))) > 3

    asyncio.run(main())


async def push_through(backend: RedisBackend, queue: str, moving: asyncio.Task[None]) -> int:
    """Publish and acknowledge while a slot moves: refused now and then, but never in doubt."""
    done = refused = 0
    while not moving.done() or done < 10:
        content = prepare(str(done))
        published, taken = await backend.execute([ops.Publish(queue, [content]), ops.Take(queue)])
        for answer in (published, taken):
            if isinstance(answer, Exception):
                assert isinstance(answer, BackendUnavailable), answer
                assert answer.retry
                refused += 1
        done += isinstance(published, list)
        leases = [] if isinstance(taken, Exception) else taken.leases
        settle = ops.Settle(queue, [Settlement(lease, Outcome.ACK) for lease in leases])
        while isinstance((await backend.execute([settle]))[0], BackendUnavailable):
            refused += 1
    assert refused < 100_000
    return done


async def move_slot(cluster: RedisCluster, times: int) -> int:
    """Move a queue's slot to and fro under load; gives how many messages went through."""
    backend = connect(cluster.url)
    await backend.open()
    source = cluster.master_of("moving")
    (target,) = (node for node in cluster.masters if node is not source)
    await backend.execute([ops.Publish("moving", [prepare(b"first", delay=10_000)])])
    whole = 0
    for _ in range(times):
        move = asyncio.to_thread(cluster.migrate, "moving", source, target)
        done = await push_through(backend, "moving", asyncio.create_task(move))
        assert done >= 10
        whole += done
        source, target = target, source
    [stats] = await backend.execute([ops.Stats("moving")])
    assert (stats.scheduled, stats.leased, stats.published) == (
        1,
        0,
        stats.acked + stats.ready + 1,
    )
    assert stats.published == whole + 1
    await backend.close()
    return whole


def test_a_slot_that_moves_under_load(cluster: RedisCluster) -> None:
    asyncio.run(move_slot(cluster, 2))


def test_one_node_alone_is_not_the_cluster(cluster: RedisCluster) -> None:
    async def main() -> None:
        backend = connect(cluster.masters[0].url)
        try:
            await backend.open()
            names = [f"q{n}" for n in range(10)]
            answers = await backend.execute([ops.Publish(n, [prepare(n)]) for n in names])
            problems = [str(answer) for answer in answers if isinstance(answer, Exception)]
        except BackendUnavailable as error:
            problems = [str(error)]
        assert problems
        assert all("redis+cluster://" in problem for problem in problems)
        await backend.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("url", "field"),
    [
        ("redis+cluster://localhost:7000/1", "db"),
        ("redis+cluster://localhost:7000?db=2", "db"),
        ("redis+cluster://localhost:x", "url"),
        ("redis+cluster://localhost?sentinel_password=x", "sentinel_password"),
        ("redis+sentinel://localhost", "url"),
        ("redis+sentinel://localhost/jobs/x", "db"),
        ("redis://one:1,two:2", "url"),
    ],
)
def test_addresses_that_cannot_be(url: str, field: str) -> None:
    with pytest.raises(InvalidSetting) as caught:
        connect(url)
    assert caught.value.setting == field
