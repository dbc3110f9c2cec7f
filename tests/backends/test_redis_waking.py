"""Waiting consumers on a real server's clock: woken at once, from anywhere, without polling."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import supersoniq
from supersoniq.backends.redis import connect, wake
from tests.backends.redis_server import RedisServer, needs_server, shared, store_prefix, until

pytestmark = needs_server

LONG = 90.0
"""Seconds that only a test that hangs takes."""


def broker(server: RedisServer, prefix: str, **options: Any) -> supersoniq.Broker:
    return supersoniq.Broker(connect(server.url, prefix=prefix, **options))


def test_a_publish_elsewhere_wakes_a_consumer_here() -> None:
    async def main() -> None:
        server, prefix = shared(), store_prefix()
        async with broker(server, prefix) as here, broker(server, prefix) as there:
            waiting = asyncio.create_task(here.queue().get(wait=LONG))
            for n in range(50):
                await asyncio.sleep(0.001 * (n % 3))  # also while the channel is being joined
                await there.queue().publish(str(n))
                delivery = await waiting
                assert delivery is not None
                assert delivery.text() == str(n)
                await delivery.ack()
                waiting = asyncio.create_task(here.queue().get(wait=LONG))
            waiting.cancel()

    asyncio.run(asyncio.wait_for(main(), LONG))


def test_what_time_brings_wakes_by_the_servers_clock() -> None:
    async def main() -> None:
        server, prefix = shared(), store_prefix()
        async with broker(server, prefix) as here, broker(server, prefix) as there:
            await there.queue().publish("later", delay=0.1)
            delivery = await here.queue().get(wait=LONG)
            assert delivery is not None
            await delivery.nack(delay=0.05)
            again = await here.queue().get(wait=LONG)
            assert again is not None
            assert again.message.deliveries == 2
            await again.ack()
            await there.queue(lease=0.1).publish("held")
            held = await there.queue().get(wait=0)
            assert held is not None
            lapsed = await here.queue().get(wait=LONG)
            assert lapsed is not None
            assert lapsed.message.deliveries == 2

    asyncio.run(asyncio.wait_for(main(), LONG))


def test_all_waiters_of_a_process_share_one_connection_and_ask_nothing_while_they_wait() -> None:
    async def main() -> None:
        with RedisServer() as server, server.client() as client:
            async with broker(server, "p") as here:
                for n in range(20):
                    await here.queue(f"q{n}").configure()
                waiting = [
                    asyncio.create_task(here.queue(f"q{n % 20}").get(wait=LONG)) for n in range(100)
                ]
                await until(lambda: all(n for _, n in client.pubsub_numsub(*channels(20))))
                await asyncio.sleep(0.1)  # let those look who were told to on joining
                # It may take longer until they have: then once more.
                while calls(client) != await later(1.0, client):
                    pass
                listeners = [c for c in client.client_list() if int(c["sub"]) > 0]
                assert len(listeners) == 1
                for task in waiting:
                    task.cancel()

    async def later(seconds: float, client: Any) -> int:
        await asyncio.sleep(seconds)
        return calls(client)

    def channels(count: int) -> list[str]:
        return [f"p:{{q{n}}}:stirs" for n in range(count)]

    def calls(client: Any) -> int:
        return int(client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"])

    asyncio.run(asyncio.wait_for(main(), LONG))


def test_who_lost_the_connection_looks_again() -> None:
    async def main() -> None:
        with RedisServer() as server, server.client() as client:
            async with broker(server, "p") as here, broker(server, "p") as there:
                waiting = asyncio.create_task(here.queue().get(wait=LONG))
                for n in range(10):
                    await until(lambda: client.pubsub_numsub("p:{default}:stirs")[0][1])
                    # The very moment in which nobody would hear it.
                    client.client_kill_filter(_type="pubsub")
                    await there.queue().publish(str(n))
                    delivery = await waiting
                    assert delivery is not None
                    await delivery.ack()
                    waiting = asyncio.create_task(here.queue().get(wait=LONG))
                waiting.cancel()

    asyncio.run(asyncio.wait_for(main(), LONG))


def test_a_server_that_comes_back_is_found_again() -> None:
    async def main() -> None:
        with RedisServer("--appendonly", "yes", "--appendfsync", "always") as server:
            async with broker(server, "p") as here:
                heard = asyncio.Event()
                await here.queue().publish("first")
                stop = here.backend.listen("default", heard.set)
                server.kill()
                heard.clear()
                server.start()
                await heard.wait()
                stop()
                delivery = await here.queue().get(wait=LONG)
                assert delivery is not None
                assert delivery.text() == "first"

    asyncio.run(asyncio.wait_for(main(), LONG))


def test_a_listener_whose_server_is_silent_gives_up_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wake, "BEAT", 0.1)

    async def main() -> None:
        with RedisServer() as server:
            backend = connect(server.url)
            await backend.open()
            again = asyncio.Event()
            count = 0

            def stir() -> None:
                nonlocal count
                count += 1
                if count >= 2:
                    again.set()

            stop = backend.listen("q", stir)
            await until(lambda: count)
            with server.client() as client:
                client.execute_command("CLIENT", "PAUSE", 500, "ALL")
            await again.wait()
            stop()
            await backend.close()

    asyncio.run(asyncio.wait_for(main(), LONG))


def test_channels_are_given_up_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wake, "LINGER", 0.05)

    async def main() -> None:
        with RedisServer() as server, server.client() as client:
            backend = connect(server.url)
            await backend.open()
            for _ in range(3):
                heard = asyncio.Event()
                stop = backend.listen("q", heard.set)
                await heard.wait()
                assert client.pubsub_numsub("supersoniq:{q}:stirs")[0][1] == 1
                stop()
                await until(lambda: not client.pubsub_numsub("supersoniq:{q}:stirs")[0][1])
            await backend.close()

    asyncio.run(asyncio.wait_for(main(), LONG))
