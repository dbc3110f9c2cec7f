"""Stores to move a queue between, and a mover that is killed again and again."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from itertools import count

import supersoniq
from supersoniq.core.errors import QueueNotFound
from tests.backends.redis_server import shared, store_prefix
from tests.cli.shell import Shell
from tests.moving import drain

STORES = ("memory", "sqlite", "redis")
FILLER = os.urandom(60_000)
BATCH = 4 * 2**20 // len(FILLER)
"""Messages with such a content that the mover takes at once."""
_files = count()


@contextmanager
def store(shell: Shell, kind: str) -> Iterator[str]:
    """The URL of an empty store.

    Memory is that of a server, which is reached over HTTP, or over a WebSocket for "ws".
    """
    if kind in ("memory", "ws"):
        server = shell.start("serve", "--backend", "memory://", "--port", "0")
        assert server.stdout is not None
        url: str = json.loads(server.stdout.readline())["url"]
        yield url if kind == "memory" else url.replace("http", "ws", 1)
        shell.end(server)
    elif kind == "sqlite":
        yield f"sqlite:///{shell.folder}/{next(_files)}.db"
    else:
        yield f"{shared().url}?prefix={store_prefix()}"


async def move_and_kill(
    shell: Shell, source: str, target: str, kills: int, rng: random.Random
) -> None:
    """Move a queue by commands that are killed with SIGKILL, so many of them in the midst of it.

    A publisher goes on at the source meanwhile, and a consumer works at the target. Fails unless
    each message is delivered exactly once, and none by the source once one is at the target.
    """
    words = ("move", source, target, "--queue", "q", "--json")
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(supersoniq.connect(source))
        two = await stack.enter_async_context(supersoniq.connect(target))
        ids: list[str] = []
        done: list[str] = []
        arrived = killed = 0
        while killed < kills:
            if (await one.queue("q").stats()).ready < 5 * BATCH:
                for _ in range(5):
                    items = [FILLER + b"%d" % n for n in range(BATCH)]
                    ids += [each.id for each in await one.queue("q").publish_many(items)]
            # It dies once some more have arrived, or soon after it has begun.
            wanted = arrived + rng.randrange(3 * BATCH)
            process = shell.start(*words)
            while process.poll() is None:
                try:
                    arrived = (await two.queue("q").stats()).published
                except QueueNotFound:
                    arrived = 0
                if arrived > wanted or rng.random() < 0.0003:
                    process.kill()
                    killed += arrived < len(ids)
                    break
                await asyncio.sleep(rng.random() * 0.003)
            _, said = process.communicate()
            assert process.returncode in (0, -signal.SIGKILL), said
            if arrived:
                assert await drain(one) == [], "both deliver"
                done += await drain(two)
        last = await asyncio.to_thread(shell.run, *words)
        assert last.returncode == 0, last.stderr
        assert json.loads(last.stdout)["ending"] == "done"
        done += await drain(two)
        stats = await two.queue("q").stats()
        assert (await one.queue("q").stats()).ready == 0
    assert sorted(done) == sorted(ids), f"{len(ids)} moved, {len(done)} delivered"
    assert (stats.published, stats.acked) == (len(ids), len(ids))
