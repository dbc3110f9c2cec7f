"""What docs/redis.md says is so."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from supersoniq.backends.redis import RedisBackend, address, scripts
from supersoniq.backends.redis.backend import PATIENCE
from supersoniq.core import log, ops
from tests.backends.redis_server import RedisServer, needs_server
from tests.backends.test_redis_server import run, works

pytestmark = needs_server

PAGE = (Path(__file__).parents[2] / "docs" / "redis.md").read_text()


def test_every_scheme_and_option_is_there() -> None:
    for scheme in address.SCHEMES:
        assert f"`{scheme}://" in PAGE, scheme
    table = PAGE.partition("| option |")[2].partition("##")[0]
    known = {*address._PLACE, *address._SENTINEL, *address._TLS, *address._BACKEND} - {"clock"}
    cells = [row[: row.find("|", 2)] for row in table.splitlines()]
    told = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    assert told == known
    assert f"| `patience` | {PATIENCE:g} |" in PAGE


def test_every_key_is_there() -> None:
    keys = {*scripts.keys_of("supersoniq", "emails"), scripts.channel_of("supersoniq", "emails")}
    assert set(re.findall(r"`(supersoniq:\{emails\}:\w+)`", PAGE)) == keys
    assert f"the last {log.CAPACITY:,}, and at most {scripts.MOST_BYTES >> 20} MiB" in PAGE
    assert f"at most {scripts.STEPS:,} messages" in PAGE
    assert f"at most {scripts.WALK * 256:,}, each" in PAGE


def test_the_rights_it_names_are_enough() -> None:
    told = PAGE.partition("**A user of its own**")[2].partition("lets the durability")[0]
    rights = [right for part in re.findall(r"`([^`]*)`", told) for right in part.split()]
    with RedisServer() as server:
        with server.client() as client:
            client.execute_command("ACL", "SETUSER", "app", "on", ">secret", *rights)
        run(everything, server.url, username="app", password="secret")


async def everything(backend: RedisBackend) -> None:
    heard = asyncio.Event()
    stop = backend.listen("q", heard.set)
    await works(backend)
    await asyncio.wait_for(heard.wait(), 30)
    stop()
    batch: list[ops.AnyOp] = [ops.Take("q"), ops.Browse("q"), ops.Stats("q"), ops.Purge("q")]
    batch += [ops.Follow("q"), ops.Configure("q", {"lease": 5}), ops.Queues(), ops.Delete("q")]
    for op in batch:
        [answer] = await backend.execute([op])
        assert not isinstance(answer, Exception), answer
