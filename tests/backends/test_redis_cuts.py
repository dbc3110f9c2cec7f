"""Connections cut in the middle of commands and answers: what was said is so."""

from __future__ import annotations

import asyncio
import random

from supersoniq.backends.redis import RedisBackend, connect
from supersoniq.core import ops
from supersoniq.core.errors import BackendUnavailable, OutcomeUnknown
from supersoniq.core.messages import prepare
from supersoniq.core.ops import Outcome, Settlement
from tests.backends.cutting import Cutter
from tests.backends.redis_server import RedisServer, needs_server
from tests.backends.redis_work import contents, put
from tests.ports import free_port

pytestmark = needs_server


async def cut_and_see(cuts: int, seed: int) -> None:
    """Cut in the middle of commands and answers, and compare what was said with what is so."""
    dice = random.Random(seed)
    with RedisServer(port=free_port()) as server:
        async with Cutter(server.port) as cutter:
            backend = connect(cutter.url.replace("http:", "redis:"), patience=5)
            await backend.open()
            stored, perhaps, refused = set[bytes](), set[bytes](), set[bytes]()
            acked, perhaps_acked = set[bytes](), set[bytes]()
            await put(backend, b"whole")
            size = cutter.sent
            for n in range(cuts):
                if n % 2:
                    cutter.arm(up=dice.randrange(size))
                else:
                    cutter.arm(down=dice.randrange(60))
                batch = [b"%d-%d" % (n, k) for k in range(3)]
                entries = [prepare(content) for content in batch]
                [published] = await backend.execute([ops.Publish("q", entries)])
                where = (
                    refused
                    if isinstance(published, BackendUnavailable)
                    else perhaps
                    if isinstance(published, OutcomeUnknown)
                    else stored
                )
                where.update(batch)
                if n % 5 == 0:
                    await settle_one(backend, cutter, dice, acked, perhaps_acked)
            cutter.arm()
            assert cutter.cuts > cuts // 3
            there = await contents(backend)
            held = set(there)
            assert len(there) == len(held)
            assert not held & refused
            assert stored - acked - perhaps_acked <= held
            assert not held & acked
            for n in range(cuts):
                whole = {b"%d-%d" % (n, k) for k in range(3)} - acked - perhaps_acked
                if whole <= perhaps:
                    assert whole <= held or not whole & held, "half a batch"
            await backend.close()


async def settle_one(
    backend: RedisBackend,
    cutter: Cutter,
    dice: random.Random,
    acked: set[bytes],
    perhaps: set[bytes],
) -> None:
    cutter.arm()
    [taken] = await backend.execute([ops.Take("q", 1, None, 3_600_000)])
    if isinstance(taken, Exception) or not taken.leases:
        return
    [lease] = taken.leases
    if dice.random() < 0.5:
        cutter.arm(up=dice.randrange(400))
    else:
        cutter.arm(down=dice.randrange(60))
    content = lease.message().content
    [verdicts] = await backend.execute([ops.Settle("q", [Settlement(lease, Outcome.ACK)])])
    if isinstance(verdicts, OutcomeUnknown):
        perhaps.add(content)
    elif not isinstance(verdicts, BackendUnavailable):
        assert verdicts == [None]
        acked.add(content)


def test_connections_cut_in_the_middle_of_commands() -> None:
    asyncio.run(cut_and_see(150, 1))
