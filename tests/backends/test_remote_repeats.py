"""What is tried again, whose message that finds, and what may not be repeated."""

from __future__ import annotations

import asyncio

import pytest

import supersoniq
from supersoniq import (
    OutcomeUnknown,
)
from tests.backends.cutting import cuttable
from tests.backends.served import DOORS

pytestmark = pytest.mark.usefixtures("in_a_hurry")


@pytest.mark.parametrize("door", DOORS)
def test_whose_message_a_repeated_publish_finds(door: str) -> None:
    async def main() -> None:
        async with cuttable(door) as (house, cutter, broker):
            queue = broker.queue("q")
            first = await house.broker.queue("q").publish("x", key="k")
            await queue.stats()
            await asyncio.sleep(0.05)
            cutter.arm(down=10)
            again = await queue.publish("x", key="k")
            assert (again.id, again.duplicate) == (first.id, True)
            cutter.arm(down=10)
            both = await queue.publish_many([supersoniq.Draft("y", key="l")] * 2)
            assert [each.duplicate for each in both] == [False, True]
            assert both[0].id == both[1].id
            cutter.arm(down=10)
            with pytest.raises(supersoniq.KeyConflict):
                await queue.publish("other", key="k")
            assert cutter.cuts == 3
            assert len(await queue.browse()) == 2

    asyncio.run(main())


@pytest.mark.parametrize("door", DOORS)
def test_a_key_that_may_be_forgotten_is_no_reason_to_try_again(door: str) -> None:
    async def main() -> None:
        async with cuttable(door) as (_house, cutter, broker):
            for window in (0, 1, 29):
                queue = broker.queue("q", dedup_window=window)
                before = (await queue.stats()).published
                cutter.arm(down=10)
                with pytest.raises(OutcomeUnknown):
                    await queue.publish("x", key=f"k{window}")
                assert (await queue.stats()).published == before + 1

    asyncio.run(main())


@pytest.mark.parametrize("door", DOORS)
def test_what_may_not_be_repeated_is_not(door: str) -> None:
    async def main() -> None:
        async with cuttable(door) as (_house, cutter, broker):
            queue = broker.queue("q")
            ids = [(await queue.publish(f"{n}")).id for n in range(3)]
            for call in (
                lambda: queue.cancel(ids[0]),
                lambda: queue.publish_many([supersoniq.Draft("x", key="k"), "no key"]),
                lambda: queue.get(wait=0),
                lambda: queue.purge(),
                lambda: queue.pause(),
                lambda: broker.delete_queue("q"),
            ):
                await broker.queues()  # the connection stands again
                before = cutter.connections
                cutter.arm(down=10)
                with pytest.raises(OutcomeUnknown):
                    await call()
                assert cutter.connections - before <= 1
            assert "q" not in await broker.queues()
            queue = broker.queue("r")
            await queue.configure()
            for look in (broker.queues, queue.stats, queue.policy):
                await look()
                cutter.arm(down=10)
                await look()
            assert cutter.cuts == 9

    asyncio.run(main())
