"""Figures that only a real server has: connections by protocol, and what became of pushes."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from h2.settings import SettingCodes

import supersoniq
from supersoniq.backends.memory import MemoryBackend
from supersoniq.observe.meter import Process
from tests.backends.served import DOORS, House, tls
from tests.servers.http2 import client, until

LINES = [(b"accept", b"application/x-ndjson")]


class Place:
    """Where a house is, for the HTTP/2 client."""

    def __init__(self, house: House) -> None:
        self.port = house.port
        self.secure = False


def figures(house: House) -> Process:
    meter = house.app.service.meter
    assert meter is not None
    return meter.process()


@pytest.mark.parametrize("door", DOORS)
def test_connections_by_door(door: str) -> None:
    async def main() -> None:
        async with House(MemoryBackend()) as house:
            assert set(figures(house).connections.values()) == {0}
            async with supersoniq.Broker(house.connect(door)) as broker:
                await broker.queue("q").publish("x")
                told = figures(house)
                protocol = "http/2" if door == "2" else "http/1.1"
                assert told.connections[protocol] >= 1
                assert sum(told.connections.values()) == told.connections[protocol]
                assert told.websockets == ({"http/1.1": 1} if door == "ws" else {})
            await until(lambda: not any(figures(house).connections.values()))
            await until(lambda: not any(figures(house).websockets.values()))

    asyncio.run(main())


def test_connections_over_http3() -> None:
    authority, certificate = tls()

    async def main() -> None:
        async with House(MemoryBackend(), certificate=certificate) as house:
            far = house.connect("3", ca=authority)
            async with supersoniq.Broker(far) as broker:
                await broker.queue("q").publish("x")
                assert figures(house).connections["http/3"] >= 1
                routes = {each.protocol for each in figures(house).requests}
                assert routes == {"http/3"}

    asyncio.run(main())


def test_a_scrape_counts_itself() -> None:
    async def main() -> None:
        async with House(MemoryBackend()) as house, httpx.AsyncClient() as http:
            text = (await http.get(f"{house.url}/metrics")).text
            assert 'supersoniq_connections{protocol="http/1.1"} 1.0\n' in text
            assert 'supersoniq_connections{protocol="http/2"} 0.0\n' in text

    asyncio.run(main())


@pytest.mark.parametrize(
    ("settings", "refuse", "wanted"),
    [
        ({}, frozenset[int](), {"taken": 5}),
        ({}, frozenset((1, 3)), {"refused": 2, "taken": 3}),
    ],
)
def test_pushes_by_result(
    settings: dict[int, int], refuse: frozenset[int], wanted: dict[str, int]
) -> None:
    async def main() -> None:
        async with House(MemoryBackend()) as house:
            queue = house.broker.queue("news")
            await queue.publish("old")
            async with client(Place(house), settings) as one:
                one.refuse = refuse
                number = one.request("/queues/news/events", fields=LINES)
                await until(lambda: one.answers[number].body)
                for each in range(5):
                    await queue.publish(each)
                await until(lambda: figures(house).pushes == wanted)

    asyncio.run(main())


def test_who_does_not_take_pushes_is_not_counted() -> None:
    async def main() -> None:
        async with House(MemoryBackend()) as house:
            queue = house.broker.queue("news")
            await queue.publish("old")
            off: dict[int, int] = {SettingCodes.ENABLE_PUSH: 0}
            async with client(Place(house), off) as one:
                number = one.request("/queues/news/events", fields=LINES)
                answer = one.answers[number]
                await until(lambda: answer.body)
                await queue.publish("new")
                await until(lambda: b'"new"' in answer.body)
                assert figures(house).pushes == {}

    asyncio.run(main())
