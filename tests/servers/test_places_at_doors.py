"""How much a caller may hold open at the same time, at every door of a real server."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

import pytest

from supersoniq import BackendUnavailable, TooManyOpen
from supersoniq.adapters import create_app
from supersoniq.adapters.http.app import App
from supersoniq.api.broker import Broker
from supersoniq.backends.memory import MemoryBackend
from supersoniq.backends.sqlite import SqliteBackend
from supersoniq.core.errors import InvalidSetting
from tests.auth import tokens
from tests.backends.served import House
from tests.servers.doors import HTTP, SOCKETS, Answer, Doors, doors
from tests.servers.http2 import until

MOST = 2
LINES = "application/x-ndjson"


def few() -> AbstractAsyncContextManager[Doors]:
    return doors(auth=tokens.verifier(), max_open=MOST)


def of(name: str) -> str:
    return tokens.good(sub=name)


def open_now(app: App) -> dict[str, int]:
    assert app.service.holds is not None
    return app.service.holds._open


def refused(answer: Answer) -> bool:
    if answer.status != 429:
        return False
    assert answer.json["code"] == "too-many-open"
    assert answer.json["retry"]
    assert answer.json["data"]["limit"] == MOST
    assert answer.fields["retry-after"] == "1"
    return True


async def leased(all: Doors, door: str, token: str, wait: float) -> Answer:
    return await all.http(door).ask("POST", "/queues/q/leases", token, {"wait": wait})


@pytest.mark.parametrize("door", HTTP)
def test_streams_and_whatever_else_is_held(door: str) -> None:
    async def main() -> None:
        async with few() as all, AsyncExitStack() as stack:
            await all.house.broker.queue("q").configure()
            at, anna, ben = all.http(door), of("anna"), of("ben")
            events = "/queues/q/events"
            streams = [await stack.enter_async_context(at.stream(events, anna)) for _ in range(2)]
            for each in streams:
                await each.until(b"event: start")
            assert open_now(all.house.app) == {"anna": 2}

            assert refused(await at.ask("GET", events, anna))
            assert refused(await leased(all, door, anna, 0.01))
            assert refused(await at.ask("POST", "/stirs", anna, {"queues": ["q"]}))
            assert refused(await at.ask("POST", "/messages", anna, content_type=LINES))
            for socket in SOCKETS:
                assert await all.knock(socket, anna) == 429, socket

            # What is answered at once takes no place, and nobody else notices.
            assert (await leased(all, door, anna, 0)).status == 200
            assert (await at.ask("HEAD", events, anna)).status == 200
            assert (await at.ask("POST", "/messages", anna, {"content": "x"})).status == 201
            for path in ("/health/live", "/health/ready", "/"):
                assert (await at.ask("GET", path, None)).status == 200
            assert (await leased(all, door, ben, 0.01)).status == 200
            async with at.stream(events, ben) as pipe:
                await pipe.until(b"event: start")
                assert open_now(all.house.app) == {"anna": 2, "ben": 1}
            await until(lambda: open_now(all.house.app) == {"anna": 2})  # ben has left
            assert all.house.app.service.meter is not None
            assert all.house.app.service.meter.tally.refused == {"too-many-open": 4 + len(SOCKETS)}

            await all.house.broker.delete_queue("q")
            for each in streams:
                await each.end()
            await until(lambda: not open_now(all.house.app))
            assert (await leased(all, door, anna, 0.01)).status == 200
            assert not open_now(all.house.app)

    asyncio.run(main())


@pytest.mark.parametrize("door", SOCKETS)
def test_connections(door: str) -> None:
    async def main() -> None:
        async with few() as all, AsyncExitStack() as stack:
            anna = of("anna")
            first, second = [
                await stack.enter_async_context(all.socket(door, anna)) for _ in range(MOST)
            ]
            assert await all.knock(door, anna) == 429
            for each in HTTP:
                assert refused(await leased(all, each, anna, 0.01))
            assert await all.knock(door, of("ben")) in (101, 200)
            assert (await first.ask("ping"))["type"] == "ok"

            await first._send("this breaks the protocol")
            assert (await first.end())[-1]["code"] == 4400
            await until(lambda: open_now(all.house.app) == {"anna": 1})
            assert await all.knock(door, anna) in (101, 200)  # and hangs up
            await until(lambda: open_now(all.house.app) == {"anna": 1})
            all.house.app.drain()
            assert (await second.end())[-1]["code"] == 1001
            await until(lambda: not open_now(all.house.app))

    asyncio.run(main())


@pytest.mark.parametrize("door", SOCKETS)
def test_places_end_with_the_token(door: str) -> None:
    async def main() -> None:
        async with few() as all, all.socket(door, of("anna")) as talk:
            (session,) = all.house.app.sockets._open
            verifier, caller = all.house.app.service.verifier, session._caller
            assert verifier is not None
            assert caller is not None
            assert open_now(all.house.app) == {"anna": 1}
            verifier.now = lambda: caller.expires  # as late as that
            session._expiry()
            session._until_expiry()
            assert (await talk.end())[-1]["code"] == 4401
            await until(lambda: not open_now(all.house.app))

    asyncio.run(main())


@pytest.mark.parametrize("door", ["1.1", "2", "ws"])
def test_the_python_client(door: str) -> None:
    """It is told; a consumer who waits without being told of anything looks now and then."""

    async def main() -> None:
        async with House(MemoryBackend(), auth=tokens.verifier(), max_open=1) as house:
            await house.broker.queue("q").configure()
            caller = await tokens.verifier().verify(of("anna"))
            async with Broker(house.connect(door, token=of("ben"))) as broker:
                with house.app.service.place(caller):
                    if door == "ws":
                        backend = house.connect(door, token=of("anna"), patience=0)
                        with pytest.raises(BackendUnavailable, match="of this caller are open"):
                            await Broker(backend).open()
                        return
                    backend = house.connect(door, token=of("anna"))
                    async with Broker(backend) as crowded:
                        waiting = asyncio.ensure_future(crowded.queue("q").get(wait=20))
                        await asyncio.sleep(0.05)
                        await broker.queue("q").publish("x")
                        delivery = await waiting
                        assert delivery is not None
                        await delivery.ack()

    asyncio.run(main())


def test_a_store_that_is_not_direct(tmp_path: Any) -> None:
    """There, too, only who may wait takes a place, and a client that leaves gives it back."""

    async def main() -> None:
        backend = SqliteBackend(tmp_path / "q.db")
        async with House(backend, auth=tokens.verifier(), max_open=1) as house:
            token = await tokens.verifier().verify(of("anna"))
            asking = Broker(house.connect("1.1", token=of("anna")))
            async with asking as broker:
                waiting = asyncio.ensure_future(broker.queue("q").get(wait=20))
                await until(lambda: open_now(house.app) == {"anna": 1})  # its stream of stirs
                with pytest.raises(TooManyOpen), house.app.service.place(token):
                    pass
                waiting.cancel()
                await asyncio.wait((waiting,))
            await until(lambda: not open_now(house.app))

    asyncio.run(main())


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "2", float("nan")])
def test_what_cannot_be(value: Any) -> None:
    with pytest.raises(InvalidSetting, match="max_open"):
        create_app(Broker(MemoryBackend()), auth=tokens.verifier(), max_open=value)


def test_it_takes_tokens() -> None:
    with pytest.raises(InvalidSetting, match="auth"):
        create_app(Broker(MemoryBackend()), max_open=5)
