"""A server that is killed while everybody works: what it answered is there when it is back."""

from __future__ import annotations

import asyncio
import random

from supersoniq.backends.redis import connect
from tests.backends.redis_server import RedisServer, needs_server, until
from tests.backends.redis_work import contents, keep_busy

pytestmark = needs_server


async def kill_and_see(cycles: int) -> None:
    """With an append-only file that is always synced, what was answered is there afterwards."""
    settings = ["--appendonly", "yes", "--appendfsync", "always"]
    stored, acked, perhaps = set[bytes](), set[bytes](), set[bytes]()
    with RedisServer(*settings) as server:
        for cycle in range(cycles):
            backend = connect(server.url)
            await backend.open()
            assert backend.capabilities.durability == "disk"
            tasks = [
                asyncio.create_task(keep_busy(backend, f"{cycle}-{k}", stored, acked, perhaps))
                for k in range(8)
            ]
            enough = len(acked) + random.Random(cycle).randrange(10, 100)
            await until(lambda: len(acked) >= enough)  # noqa: B023  # awaited here and now
            server.kill()
            await asyncio.gather(*tasks)
            await backend.close()
            server.start()
            backend = connect(server.url)
            await backend.open()
            held = set(await contents(backend))
            assert stored - acked - perhaps <= held, "lost"
            assert not held & acked, "came back"
            await backend.close()


def test_a_server_killed_at_work_loses_nothing_that_it_answered() -> None:
    asyncio.run(kill_and_see(3))
