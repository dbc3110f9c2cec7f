"""Opening: which servers will do, how one says where they are, and what is refused at the door."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from supersoniq.backends.redis import RedisBackend, connect
from supersoniq.core import ops
from supersoniq.core.errors import (
    BackendUnavailable,
    IncompatibleStore,
    InvalidSetting,
    OutcomeUnknown,
    StorageFull,
)
from supersoniq.core.messages import prepare
from supersoniq.core.ops import Outcome, Settlement
from supersoniq.registry import schemes
from tests.backends.redis_server import RedisServer, needs_server, shared, store_prefix
from tests.ports import free_port

pytestmark = needs_server


def run(
    work: Callable[[RedisBackend], Awaitable[None]], url: str | None = None, **options: Any
) -> None:
    async def main() -> None:
        if url is None:
            options.setdefault("prefix", store_prefix())
        backend = connect(url or shared().url, **options)
        await backend.open()
        try:
            await work(backend)
        finally:
            await backend.close()

    asyncio.run(main())


async def nothing(backend: RedisBackend) -> None:
    pass


async def works(backend: RedisBackend) -> None:
    [[published]] = await backend.execute([ops.Publish("q", [prepare(b"x")])])
    assert published.durability == backend.capabilities.durability


def refused(url: str, **options: Any) -> str:
    with pytest.raises(BackendUnavailable) as caught:
        run(nothing, url, **options)
    assert type(caught.value) is BackendUnavailable
    return str(caught.value)


# Addresses and options.


@pytest.mark.parametrize(
    ("url", "options", "field"),
    [
        ("redis://localhost:0", {}, "url"),
        ("redis://localhost:99999", {}, "url"),
        ("redis://localhost#x", {}, "url"),
        ("redis://localhost/x", {}, "db"),
        ("redis://localhost/1?db=2", {}, "db"),
        ("redis://localhost?db=-1", {}, "db"),
        ("redis://localhost", {"db": True}, "db"),
        ("redis://u:p@localhost", {"password": "other"}, "password"),
        ("redis://localhost?password=a", {"password": "b"}, "password"),
        ("redis://localhost", {"colour": "red"}, "colour"),
        ("redis://localhost?ca=/etc/passwd", {}, "ca"),
        ("rediss://localhost?ca=/no/such/file", {}, "ca"),
        ("redis://localhost?prefix={x}", {}, "prefix"),
        ("redis://localhost", {"prefix": ""}, "prefix"),
        ("redis://localhost", {"patience": 0}, "patience"),
        ("redis://localhost?patience=nan", {}, "patience"),
        ("redis://localhost?min_replicas=-1", {}, "min_replicas"),
        ("redis://localhost?min_replicas=1.5", {}, "min_replicas"),
        ("redis://localhost?noeviction=perhaps", {}, "noeviction"),
        ("redis+unix://host/path", {}, "url"),
        ("redis+unix://", {}, "url"),
    ],
)
def test_what_cannot_be_is_refused_at_the_door(
    url: str, options: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidSetting) as caught:
        connect(url, **options)
    assert caught.value.setting == field


def test_no_error_shows_a_password() -> None:
    for url in ("redis://ann:sesame@localhost:0", "redis://ann:sesame@localhost#x"):
        with pytest.raises(InvalidSetting) as caught:
            connect(url)
        assert "sesame" not in str(caught.value)
    assert "sesame" not in repr(connect("redis://ann:sesame@localhost"))


def test_every_scheme_is_registered() -> None:
    assert {"redis", "rediss", "redis+unix"} <= set(schemes())


def test_without_its_library_it_says_how_to_install_it() -> None:
    program = (
        "import sys, supersoniq\n"
        "sys.modules['redis'] = None\n"
        "try: supersoniq.connect('redis://localhost')\n"
        "except supersoniq.MissingExtra as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "pip install 'supersoniq[redis]'" in done.stdout, done.stderr


def test_nobody_there() -> None:
    assert "127.0.0.1:1" in refused("redis://127.0.0.1:1")
    assert refused("redis+unix:///no/such/socket")


def test_passwords_users_and_databases() -> None:
    with RedisServer() as server:
        with server.client() as client:
            client.execute_command("ACL", "SETUSER", "ann", "on", ">p@ss", "~*", "&*", "+@all")
            client.config_set("requirepass", "sesame")
        problem = refused(server.url)
        assert "authenticat" in problem.lower()
        for wrong in ("wrong", "sesame2"):
            assert "sesame2" not in refused(server.url, password=wrong)
        run(works, server.url, password="sesame")
        run(works, server.url, username="ann", password="p@ss")
        run(works, f"redis+unix://ann:p%40ss@{server.socket}?db=3")
        for db in (0, 3):
            with server.client(password="sesame", db=db) as client:
                assert client.keys("supersoniq:*")


# What the server is like.


def test_a_server_that_throws_messages_away_is_refused() -> None:
    with RedisServer("--maxmemory-policy", "allkeys-lru") as server:
        problem = refused(server.url)
        assert "allkeys-lru" in problem
        assert "noeviction" in problem
        # Vouching does not help against the server's own word.
        assert "allkeys-lru" in refused(server.url, noeviction=True)
        with server.client() as client:
            client.config_set("maxmemory-policy", "noeviction")
        run(works, server.url)


def test_a_server_that_cannot_be_asked_must_be_vouched_for() -> None:
    with RedisServer() as server:
        with server.client() as client:
            rights = ["~*", "&*", "+@all", "-config"]
            client.execute_command("ACL", "SETUSER", "some", "on", ">x", *rights)
            client.execute_command("ACL", "SETUSER", "none", "on", ">x", *rights, "-info")
        run(works, server.url, username="some", password="x")  # INFO tells it, too.
        assert "noeviction=True" in refused(server.url, username="none", password="x")
        run(works, server.url, username="none", password="x", noeviction=True)


@pytest.mark.parametrize(
    ("settings", "durability"),
    [
        ([], "memory"),
        (["--save", "60 1"], "memory"),
        (["--appendonly", "yes", "--appendfsync", "everysec"], "os"),
        (["--appendonly", "yes", "--appendfsync", "always"], "disk"),
        (
            [
                "--appendonly",
                "yes",
                "--appendfsync",
                "always",
                "--no-appendfsync-on-rewrite",
                "yes",
            ],
            "os",
        ),
    ],
)
def test_the_durability_is_what_the_server_gives(settings: list[str], durability: str) -> None:
    async def check(backend: RedisBackend) -> None:
        assert backend.capabilities.durability == durability
        await works(backend)

    with RedisServer(*settings) as server:
        run(check, server.url)


def test_a_newer_layout_is_refused() -> None:
    prefix = store_prefix()
    run(works, prefix=prefix)
    with shared().client() as client:
        client.hset(f"{prefix}:store", "version", "2")
    with pytest.raises(IncompatibleStore, match="version 2"):
        run(nothing, prefix=prefix)


def test_stores_with_other_prefixes_are_others() -> None:
    async def empty(backend: RedisBackend) -> None:
        assert await backend.execute([ops.Queues()]) == [[]]

    run(works)
    run(empty)


# Memory that is used up.


def test_without_memory_publishes_are_refused_and_consumers_go_on() -> None:
    async def check(backend: RedisBackend) -> None:
        big = prepare(b"x" * 100_000)
        stored = 0
        while True:
            [answer] = await backend.execute([ops.Publish("q", [big])])
            if isinstance(answer, StorageFull):
                break
            stored += len(answer)
        assert "maxmemory" in str(answer)
        [fresh] = await backend.execute([ops.Publish("new", [big])])
        assert isinstance(fresh, StorageFull)
        assert await backend.execute([ops.Queues()]) == [["q"]]
        # All else goes on, in the same batch as well.
        answers = await backend.execute([ops.Publish("q", [big]), ops.Take("q", 10)])
        assert isinstance(answers[0], StorageFull)
        leases = answers[1].leases
        assert len(leases) == 10
        outcomes = [Outcome.EXTEND, Outcome.NACK, Outcome.REJECT, *[Outcome.ACK] * 7]
        settled = [Settlement(lease, o) for lease, o in zip(leases, outcomes, strict=True)]
        [verdicts] = await backend.execute([ops.Settle("q", settled)])
        assert isinstance(verdicts.pop(0), int)
        assert verdicts == [None] * 9
        [stats] = await backend.execute([ops.Stats("q")])
        assert (stats.published, stats.acked) == (stored, 7)
        [[again]] = await backend.execute([ops.Publish("q", [big])])
        assert not again.duplicate

    with RedisServer("--maxmemory", "8mb") as server:
        run(check, server.url)


# Replicas.


def test_replicas_are_waited_for() -> None:
    async def check(backend: RedisBackend) -> None:
        assert backend.capabilities.durability == "replicated"
        await works(backend)
        [taken] = await backend.execute([ops.Take("q")])
        ack = ops.Settle("q", [Settlement(taken.leases[0], Outcome.ACK)])
        assert await backend.execute([ack]) == [[None]]
        replica.kill()
        backend._exchange._replica_patience = backend._store._replica_patience = 0.3
        operations = [ops.Publish("q", [prepare(b"y")]), ops.Take("q"), ops.Stats("q")]
        published, taken, stats = await backend.execute(operations)
        # It is there, and says so, but one copy of it is all there is.
        assert isinstance(published, OutcomeUnknown)
        assert "0 of 1 replicas" in str(published)
        assert len(taken.leases) == 1
        assert stats.published == 2
        # Its number could be given out again after a failover.
        [refused] = await backend.execute([ops.Publish("new", [prepare(b"z")])])
        assert isinstance(refused, BackendUnavailable)
        assert "0 of 1 replicas" in str(refused)
        assert await backend.execute([ops.Queues()]) == [["q"]]

    with RedisServer(port=free_port()) as main:
        replica = RedisServer("--replicaof", "127.0.0.1", str(main.port))
        with replica:
            with main.client() as client:
                assert client.wait(1, 60_000) == 1
            options = {"min_replicas": 1, "replica_patience": 30}
            run(check, main.url, **options)
            replica.start()
            assert "replica" in refused(replica.url)
