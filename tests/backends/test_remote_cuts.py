"""What a cut of the network does to a call, byte by byte, and what its caller is told."""

from __future__ import annotations

import asyncio
import io
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
from supersoniq.backends.memory import MemoryBackend
from supersoniq.core.states import Status
from supersoniq.testing.history import check
from supersoniq.testing.recorder import Recorder
from tests.backends.served import DOORS, Cutter, House, reach

pytestmark = pytest.mark.usefixtures("in_a_hurry")


async def outcome(call: Awaitable[Any]) -> Any:
    try:
        return await call
    except SupersoniqError as error:
        return error


async def sizes(cutter: Cutter, call: Callable[[], Awaitable[Any]]) -> tuple[int, int]:
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
        async with (
            House(MemoryBackend()) as house,
            Cutter(house.port) as cutter,
            reach(cutter.url, door, patience=0) as plain,
            reach(cutter.url, door) as patient,
        ):
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
        async with (
            House(MemoryBackend()) as house,
            Cutter(house.port) as cutter,
            reach(cutter.url, door) as broker,
        ):
            here = house.broker.queue("q")
            queue = broker.queue("q", keep_done=kept)
            stays = broker.backend.capabilities.leases_stay

            async def one() -> supersoniq.Delivery:
                await here.publish("x")
                delivery = await queue.get(wait=5)
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


@pytest.mark.parametrize("door", ["1.1", "2"])
def test_a_history_with_many_cuts(door: str) -> None:
    """Publishes, leases and settlements over a way that breaks all the time: a correct history."""
    lines = io.StringIO()

    async def main() -> None:
        async with House(MemoryBackend()) as house, Cutter(house.port) as cutter:
            here = house.broker.queue("q", lease=0.3, max_deliveries=0)
            await here.configure()

            async def worker(name: str, broker: supersoniq.Broker) -> None:
                recorder = Recorder(lines, name)
                queue = broker.queue("q")
                for n in range(100):
                    text = f"{name}-{n}"
                    key = text if n % 2 else None
                    number = recorder.invoke("publish", messages=[{"content": text, "key": key}])
                    try:
                        stored = await queue.publish(text, key=key)
                        recorder.ok(number, ids=[stored.id], duplicates=[stored.duplicate])
                    except OutcomeUnknown:
                        pass
                    except BackendUnavailable as error:
                        recorder.refused(number, str(error))
                    number = recorder.invoke("take")
                    try:
                        delivery = await queue.get(wait=0)
                    except (OutcomeUnknown, BackendUnavailable) as error:
                        if isinstance(error, BackendUnavailable):
                            recorder.refused(number)
                        continue
                    leases = [] if delivery is None else [lease_of(delivery)]
                    recorder.ok(number, leases=leases)
                    if delivery is None:
                        continue
                    op = ("ack", "ack", "nack", "release")[n % 4]
                    number = recorder.invoke(op, id=delivery.id, receipt=delivery.receipt)
                    try:
                        await (delivery.nack(0) if op == "nack" else getattr(delivery, op)())
                        recorder.ok(number)
                    except (LeaseLost, BackendUnavailable) as error:
                        recorder.refused(number, str(error))
                    except OutcomeUnknown:
                        pass

            async def trouble() -> None:
                for step in range(10**9):
                    cuts = cutter.cuts
                    cutter.arm(**{("up", "down")[step % 2]: step * 37 % 700 + 1})
                    while cutter.cuts == cuts:  # noqa: ASYNC110  # it is a test
                        await asyncio.sleep(0.001)

            brokers = [reach(cutter.url, door, patience=(0, 5)[n % 2]) for n in range(4)]
            for broker in brokers:
                await broker.open()
            breaking = asyncio.ensure_future(trouble())
            await asyncio.gather(*(worker(f"w{n}", broker) for n, broker in enumerate(brokers)))
            breaking.cancel()
            await asyncio.gather(*(broker.close() for broker in brokers))
            assert cutter.cuts >= 200, cutter.cuts
            left = Recorder(lines, "last")
            ready: list[str] = []
            await asyncio.sleep(0.4)  # whatever is still leased lapses
            ready = [message.id for message in await here.browse(Status.READY, limit=10_000)]
            left.final(ready=ready, dead=[])

    asyncio.run(main())
    assert check(lines.getvalue().splitlines()) == []


def lease_of(delivery: supersoniq.Delivery) -> dict[str, Any]:
    return {
        "id": delivery.id,
        "receipt": delivery.receipt,
        "content": delivery.text(),
        "attempt": delivery.attempt,
        "deadline": delivery.deadline,
        "priority": delivery.priority,
    }
