"""A server that is gone, is restarted, or does not answer."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from supersoniq import (
    BackendUnavailable,
    Broker,
    Closed,
    OutcomeUnknown,
)
from supersoniq.backends.memory import MemoryBackend
from supersoniq.backends.remote import RemoteBackend
from supersoniq.backends.sqlite import SqliteBackend
from tests.backends.served import DOORS, House, reach
from tests.servers.http2 import until

pytestmark = pytest.mark.usefixtures("in_a_hurry")


async def listens(broker: Broker) -> None:
    """Wait until who waits for queue "q" is told by the server, and asks nothing."""
    assert isinstance(broker.backend, RemoteBackend)
    stirs = broker.backend._stirs
    assert stirs is not None
    await until(lambda: "q" in stirs._heard)
    await broker.engine._coalescer.drain()


@pytest.mark.parametrize("door", DOORS)
def test_a_server_that_is_not_there(door: str) -> None:
    async def main() -> None:
        async with House(MemoryBackend()) as house:
            url = house.url
            patient = reach(url, door, patience=0.4)
            hasty = reach(url, door, patience=0)
            await patient.open()
            await hasty.open()
            assert patient.backend.capabilities.durability == "memory"
        begun = time.monotonic()
        with pytest.raises(BackendUnavailable):
            await reach(url, door).open()
        with pytest.raises(BackendUnavailable):
            await hasty.queues()
        assert time.monotonic() - begun < 5
        with pytest.raises(BackendUnavailable):
            await patient.queue("q").publish("x")
        took = time.monotonic() - begun
        assert 0.1 < took < 10
        begun = time.monotonic()
        for _ in range(5):  # the patience was for the outage, not for each who comes
            with pytest.raises(BackendUnavailable):
                await patient.queue("q").publish("x")
        assert time.monotonic() - begun < 5
        await asyncio.gather(patient.close(), hasty.close())
        with pytest.raises(Closed):
            await patient.backend.execute([])

    asyncio.run(main())


@pytest.mark.parametrize("door", DOORS)
def test_a_restart_is_sat_out(door: str, tmp_path: Path) -> None:
    """By one who waits, and by one who publishes meanwhile; nothing is lost or doubled."""

    async def main() -> None:
        def store() -> SqliteBackend:
            return SqliteBackend(tmp_path / "q.db", synchronous="normal")

        async with House(store()) as house, reach(house.url, door) as broker:
            queue = broker.queue("q")
            assert broker.backend.capabilities.durability == "os"
            waiting = asyncio.ensure_future(queue.get())
            watch = queue.watch()
            await watch.start()
            watching = asyncio.ensure_future(watch.next())
            await listens(broker)
            await house.close()
            await asyncio.sleep(0.2)
            publishing = [
                asyncio.ensure_future(queue.publish(f"{n}", key=f"{n}")) for n in range(5)
            ]
            await asyncio.sleep(0.1)
            assert not waiting.done()
            async with House(store(), house.port) as again:
                stored = await asyncio.wait_for(asyncio.gather(*publishing), 30)
                assert len({each.id for each in stored}) == 5
                got = await asyncio.wait_for(waiting, 30)
                assert got is not None
                await got.ack()
                event = await asyncio.wait_for(watching, 30)
                assert event is not None
                watch.stop()
                # Whoever waits once more is woken by somebody who never left the house.
                rest = await queue.get_many(10)
                await queue.ack_many(rest)
                waiting = asyncio.ensure_future(queue.get())
                await asyncio.sleep(0.1)
                await again.broker.queue("q").publish("late")
                late = await asyncio.wait_for(waiting, 30)
                assert late is not None
                stats = await queue.stats()
                assert (stats.published, stats.acked, stats.leased) == (6, 5, 1)
                await broker.close()

    asyncio.run(main())


@pytest.mark.parametrize("door", DOORS)
def test_a_waiter_learns_of_a_long_outage(door: str) -> None:
    async def main() -> None:
        async with House(MemoryBackend()) as house, reach(house.url, door) as _:
            broker = await reach(house.url, door, patience=0.3).open()
            waiting = asyncio.ensure_future(broker.queue("q").get())
            await listens(broker)
            await house.close()
            with pytest.raises(BackendUnavailable):
                await asyncio.wait_for(waiting, 30)
            await broker.close()

    asyncio.run(main())


@pytest.mark.parametrize("door", DOORS)
def test_an_answer_that_does_not_come(door: str) -> None:
    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def main() -> None:
        async with House(MemoryBackend()) as house:
            silent = await asyncio.start_server(silence, "127.0.0.1", 0)
            port = silent.sockets[0].getsockname()[1]
            with pytest.raises(BackendUnavailable):
                await reach(
                    f"http://127.0.0.1:{port}", door, timeout=0.1, connect_timeout=0.3
                ).open()
            silent.close()

            over = asyncio.Event()
            async with reach(house.url, door, patience=0) as broker:
                await broker.queues()

                async def slow(batch: Any) -> list[Any]:
                    await over.wait()
                    return [[]]

                house.broker.engine.direct = None
                house.broker.engine._coalescer.execute = slow
                assert isinstance(broker.backend, RemoteBackend)
                vars(broker.backend.transport)["_timeout"] = 0.2  # only now: opening takes a while
                with pytest.raises(OutcomeUnknown, match=r"0\.2 s"):
                    await broker.queues()
            over.set()

    asyncio.run(main())
