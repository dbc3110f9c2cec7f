"""Many who share one server, at the same time: each message is finished by one of them."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

from supersoniq.backends.redis import RedisBackend, connect
from supersoniq.core import ops
from supersoniq.core.messages import prepare
from supersoniq.core.ops import Outcome, Settlement
from supersoniq.core.tally import conserved
from tests.backends.redis_server import needs_server, shared, store_prefix

pytestmark = needs_server

MESSAGES = 500
OUTCOMES = [Outcome.ACK] * 6 + [Outcome.NACK, Outcome.RELEASE, Outcome.EXTEND]


async def publish(backend: RedisBackend, name: str) -> None:
    for start in range(0, MESSAGES, 50):
        entries = [
            prepare(f"{name}-{n}", priority=n % 3, key=f"{name}-{n}", delay=0.01 * (n % 4 == 0))
            for n in range(start, start + 50)
        ]
        [published] = await backend.execute([ops.Publish("q", entries)])
        assert len(published) == 50


async def consume(backend: RedisBackend, finished: Counter[str], dice: random.Random) -> None:
    while finished.total() < 2 * MESSAGES:
        [taken] = await backend.execute([ops.Take("q", dice.randrange(1, 20), None, 200)])
        if not taken.leases:
            await asyncio.sleep(0.005)
            continue
        if dice.random() < 0.05:
            continue  # It dies with all it holds.
        settlements = [
            Settlement(lease, dice.choice(OUTCOMES), 0, None, 100) for lease in taken.leases
        ]
        [verdicts] = await backend.execute([ops.Settle("q", settlements)])
        for lease, settlement, verdict in zip(taken.leases, settlements, verdicts, strict=True):
            if settlement.outcome is Outcome.ACK and verdict is None:
                finished[lease.message().content.decode()] += 1


def test_each_message_is_finished_once() -> None:
    async def main() -> None:
        prefix = store_prefix()
        backends = [connect(shared().url, prefix=prefix) for _ in range(4)]
        for backend in backends:
            await backend.open()
        await backends[0].execute([ops.Configure("q", {"max_deliveries": 0})])
        finished = Counter[str]()
        async with asyncio.TaskGroup() as group:
            for n, backend in enumerate(backends):
                # Two publish the very same messages: their keys see to it that they are there once.
                group.create_task(publish(backend, f"p{n % 2}"))
                for k in range(3):
                    dice = random.Random(10 * n + k)
                    group.create_task(consume(backend, finished, dice))
        assert len(finished) == 2 * MESSAGES
        assert set(finished.values()) == {1}
        [stats] = await backends[0].execute([ops.Stats("q")])
        assert conserved(stats)
        assert (stats.published, stats.acked, stats.duplicates) == (2 * MESSAGES,) * 3
        assert stats.ready == stats.scheduled == stats.leased == stats.dead == 0
        for backend in backends:
            await backend.close()

    asyncio.run(main())
