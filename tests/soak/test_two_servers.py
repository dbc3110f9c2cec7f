"""Two servers on one Redis, with consumers that are killed all the time: they behave as one.

Six consumers, in processes of their own, work on one queue through two servers, half of them over
HTTP and half over WebSocket; two publishers fill it. Every second a consumer is killed and
replaced. The history of all that was called and answered must be one that a correct queue can have.
"""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

import supersoniq
from supersoniq.registry import find_backend
from supersoniq.testing.history import check, read
from supersoniq.testing.recorder import Recorder
from tests.backends.redis_server import RedisServer, needs_server, until
from tests.servers.program import running
from tests.soak import workers
from tests.soak.nursery import Nursery, Worker

pytestmark = needs_server


async def kill_consumers(urls: list[str], kills: int, pause: float) -> list[str]:
    """Kill a consumer that is at work, again and again; gives the history."""
    dice = random.Random(kills)
    nursery = Nursery()
    ways = [*urls, *(url.replace("http", "ws") for url in urls)]
    publishers = [nursery.fork("publish", url) for url in urls]
    consumers = [nursery.fork("consume", ways[n % len(ways)]) for n in range(6)]
    try:
        for _ in range(kills):
            await asyncio.sleep(pause)
            await until(lambda: at_work(nursery, consumers))
            doomed = dice.choice(at_work(nursery, consumers))
            nursery.kill(doomed)
            consumers.remove(doomed)
            consumers.append(nursery.fork(doomed.role, doomed.url))
    finally:
        everybody: list[Worker] = [*publishers, *consumers]
        for worker in everybody:
            nursery.kill(worker)
    return await asyncio.to_thread(nursery.close)


def at_work(nursery: Nursery, consumers: list[Worker]) -> list[Worker]:
    """Those that have got a message lately."""
    busy = {line["w"] for line in map(json.loads, nursery.lines[-200:]) if line.get("leases")}
    return [worker for worker in consumers if worker.name in busy]


async def drained(url: str, folder: Path) -> list[str]:
    history = folder / "drain"
    backend = find_backend(url)
    await backend.open()
    with history.open("w") as stream:
        await workers.drain(backend, Recorder(stream, "drain"))
    await backend.close()
    return history.read_text().splitlines()


async def behave_as_one(folder: Path, kills: int, pause: float) -> None:
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(RedisServer())
        servers = [
            await stack.enter_async_context(running(folder, store=redis.url)) for _ in range(2)
        ]
        urls = [server.said["url"] for server in servers]
        lines = await kill_consumers(urls, kills, pause)
        lines += await drained(urls[1], folder)
    (folder / "history").write_text("\n".join(line.strip() for line in lines))
    calls = read(lines)
    done = sum(call.outcome == "ok" for call in calls)
    cut = sum(call.outcome == "unknown" and call.op == "take" for call in calls)
    delivered = sum(len(call.answer.get("leases", ())) for call in calls)
    said = f"{kills} kills: {done} calls answered, {delivered} deliveries, {cut} takes cut short"
    print(said)
    findings = check(lines, slack=50)
    assert findings == [], "\n".join(map(str, findings[:20]))
    assert delivered > kills, said


def test_a_few_consumers_killed(tmp_path: Path) -> None:
    asyncio.run(behave_as_one(tmp_path, 8, 0.1))


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_a_consumer_killed_every_second_for_a_minute(tmp_path: Path) -> None:
    asyncio.run(behave_as_one(tmp_path, 60, 1.0))


def test_a_publish_through_one_reaches_those_who_wait_at_the_other(tmp_path: Path) -> None:
    """A consumer over HTTP, one over WebSocket, and who only watches."""

    async def watch(url: str, begun: asyncio.Event) -> list[str]:
        async with supersoniq.connect(url) as broker, broker.queue("news").watch() as events:
            begun.set()
            told = [(await anext(events)).message for _ in range(2)]
            return [message.text() for message in told if message is not None]

    async def consume(url: str) -> str:
        async with supersoniq.connect(url) as broker:
            delivery = await broker.queue("news").get(60)
            assert delivery is not None
            await delivery.ack()
            return delivery.text()

    async def main() -> None:
        async with AsyncExitStack() as stack:
            redis = stack.enter_context(RedisServer())
            one, other = [
                (await stack.enter_async_context(running(tmp_path, store=redis.url))).said["url"]
                for _ in range(2)
            ]
            watching = asyncio.Event()
            watcher = asyncio.create_task(watch(other, watching))
            waiting = [
                asyncio.create_task(consume(url)) for url in (other, other.replace("http", "ws"))
            ]
            await asyncio.wait_for(watching.wait(), 30)
            async with supersoniq.connect(one) as broker:
                for text in ("first", "second"):
                    await broker.queue("news").publish(text)
            async with asyncio.timeout(30):
                assert sorted(await asyncio.gather(*waiting)) == ["first", "second"]
                assert await watcher == ["first", "second"]

    asyncio.run(main())
