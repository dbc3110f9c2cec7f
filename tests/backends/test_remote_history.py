"""Many work over a way that breaks all the time: what they did, one good queue could have done."""

from __future__ import annotations

import asyncio
import contextlib
import io
from typing import Any

import pytest

import supersoniq
from supersoniq import BackendUnavailable, LeaseLost, OutcomeUnknown
from supersoniq.core.states import Status
from supersoniq.testing.history import check
from supersoniq.testing.recorder import Recorder
from tests.backends.cutting import Way, way

pytestmark = pytest.mark.usefixtures("in_a_hurry", "soon_lost")

# By door: how often each of the four does it all; how far apart the cuts are at most, in bytes or
# datagrams; and how many there are at least. A cut between datagrams takes a while to be noticed.
CUTS = {"1.1": (60, 700, 120), "2": (60, 700, 120), "ws": (30, 700, 60), "3": (20, 23, 12)}


@pytest.mark.parametrize("door", CUTS)
def test_a_history_with_many_cuts(door: str) -> None:
    """Publishes, leases and settlements."""
    lines = io.StringIO()
    times, apart, least = CUTS[door]

    async def main() -> None:
        async with way(door) as to:
            here = to.house.broker.queue("q", lease=0.3, max_deliveries=0)
            await here.configure()
            brokers = [to.reach(patience=(0, 5)[n % 2]) for n in range(4)]
            for broker in brokers:
                await broker.open()
            breaking = asyncio.ensure_future(trouble(to, apart))
            recorders = [Recorder(lines, f"w{n}") for n in range(len(brokers))]
            await asyncio.gather(*map(work, recorders, brokers, [times] * len(brokers)))
            breaking.cancel()
            await asyncio.gather(*(broker.close() for broker in brokers))
            assert to.cutter.cuts >= least, to.cutter.cuts
            await asyncio.sleep(0.4)  # whatever is still leased lapses
            ready = [message.id for message in await here.browse(Status.READY, limit=10_000)]
            Recorder(lines, "last").final(ready=ready, dead=[])

    asyncio.run(main())
    assert check(lines.getvalue().splitlines()) == []


async def trouble(to: Way, apart: int) -> None:
    """Cut again and again."""
    for step in range(10**9):
        cuts = to.cutter.cuts
        to.cutter.arm(**{("up", "down")[step % 2]: step * 37 % apart + 1})
        while to.cutter.cuts == cuts:  # noqa: ASYNC110  # it is a test
            await asyncio.sleep(0.001)


async def work(recorder: Recorder, broker: supersoniq.Broker, times: int) -> None:
    """Publish, lease and settle, and write down what came of it."""
    queue = broker.queue("q")
    stays = broker.backend.capabilities.leases_stay
    for n in range(times):
        text = f"{id(recorder)}-{n}"
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
        except OutcomeUnknown:
            continue
        except BackendUnavailable as error:
            recorder.refused(number, str(error))
            continue
        recorder.ok(number, leases=[] if delivery is None else [lease_of(delivery)])
        if delivery is None:
            continue
        held = {"id": delivery.id, "receipt": delivery.receipt}
        # Where a lease ends with its connection, nobody here knows when: until it was settled, the
        # server may have released it.
        released = None if stays else recorder.invoke("release", **held)
        with contextlib.suppress(OutcomeUnknown, BackendUnavailable):
            await queue.stats()  # the connection may end with the message in hand
        op = ("ack", "ack", "nack", "release")[n % 4]
        number = recorder.invoke(op, **held)
        try:
            await (delivery.nack(0) if op == "nack" else getattr(delivery, op)())
            recorder.ok(number)
            if released is not None:
                recorder.refused(released, "it was still there to be settled")
        except (LeaseLost, BackendUnavailable) as error:
            recorder.refused(number, str(error))
        except OutcomeUnknown:
            pass


def lease_of(delivery: supersoniq.Delivery) -> dict[str, Any]:
    return {
        "id": delivery.id,
        "receipt": delivery.receipt,
        "content": delivery.text(),
        "attempt": delivery.attempt,
        "deadline": delivery.deadline,
        "priority": delivery.priority,
    }
