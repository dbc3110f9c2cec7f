"""What is counted on the way of a message, whoever holds it and however it is settled."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import supersoniq
from supersoniq.backends.memory import MemoryBackend
from supersoniq.core.ids import Seal, term_of
from supersoniq.core.ops import Outcome, Settle, Settlement
from supersoniq.observe import Meter, tally
from tests.backends.served import DOORS, House

STORES = ["memory", "sqlite"]


def of(folder: Path, store: str) -> str:
    return "memory://" if store == "memory" else f"sqlite:///{folder}/store.db"


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("by", ["lease", "receipt"])
@pytest.mark.parametrize("outcome", ["ack", "nack", "release", "reject"])
def test_every_end_of_a_lease_is_a_time_in_hand(
    store: str, by: str, outcome: str, tmp_path: Path
) -> None:
    async def main() -> None:
        broker = supersoniq.connect(of(tmp_path, store))
        meter = Meter(broker)
        async with broker:
            queue = broker.queue("q")
            await queue.publish_many(range(3))
            deliveries = await queue.get_many(2, wait=0)
            await deliveries[0].extend(60)
            held = [each.lease if by == "lease" else each.receipt for each in deliveries]
            ends = tuple(Settlement(each, Outcome(outcome)) for each in held)
            await broker.engine.call(Settle("q", ends))
            await broker.engine.call(Settle("q", ends))  # answered as before, or refused
            times = meter.times()["q"]
            assert times.time_in_queue.count == 2
            assert times.time_in_hand.count == 2
            assert 0 <= times.time_in_hand.sum < 60

    asyncio.run(main())


def test_what_is_never_settled_does_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "MOST_HELD", 10)

    async def main() -> None:
        broker = supersoniq.connect("memory://")
        meter = Meter(broker)
        async with broker:
            queue = broker.queue("q")
            await queue.publish_many(range(50))
            for _ in range(20):
                await queue.get(0)
            deliveries = await queue.get_many(30, wait=0)
            assert len(meter.tally._held) == 10
            for delivery in deliveries:
                await delivery.ack()
            assert not meter.tally._held
            assert meter.times()["q"].time_in_hand.count == 10
            assert meter.times()["q"].time_in_queue.count == 50

    asyncio.run(main())


@pytest.mark.parametrize("door", DOORS)
def test_leases_of_another_server(door: str) -> None:
    """Of those only the receipt knows the term; two terms of one message are two."""

    async def main() -> None:
        async with House(MemoryBackend()) as house:
            broker = supersoniq.Broker(house.connect(door))
            meter = Meter(broker)
            async with broker:
                queue = broker.queue("q")
                await queue.publish("x")
                for end in ("release", "ack"):
                    delivery = await queue.get()
                    assert delivery is not None
                    await getattr(delivery, end)()
                times = meter.times()["q"]
                assert (times.time_in_queue.count, times.time_in_hand.count) == (2, 2)

    asyncio.run(main())


def test_the_term_in_a_receipt() -> None:
    seal = Seal(b"x" * 32, 7)
    for sequence, term in ((41, 3), (2**40 - 1, 2**32 - 1)):
        for at in (0, 1_795_533_865_559):  # which is no part of it
            receipt = seal.receipt(sequence, term, at)
            assert term_of(receipt) == 7 << 96 | sequence << 32 | term
    for text in ("", "x", "ä", "=" * 43, "none", "\0", seal.receipt(1, 1)[:7]):
        assert term_of(text) is None, text


def test_refusals_are_counted_by_code() -> None:
    async def main() -> None:
        broker = supersoniq.connect("memory://")
        meter = Meter(broker)
        async with broker:
            queue = broker.queue("q", max_length=1)
            await queue.publish_many(["a"])
            for _ in range(3):
                with pytest.raises(supersoniq.QueueFull):
                    await queue.publish_many(["b"])
            assert meter.process().failed_operations == {"queue-full": 3}

    asyncio.run(main())
