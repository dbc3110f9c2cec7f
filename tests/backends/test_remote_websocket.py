"""What only the WebSocket has: one connection for everything, and leases that end with it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import supersoniq
from supersoniq import BackendUnavailable, LeaseLost, OutcomeUnknown
from supersoniq.backends.memory import MemoryBackend
from supersoniq.backends.remote import RemoteBackend, socket
from supersoniq.backends.remote.websocket import SocketTransport
from supersoniq.core import ops
from supersoniq.core.errors import InvalidArgument
from tests.backends.cutting import Cutter, cuttable
from tests.backends.served import House, reach, tls


def transport(broker: supersoniq.Broker) -> SocketTransport:
    assert isinstance(broker.backend, RemoteBackend)
    assert isinstance(broker.backend.transport, SocketTransport)
    return broker.backend.transport


async def until(reached: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await reached():  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("how", ["closed", "cut"])
def test_leases_end_with_the_connection(how: str) -> None:
    """At once and uncounted; what was settled stays settled."""

    async def main() -> None:
        async with cuttable("ws") as (house, _cutter, broker):
            here, queue = house.broker.queue("q"), broker.queue("q")
            await here.publish_many([b"%d" % n for n in range(4)])
            first, second, *_ = await queue.get_many(4)
            await first.ack()
            await second.extend(60)
            assert (await here.stats()).leased == 3
            if how == "closed":
                await broker.backend.close()
            else:
                house.cut()

            async def back() -> bool:
                return (await here.stats()).ready == 3

            await until(back)
            again = await here.get_many(4)
            assert [each.attempt for each in again] == [1, 1, 1]
            if how == "cut":
                with pytest.raises(LeaseLost):
                    await second.ack()

    asyncio.run(main())


def test_a_lease_whose_answer_is_lost_is_released() -> None:
    async def main() -> None:
        async with cuttable("ws", patience=0) as (house, cutter, broker):
            here = house.broker.queue("q")
            queue = broker.queue("q")
            await here.publish("x")

            async def left() -> bool:
                return len(house.app.sockets) == 0

            for _ in range(50):
                await queue.stats()  # the connection stands again
                cutter.arm(down=5)
                with pytest.raises(OutcomeUnknown):
                    await queue.get(wait=0)
                await until(left)
                stats = await here.stats()
                assert (stats.ready, stats.leased) == (1, 0)
                if stats.released:
                    break  # if not, it was another answer that was cut, before it was leased
            assert stats.released == 1

    asyncio.run(main())


def test_all_goes_over_one_connection() -> None:
    async def main() -> None:
        async with cuttable("ws") as (_house, cutter, broker):
            waiting = [asyncio.ensure_future(broker.queue(f"q{n}").get()) for n in range(20)]
            await asyncio.sleep(0.05)
            for n in range(20):
                await broker.queue(f"q{n}").publish(f"{n}")
            got = await asyncio.wait_for(asyncio.gather(*waiting), 60)
            assert [each.text() for each in got if each] == [f"{n}" for n in range(20)]
            batches = [broker.backend.execute([ops.Stats(f"q{n % 20}")] * 5) for n in range(100)]
            for results in await asyncio.gather(*batches):
                assert [each.published for each in results] == [1] * 5
            assert cutter.connections == 1

    asyncio.run(main())


def test_what_is_too_large_for_a_frame_is_posted() -> None:
    async def main() -> None:
        async with (
            House(MemoryBackend(), max_body=20_000, max_batch_body=100_000) as house,
            Cutter(house.port) as cutter,
            reach(cutter.url, "ws") as broker,
        ):
            queue = broker.queue("q")
            await queue.publish("small")
            assert cutter.connections == 1
            await queue.publish_many(["x" * 5000] * 10)
            assert cutter.connections == 2
            with pytest.raises(InvalidArgument, match="100000 bytes"):
                await queue.publish_many(["x" * 5000] * 30)
            # Its answers come in frames of a bounded size, and are put together here.
            assert len(await queue.browse(limit=100)) == 11
            got: list[supersoniq.Delivery] = []
            while some := await queue.get_many(11, wait=0):
                got += some
            assert len(got) == 11
            await queue.ack_many(got)
            assert (await queue.stats()).acked == 11
            assert cutter.connections == 2

    asyncio.run(main())


def test_over_tls() -> None:
    async def main() -> None:
        ca, certificate = tls()
        async with House(MemoryBackend(), certificate=certificate) as house:
            async with reach(house.url, "ws", ca=ca) as broker:
                await broker.queue("q").publish("x")
                assert transport(broker).leases_stay is False
            with pytest.raises(BackendUnavailable):
                await reach(house.url, "ws").open()

    asyncio.run(main())


def test_what_is_under_way_is_answered_before_the_server_leaves() -> None:
    async def main() -> None:
        async with House(MemoryBackend()) as house, reach(house.url, "ws", patience=0) as broker:
            await broker.queues()
            engine = house.broker.engine
            begun, go_on = asyncio.Event(), asyncio.Event()
            execute = house.broker.backend.execute

            async def slow(batch: Any) -> list[Any]:
                begun.set()
                await go_on.wait()
                return await execute(batch)

            engine.direct = None
            engine._coalescer.execute = slow
            publish = ops.Publish("q", [supersoniq.Draft("x").entry])
            before = asyncio.ensure_future(broker.backend.execute([publish]))
            await begun.wait()
            house.app.drain()
            await asyncio.sleep(0)
            after = asyncio.ensure_future(broker.backend.execute([publish]))
            await asyncio.sleep(0.05)
            assert not after.done()
            go_on.set()
            (stored,) = await before
            assert [each.durability for each in stored] == ["memory"]
            # It was sent when nothing was read any more: it is known not to be done.
            (refused,) = await after
            assert isinstance(refused, BackendUnavailable)
            assert (await house.broker.queue("q").stats()).published == 1

    asyncio.run(main())


def test_an_idle_connection_is_kept() -> None:
    async def main() -> None:
        async with cuttable("ws") as (_house, cutter, broker):
            await broker.queues()
            once = transport(broker)._once()
            for _ in range(10):
                link = await once.get()
                link._heard_at -= socket.SILENCE
                link._tick()  # as its timer does
                assert link._pinged

                async def heard(link: socket.Socket = link) -> bool:
                    return not link._pinged

                await until(heard)
            await broker.queues()
            assert cutter.connections == 1

    asyncio.run(main())


def test_callers_that_give_up() -> None:
    """What is sent is done all the same, nobody else is hindered, and no lease is left behind."""

    async def main() -> None:
        async with House(MemoryBackend()) as house, reach(house.url, "ws") as broker:
            here, queue = house.broker.queue("q"), broker.queue("q")
            await here.publish_many([b"x"] * 50)
            for n in range(50):
                giving = asyncio.ensure_future(queue.get(wait=0 if n % 2 else None))
                staying = asyncio.ensure_future(queue.stats())
                for _ in range(n % 7):
                    await asyncio.sleep(0)
                giving.cancel()
                await asyncio.gather(giving, return_exceptions=True)
                await staying

            async def settled() -> bool:
                stats = await here.stats()
                held = len(broker.engine.held)
                return stats.leased == held

            await until(settled)
            # One who waits at the transport itself takes the connection along, and its leases.
            sending = asyncio.ensure_future(transport(broker).send([b"\x80"]))
            await asyncio.sleep(0)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            assert (await queue.stats()).published == 50

            async def released() -> bool:
                return (await here.stats()).leased == 0

            await until(released)

    asyncio.run(main())
