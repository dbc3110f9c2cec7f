"""Failovers of Redis under load, one after the other in the same group of servers.

What was acknowledged with ``min_replicas=1`` is there afterwards. Now a main server is killed, now
it hangs until another one has taken its place and then goes on as if nothing had been, with all
that clients had sent it. Each time it returns: now as the replica of its successor, now as the main
server that it was, to be put right by the others. Whoever uses the store goes on all the time.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from supersoniq.backends.redis import RedisBackend, connect
from supersoniq.backends.redis.work import base_of
from supersoniq.core import ops
from supersoniq.core.errors import BackendUnavailable, LeaseLost, OutcomeUnknown
from supersoniq.core.messages import Lease, prepare
from supersoniq.core.ops import Outcome, Settlement
from tests.backends.redis_groups import RedisCluster, SentinelTrio, wait
from tests.backends.redis_server import RedisServer, needs_server
from tests.backends.redis_work import contents
from tests.backends.test_redis_cluster import move_slot
from tests.soak.conftest import scaled

pytestmark = [needs_server, pytest.mark.soak, pytest.mark.timeout(0)]

QUEUES = ["q0", "q1", "q2", "q3"]
DURABLE = ("--appendonly", "yes")
"""Without a file of what it had, a main server that is back before anybody took its place is empty,
and its replicas empty themselves after it. Redis' own documents warn of that."""


@dataclass
class Account:
    """What was said to be done, and what may have been."""

    stored: set[bytes] = field(default_factory=set)
    acked: set[bytes] = field(default_factory=set)
    perhaps_acked: set[bytes] = field(default_factory=set)
    unknown: int = 0
    refused: int = 0


async def keep_on(backend: RedisBackend, queue: str, name: str, account: Account) -> None:
    """Publish, take and acknowledge, whatever happens, until cancelled."""
    n = 0
    while True:
        n += 1
        content = f"{queue}-{name}-{n}".encode()
        publish = ops.Publish(queue, [prepare(content)])
        published, taken = await backend.execute([publish, ops.Take(queue, 2)])
        if isinstance(published, BackendUnavailable):
            account.refused += 1
            await asyncio.sleep(0.02)
        elif isinstance(published, OutcomeUnknown):
            account.unknown += 1
        else:
            assert isinstance(published, list), published
            account.stored.add(content)
        if isinstance(taken, Exception):
            assert isinstance(taken, BackendUnavailable | OutcomeUnknown), taken
            continue
        for lease in taken.leases:
            await acknowledge(backend, queue, lease, account)


async def acknowledge(backend: RedisBackend, queue: str, lease: Lease, account: Account) -> None:
    body = lease.message().content
    settle = ops.Settle(queue, [Settlement(lease, Outcome.ACK)])
    try:
        [verdicts] = await backend.execute([settle])
    except asyncio.CancelledError:
        account.perhaps_acked.add(body)
        raise
    if isinstance(verdicts, OutcomeUnknown):
        account.unknown += 1
        account.perhaps_acked.add(body)
    elif isinstance(verdicts, BackendUnavailable):
        account.refused += 1
    elif not isinstance(verdicts[0], LeaseLost):  # Forgotten: somebody else has it, or will.
        assert verdicts == [None]
        account.acked.add(body)


async def make(backend: RedisBackend, queue: str, made: dict[str, str]) -> None:
    """Make a queue, whatever it takes."""
    while True:
        [published] = await backend.execute([ops.Publish(queue, [prepare(b"x")])])
        if isinstance(published, list):
            made[queue] = base_of(published[0].number)
            return
        assert isinstance(published, BackendUnavailable | OutcomeUnknown), published
        await asyncio.sleep(0.02)


async def more(account: Account) -> None:
    """Wait until work goes on."""
    enough = len(account.acked) + 40
    end = time.monotonic() + 120
    while len(account.acked) < enough:
        assert time.monotonic() < end, account
        await asyncio.sleep(0.01)


class Sentinels:
    """A trio."""

    ways = ("killed, back as a replica", "killed, back as it was", "frozen")

    def __init__(self, trio: SentinelTrio) -> None:
        self.url, self.settled = trio.url, trio.settled
        self.main: Callable[[str], RedisServer] = lambda queue: trio.main_now()


class Cluster:
    """Three and three."""

    ways = ("killed, back as it was", "frozen")

    def __init__(self, cluster: RedisCluster) -> None:
        self.url, self.settled, self.main = cluster.url, cluster.settled, cluster.main_of


async def fail_over(group: Sentinels | Cluster, times: int) -> None:
    """Again and again; what was acknowledged is looked for after each."""
    dice = random.Random(times)
    begun = time.monotonic()
    backend = connect(group.url, min_replicas=1, patience=2)
    await backend.open()
    account, made = Account(), dict[str, str]()
    for turn in range(times):
        queue, way = dice.choice(QUEUES), group.ways[turn % len(group.ways)]
        workers = [
            asyncio.create_task(keep_on(backend, each, f"{turn}-{n}", account))
            for each in QUEUES
            for n in range(2)
        ]
        await more(account)
        making = asyncio.create_task(make(backend, f"new{turn}", made))
        old = group.main(queue)
        old.freeze() if way == "frozen" else old.kill()
        await replaced(group, queue, old)
        if way == "frozen":
            old.thaw()
        elif way.endswith("replica"):
            old.start("--replicaof", "127.0.0.1", str(group.main(queue).port))
        else:
            old.start()
        await asyncio.to_thread(wait, group.settled, f"{way}, and it is no replica now")
        await more(account)
        await making
        for worker in workers:
            worker.cancel()
        for ended in await asyncio.gather(*workers, return_exceptions=True):
            assert isinstance(ended, asyncio.CancelledError), ended
        held = [content for each in QUEUES for content in await contents(backend, each)]
        lost = account.stored - account.acked - account.perhaps_acked - set(held)
        assert not lost, f"failover {turn}, {way}: {len(lost)} lost, such as {min(lost)!r}"
        back = account.acked & set(held)
        assert not back, f"failover {turn}, {way}: {len(back)} came back"
    [names] = await backend.execute([ops.Queues()])
    assert made.keys() <= set(names)
    assert len(set(made.values())) == times, "two queues have the same number"
    await backend.close()
    print(
        f"{times} failovers in {time.monotonic() - begun:.0f} s: {len(account.stored)} stored,"
        f" {len(account.acked)} acked, 0 lost; {account.unknown} calls unknown,"
        f" {account.refused} refused"
    )


async def replaced(group: Sentinels | Cluster, queue: str, old: RedisServer) -> None:
    """Wait until another server has taken its place."""

    def other() -> bool:
        now = group.main(queue)
        if now is old:
            return False
        with now.client() as client:
            return bool(client.info("replication")["role"] == "master")

    await asyncio.to_thread(wait, other, "nobody took over")


def test_sentinels_name_another_server() -> None:
    with SentinelTrio(*DURABLE) as trio:
        asyncio.run(fail_over(Sentinels(trio), scaled(50)))


def test_a_replica_takes_over_in_a_cluster() -> None:
    with RedisCluster(3, 1, *DURABLE) as cluster:
        asyncio.run(fail_over(Cluster(cluster), scaled(50)))


def test_slots_move_under_load() -> None:
    """Calls are refused now and then, in which case nothing was done; none is in doubt."""
    begun = time.monotonic()
    with RedisCluster(2) as cluster:
        messages = asyncio.run(move_slot(cluster, scaled(100)))
    print(f"{scaled(100)} moves, {messages} messages, {time.monotonic() - begun:.0f} s")
