"""What is counted on the way of a message, whoever holds it and however it is settled."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import supersoniq
from supersoniq.backends.memory import MemoryBackend
from supersoniq.core.errors import LeaseLost
from supersoniq.core.ids import Seal, term_of
from supersoniq.core.machine import Machine
from supersoniq.core.messages import prepare
from supersoniq.core.ops import Outcome, Settle, Settlement, Take
from supersoniq.observe import Meter, tally
from supersoniq.observe.labels import Labels
from supersoniq.observe.tally import Tally
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


def test_each_message_of_a_batch_has_its_own_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neighbours that were published or leased together are counted together, and no others."""
    clock = iter((10.0, 20.0, 100.0))
    monkeypatch.setattr(tally, "monotonic", lambda: next(clock))
    queue = Machine(bytes(32)).make("q", 0)
    seen = Tally(Labels(9))
    for now in (0, 0, 2000, 2000, 4000):
        queue.publish([prepare(b"")], now)
    leases = []
    for limit in (3, 2):
        taken = queue.take(limit, None, None, 5000)
        seen.done(Take("q", limit), taken)
        leases += taken.leases
    ends = [Settlement(leases[n], Outcome.ACK) for n in (0, 3, 1, 4, 2)]
    seen.done(Settle("q", ends), [None, None, LeaseLost("it lapsed"), None, None])
    times = seen.queues["q"]
    assert times.in_queue.told().sum == 5 + 5 + 3 + 3 + 1
    assert times.in_queue.told().count == 5
    assert times.in_hand.told().sum == 90 + 80 + 80 + 90
    assert times.in_hand.told().count == 4


def test_each_term_of_a_message_has_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter((10.0, 20.0, 100.0, 101.0))
    monkeypatch.setattr(tally, "monotonic", lambda: next(clock))
    queue = Machine(bytes(32)).make("q", 0)
    seen = Tally(Labels(9))
    queue.publish([prepare(b"")], 0)
    terms = []
    for _ in range(2):
        taken = queue.take(1, None, None, 0)
        seen.done(Take("q"), taken)
        terms += taken.leases
        queue.settle([Settlement(taken.leases[0], Outcome.RELEASE)], 0)  # which nobody told
    for lease in reversed(terms):
        seen.done(Settle("q", [Settlement(lease, Outcome.ACK)]), [None])
    assert seen.queues["q"].in_hand.told().sum == 80 + 91


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
            assert term_of(receipt) == (7, sequence, term)
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
