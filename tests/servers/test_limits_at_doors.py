"""Limits of each caller and of each address, at every door of a real server."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from supersoniq import Queue, RateLimited
from supersoniq.adapters import create_app
from supersoniq.api.broker import Broker
from supersoniq.backends.memory import MemoryBackend
from supersoniq.core.errors import InvalidSetting
from tests.auth import tokens
from tests.backends.served import House, tls
from tests.servers.doors import HTTP, SOCKETS, Doors, doors

BURST = 5
SLOW = {"auth": tokens.verifier(), "max_rate": 0.001, "max_burst": BURST}
"""What comes after the burst would come in a quarter of an hour: nothing here waits for that."""


def of(name: str) -> str:
    return tokens.good(sub=name)


async def at_http(all: Doors, door: str) -> None:
    at, anna, ben = all.http(door), of(f"anna-{door}"), of(f"ben-{door}")
    path = "/queues/q/messages"
    for _ in range(BURST):
        assert (await at.ask("POST", path, anna, {"content": "x"})).status == 201
    refused = await at.ask("POST", path, anna, {"content": "x"})
    assert refused.status == 429
    assert refused.json["code"] == "rate-limited"
    assert refused.json["retry"]
    after = refused.json["data"]["retry_after"]
    assert 0 < after <= 1000
    assert int(refused.fields["retry-after"]) == math.ceil(after)
    for method, other in (("GET", "/queues"), ("POST", "/queues/q/leases"), ("GET", path)):
        assert (await at.ask(method, other, anna)).status == 429, (door, method, other)
    messages = [{"content": "x"}] * BURST
    assert (await at.ask("POST", path, ben, messages)).status == 201  # nobody else notices
    assert (await at.ask("POST", path, ben, {"content": "x"})).status == 429
    settled = [{"receipt": "none", "outcome": "ack"}]
    assert (await at.ask("POST", "/queues/q/settlements", ben, settled)).status == 200


async def at_socket(all: Doors, door: str) -> None:
    number = SOCKETS.index(door)
    anna, ben = of(f"anna-ws-{number}"), of(f"ben-ws-{number}")
    async with all.socket(door, anna) as talk, all.socket(door, anna) as second:
        messages = [{"content": "x"}] * (BURST - 1)
        assert (await talk.ask("publish", queue="q", messages=messages))["type"] == "ok"
        assert (await second.ask("publish", queue="q", messages=[]))["type"] == "ok"
        more = [{"content": "x"}, {"content": "y"}]
        for each in (talk, second):  # connections are not callers
            problem = (await each.ask("publish", queue="q", messages=more))["problem"]
            assert (problem["code"], problem["retry"]) == ("rate-limited", True)
            assert problem["data"]["retry_after"] > 0
        assert (await talk.ask("ping"))["type"] == "ok"
        async with all.socket(door, ben) as other:
            assert (await other.ask("publish", queue="q", messages=messages))["type"] == "ok"


async def held(all: Doors, door: str) -> None:
    """What a subscription does by itself does not count."""
    number = SOCKETS.index(door)
    queue = all.house.broker.queue(f"held-{number}")
    await queue.configure()
    async with all.socket(door, of(f"carl-{number}")) as talk:
        for mode in ({"mode": "work", "credit": 1}, {"mode": "broadcast"}):
            answer = await talk.ask("subscribe", queue=queue.name, **mode)
            assert answer["type"] == "ok", answer
        for each in range(4 * BURST):
            await queue.publish(f"{each}")
            (message,) = (await talk.next("deliver"))["messages"]
            settled = {"receipt": message["receipt"], "outcome": "ack"}
            answer = await talk.ask("settle", queue=queue.name, settlements=[settled])
            assert answer["verdicts"] == [{"ok": True}]
    assert (await queue.stats()).acked == 4 * BURST


async def streamed(all: Doors, door: str) -> None:
    queue = all.house.broker.queue(f"streamed-{HTTP.index(door)}")
    await queue.configure()
    path, dora = f"/queues/{queue.name}/events", of(f"dora-{door}")
    async with all.http(door).stream(path, dora, accept="application/x-ndjson") as pipe:
        for each in range(4 * BURST):
            await queue.publish(f"number {each}!")
            await pipe.until(b"number %d!" % each)


def test_each_caller_at_every_door() -> None:
    async def main() -> None:
        async with doors(**SLOW) as all:
            await asyncio.gather(
                *(at_http(all, door) for door in HTTP),
                *(streamed(all, door) for door in HTTP),
                *(at_socket(all, door) for door in SOCKETS),
                *(held(all, door) for door in SOCKETS),
            )

    asyncio.run(main())


@pytest.mark.parametrize("door", [*HTTP, *SOCKETS])
def test_addresses_that_fail_too_often(door: str) -> None:
    """They wait; who was let in just now goes on from there."""

    async def main() -> None:
        async with doors(auth=tokens.verifier(), max_failures=6) as all:

            async def asked(token: str) -> int:
                if door in HTTP:
                    return (await all.http(door).ask("GET", "/queues", token)).status
                return await all.knock(door, token)

            assert await asked(of("anna")) in (101, 200)
            got = [await asked(f"a.b.c{number}") for number in range(4)]
            assert got == [401, 401, 429, 429]
            assert await asked(of("anna")) in (101, 200)
            assert await asked(of("ben")) == 429  # nobody has seen that one yet

    asyncio.run(main())


async def endless(queue: Queue) -> None:
    for number in range(1000):
        await queue.publish(f"{number}")


@pytest.mark.parametrize("door", ["1.1", "2", "3", "ws"])
def test_the_python_client(door: str) -> None:
    """A publisher is told; a consumer waits."""

    async def main() -> None:
        limits: dict[str, Any] = {"max_rate": 10.0, "max_burst": 4}
        secure: dict[str, Any] = {"certificate": tls()[1]} if door == "3" else {}
        async with House(MemoryBackend(), auth=tokens.verifier(), **limits, **secure) as house:
            options = {"ca": tls()[0]} if door == "3" else {}
            async with Broker(house.connect(door, token=of("anna"), **options)) as broker:
                queue = broker.queue("q")
                with pytest.raises(RateLimited) as refused:
                    await endless(queue)
                assert 0 < refused.value.retry_after < 1
                here = house.broker.queue("q")
                ready = (await here.stats()).ready
                assert 0 < ready < 1000
                for _ in range(ready):
                    delivery = await queue.get()  # with pauses
                    assert delivery is not None
                    await delivery.ack()
                assert (await here.stats()).acked == ready

    asyncio.run(main())


def test_bytes_of_content() -> None:
    async def main() -> None:
        async with doors(auth=tokens.verifier(), max_throughput=1.0) as all:
            ask, path = all.plain.http1.ask, "/queues/q/messages"
            assert (await ask("POST", path, of("anna"), {"content": "x" * 100})).status == 201
            assert (await ask("POST", path, of("anna"), {"content": "x"})).status == 429
            assert (await ask("POST", path, of("anna"), {"content": ""})).status == 201
            assert (await ask("POST", path, of("ben"), {"content": "x" * 9})).status == 201

    asyncio.run(main())


@pytest.mark.parametrize(
    "options",
    [
        {"max_rate": 0},
        {"max_rate": -1.0},
        {"max_rate": float("nan")},
        {"max_rate": True},
        {"max_rate": "10"},
        {"max_rate": 1.0, "max_burst": 0},
        {"max_throughput": 0},
        {"max_failures": None},
        {"max_failures": 0},
    ],
)
def test_limits_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting):
        create_app(Broker(MemoryBackend()), auth=tokens.verifier(), **options)


def test_limits_of_callers_take_tokens() -> None:
    for options in ({"max_rate": 5.0}, {"max_throughput": 5.0}):
        with pytest.raises(InvalidSetting, match="auth"):
            create_app(Broker(MemoryBackend()), **options)  # type: ignore[arg-type]
