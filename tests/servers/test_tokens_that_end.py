"""A token that expires during a long poll, a stream and a subscription, at every door.

Somebody publishes all the while, and writes into each message when that was. Nothing that was
published after the token's end is delivered to who has it, what a WebSocket held goes back, and
its connection is ended with a word on why.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import supersoniq
from supersoniq.auth import Issuer, Secret, Verifier
from tests.auth import tokens
from tests.servers.doors import HTTP, SOCKETS, Doors, doors

HOLDS = 5.0
"""Seconds, from before the first request."""


def token(seconds: float) -> tuple[str, float]:
    """A token and its end."""
    end = time.time() + seconds
    return tokens.good(exp=end, iat=int(time.time())), end


@asynccontextmanager
async def publishing(queue: supersoniq.Queue) -> AsyncIterator[None]:
    """Publish all the while, until well after the token's end."""

    async def work() -> None:
        while True:
            await queue.publish(f"at {time.time():.6f}")
            await asyncio.sleep(0.04)

    task = asyncio.ensure_future(work())
    try:
        yield
    finally:
        task.cancel()


def instants(text: str) -> list[float]:
    """When the messages in a text were published."""
    return [float(each) for each in re.findall(r"at (\d+\.\d+)", text)]


async def past(end: float) -> None:
    while (left := end - time.time()) >= 0:  # noqa: ASYNC110  # the world's clock, not the loop's
        await asyncio.sleep(max(left, 0.001))


async def polled(all: Doors, door: str) -> None:
    queue = all.house.broker.queue(f"poll-{HTTP.index(door)}")
    await queue.configure()
    given, end = token(HOLDS)
    path, body = f"/queues/{queue.name}/leases", {"limit": 10, "wait": 30}
    waiting = asyncio.ensure_future(all.http(door).ask("POST", path, given, body))
    await past(end)
    await queue.publish("too late")
    answer = await waiting
    assert answer.status == 401 or (answer.status, answer.json) == (200, [])
    late = await all.http(door).ask("POST", path, given, {"wait": 0})
    assert late.status == 401
    stats = await queue.stats()
    assert (stats.ready, stats.leased) == (1, 0)


async def streamed(all: Doors, door: str, kind: str) -> None:
    queue = all.house.broker.queue(f"stream-{HTTP.index(door)}-{kind[-3:]}")
    await queue.configure()
    given, end = token(HOLDS)
    path = f"/queues/{queue.name}/events"
    async with publishing(queue), all.http(door).stream(path, given, accept=kind) as pipe:
        await pipe.until(b"at 1")
        told = (await pipe.end()).decode()
        await past(end)
        assert instants(told), told
        assert max(instants(told)) < end
        again = await all.http(door).ask("GET", path, given, accept=kind)
        assert again.status == 401


async def subscribed(all: Doors, door: str) -> None:
    number = SOCKETS.index(door)
    jobs, news = (all.house.broker.queue(f"{what}-{number}") for what in ("jobs", "news"))
    await jobs.configure()
    await news.configure()
    given, end = token(HOLDS)
    async with publishing(jobs), publishing(news), all.socket(door, given) as talk:
        await talk.ask("subscribe", queue=jobs.name, mode="work", credit=1000)
        await talk.ask("subscribe", queue=news.name, mode="broadcast")
        await talk.next("deliver")
        await talk.next("event")
        heard = await talk.end()
        await past(end)
    byes = [frame for frame in heard if frame["type"] == "bye"]
    assert [(bye["code"], bye["reason"]) for bye in byes] == [(4401, "token-expired")]
    told = instants(json.dumps(heard))
    assert len(told) > 2
    assert max(told) < end
    async with asyncio.timeout(20):
        while (await jobs.stats()).leased:  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.01)
    stats = await jobs.stats()
    delivered = [frame for frame in heard if frame["type"] == "deliver"]
    assert stats.released >= sum(len(frame["messages"]) for frame in delivered) > 0
    assert stats.ready == stats.published
    assert await all.knock(door, given) == 401


async def renewed(all: Doors, door: str) -> None:
    """Who renews in time goes on, and keeps what it holds."""
    queue = all.house.broker.queue(f"renewed-{SOCKETS.index(door)}")
    await queue.publish("x")
    given, end = token(HOLDS)
    async with all.socket(door, given) as talk:
        await talk.ask("subscribe", queue=queue.name, mode="work", credit=10)
        (message,) = (await talk.next("deliver"))["messages"]
        foreign = await talk.ask("renew", token=tokens.good(exp=time.time() + 60, sub="ben"))
        assert foreign["problem"]["code"] in ("permission-denied", "authentication-failed")
        longer, _ = token(60)
        assert (await talk.ask("renew", token=longer))["type"] == "ok"
        await past(end)
        await queue.publish("y")
        await talk.next("deliver")
        settled = {"receipt": message["receipt"], "outcome": "ack"}
        answer = await talk.ask("settle", queue=queue.name, settlements=[settled])
        assert answer["verdicts"] == [{"ok": True}]


def test_nothing_is_delivered_after_the_end() -> None:
    """All at the same time: each waits for its token's end."""
    issuer = Issuer(Secret(tokens.SECRET), name=tokens.ISSUER, audience=tokens.AUDIENCE)

    async def main() -> None:
        async with doors(auth=Verifier(issuer), max_failures=1e9) as all:
            for clients in (all.plain, all.sockets):
                await clients.http2.one()
                await clients.http3.one()
            work = [polled(all, door) for door in HTTP]
            for kind in ("text/event-stream", "application/x-ndjson"):
                work += [streamed(all, door, kind) for door in HTTP]
            work += [subscribed(all, door) for door in SOCKETS]
            work += [renewed(all, door) for door in SOCKETS]
            await asyncio.gather(*work)

    asyncio.run(main())
