"""What a cut of the network does to a call, byte by byte, and what its caller is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import supersoniq
from supersoniq import (
    BackendUnavailable,
    LeaseLost,
    OutcomeUnknown,
    Queue,
    SupersoniqError,
)
from tests.backends.cutting import Cutter, DatagramCutter, cuttable, way
from tests.backends.served import DOORS

pytestmark = pytest.mark.usefixtures("in_a_hurry")


async def outcome(call: Awaitable[Any]) -> Any:
    try:
        return await call
    except SupersoniqError as error:
        return error


async def sizes(
    cutter: Cutter | DatagramCutter, call: Callable[[], Awaitable[Any]]
) -> tuple[int, int]:
    """The bytes of a request and of its answer."""
    await call()
    cutter.arm()
    await call()
    return cutter.sent, cutter.answered


async def contents(queue: Queue) -> list[bytes]:
    return [message.content for message in await queue.browse(limit=10_000)]


@pytest.mark.parametrize("door", DOORS)
def test_a_publish_cut_anywhere(door: str) -> None:
    """Without a key: not stored, or unknown; with one: stored once, and not called a duplicate."""

    async def main() -> None:
        async with way(door) as to, to.reach(patience=0) as plain, to.reach() as patient:
            house, cutter = to.house, to.cutter
            here = house.broker.queue("q")
            seen: set[tuple[bool, bool]] = set()
            for keyed, queue in ((False, plain.queue("q")), (True, patient.queue("q"))):

                async def publish(
                    text: str, keyed: bool = keyed, queue: Queue = queue
                ) -> supersoniq.Published:
                    return await queue.publish(text, key=f"k{text}" if keyed else None)

                sent, answered = await sizes(cutter, lambda: publish("0000"))
                assert min(sent, answered) > 60
                for n in range(1, sent + answered):
                    await outcome(queue.policy())  # the connection stands again
                    text = f"{n:04}"
                    before = len(await contents(here))
                    cutter.arm(**({"up": n} if n < sent else {"down": n - sent or None}))
                    told = await outcome(publish(text))
                    cutter.arm()
                    stored = [each.decode() for each in await contents(here)][before:]
                    if keyed:
                        assert isinstance(told, supersoniq.Published), (n, told)
                        assert not told.duplicate, n
                        assert stored == [text]
                    elif isinstance(told, SupersoniqError):
                        assert isinstance(told, OutcomeUnknown | BackendUnavailable), (n, told)
                        unknown = isinstance(told, OutcomeUnknown)
                        assert stored == [] or (unknown and stored == [text]), (n, told)
                        seen.add((unknown, bool(stored)))
                    else:
                        assert stored == [text]
                await here.purge()
            assert {(True, False), (True, True)} <= seen
            assert cutter.cuts > 300

    asyncio.run(main())


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("kept", [0, 60])
def test_an_ack_cut_anywhere(kept: float, door: str) -> None:
    """Never ``LeaseLost``; where the message is kept, the repeated ack is as good as the first."""

    async def main() -> None:
        async with cuttable(door) as (house, cutter, broker):
            here = house.broker.queue("q")
            queue = broker.queue("q", keep_done=kept)
            stays = broker.backend.capabilities.leases_stay

            async def one() -> supersoniq.Delivery:
                await queue.policy()  # the connection stands again, if it was cut after an answer
                await here.publish("x")
                delivery = await queue.get(wait=60)
                assert delivery is not None
                return delivery

            deliveries = [await one(), await one()]
            sent, answered = await sizes(cutter, lambda: deliveries.pop().ack())
            unknown = 0
            for n in range(1, sent + answered, 1 if kept and stays else 3):
                delivery = await one()
                done = (await here.stats()).acked
                cutter.arm(**({"up": n} if n < sent else {"down": n - sent or None}))
                told = await outcome(delivery.ack())
                cutter.arm()
                acked = (await here.stats()).acked - done
                if told is None:
                    assert acked == 1, n
                    continue
                assert isinstance(told, OutcomeUnknown), (n, told)
                unknown += 1
                if stays:
                    assert n > sent - 1, (n, told)
                    assert not kept, (n, told)
                    assert acked == 1
                if acked and kept:
                    await delivery.ack()  # asked anew, it is told as it is
                else:
                    with pytest.raises(LeaseLost):
                        await delivery.ack()
                await here.purge()  # what came back because its connection was lost
            assert unknown > 10 or (kept and stays)

    asyncio.run(main())
