"""Working through messages: ``async with``, ``receive``, ``run`` and ``watch``."""

from __future__ import annotations

import asyncio

from supersoniq.api.delivery import Delivery
from supersoniq.core.errors import LeaseLost
from supersoniq.core.states import Status
from supersoniq.testing.conformance.trial import Violation, expect, that
from supersoniq.testing.faces.calling import SOON
from supersoniq.testing.faces.trial import FaceTrial


class Oops(Exception):
    """A handler's own error."""


async def g01_a_block_acks_at_its_end(t: FaceTrial) -> None:
    """And not before."""
    q = t.queue(keep_done=60)
    published = await q.publish(b"x")
    async with await t.one(q):
        expect((await q.message(published.id)).status, Status.LEASED, "status in the block")
    expect((await q.message(published.id)).status, Status.DONE, "status after the block")


async def g05_a_block_that_raises_nacks(t: FaceTrial) -> None:
    """With the error's text, which goes on to the caller; at the limit the message is dead."""
    q = t.queue(max_deliveries=2, backoff=0)
    published = await q.publish(b"x")
    for _ in range(2):
        try:
            async with await t.one(q):
                raise Oops("not today")
        except Oops:
            continue
        raise Violation("the block's own error did not come out")
    message = await q.message(published.id)
    expect(message.status, Status.DEAD, "status")
    that("Oops: not today" in (message.reason or ""), f"reason {message.reason!r}")


async def g10_a_block_that_is_cancelled_releases(t: FaceTrial) -> None:
    """Uncounted, and at once."""
    q = t.queue(lease=3600)
    await q.publish(b"x")
    entered = asyncio.Event()

    async def work() -> None:
        async with await t.one(q):
            entered.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await entered.wait()
    task.cancel()
    await asyncio.wait([task])
    that(task.cancelled(), "the cancellation did not come out")
    again = await t.within(SOON, "a release by cancelling", t.one(q))
    expect(again.attempt, 1, "attempt after a cancelled block")
    await again.ack()


async def g02_a_block_keeps_its_lease(t: FaceTrial) -> None:
    """For several times its length, while others wait in vain."""
    q = t.queue(lease=0.5)
    await q.publish(b"x")
    async with await t.one(q) as delivery:
        expect(await q.get(wait=1.6), None, "what another consumer gets meanwhile")
        that(not delivery.lost, "the lease was lost")
    figures = await q.stats()
    expect((figures.acked, figures.lapsed, figures.leases), (1, 0, 1), "acked, lapsed, leases")


async def g03_a_block_that_lost_its_lease_says_so(t: FaceTrial) -> None:
    """It is cancelled, and ``LeaseLost`` is raised in its place."""
    q = t.queue(lease=0.3)
    await q.publish(b"x")
    try:
        async with await t.one(q):
            await t.broker.delete_queue("q")
            await asyncio.sleep(10)
    except LeaseLost:
        return
    raise Violation("a block went on to its end without its lease")


async def g03_settling_by_hand_in_a_block_is_final(t: FaceTrial) -> None:
    """The block then settles nothing more."""
    q = t.queue()
    published = await q.publish(b"x")
    async with await t.one(q) as delivery:
        await delivery.reject("no")
    expect((await q.message(published.id)).status, Status.DEAD, "status")
    expect((await q.stats()).stale, 0, "stale settlements")


async def g04_receive_gives_all_in_order(t: FaceTrial) -> None:
    """With any prefetch, and goes on as messages come."""
    for prefetch in (1, 7, 100):
        q = t.queue(f"q{prefetch}")
        await q.publish_many([b"%d" % n for n in range(30)])
        late = asyncio.create_task(q.publish_many([b"%d" % n for n in range(30, 40)]))
        seen: list[bytes] = []
        async for delivery in q.receive(prefetch):
            async with delivery:
                seen.append(delivery.content)
            if len(seen) == 40:
                break
        await late
        expect(seen, [b"%d" % n for n in range(40)], f"deliveries with a prefetch of {prefetch}")


async def g10_receive_gives_back_what_it_fetched_ahead(t: FaceTrial) -> None:
    """Leaving the loop releases the rest, uncounted."""
    q = t.queue(lease=3600)
    await q.publish_many([b"%d" % n for n in range(10)])
    receiver = q.receive(prefetch=10)
    first = await anext(receiver)
    await receiver.aclose()
    rest = await q.get_many(10, wait=SOON)
    while len(rest) < 9:
        rest += await q.get_many(10, wait=SOON)
    expect([one.content for one in rest], [b"%d" % n for n in range(1, 10)], "what was given back")
    expect({one.attempt for one in rest}, {1}, "attempts")
    await first.ack()


async def g10_receive_ends_when_the_broker_closes(t: FaceTrial) -> None:
    """An endless loop comes to its end, without an error."""
    q = t.queue()

    async def loop() -> None:
        async for delivery in q.receive():
            await delivery.ack()

    task = asyncio.create_task(loop())
    await q.publish(b"x")
    await asyncio.sleep(0.05)
    await t.within(SOON, "closing", t.broker.close())
    await t.within(SOON, "the end of a receiver", task)


async def g01_run_works_off_everything(t: FaceTrial) -> None:
    """Several at a time; what a handler fails at comes again; stopping drains."""
    q = t.queue(backoff=0)
    await q.publish_many([b"%d" % n for n in range(50)])
    done: list[bytes] = []
    busy = most = 0
    stop = asyncio.Event()

    async def handler(delivery: Delivery) -> None:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        try:
            await asyncio.sleep(0.001)
            if delivery.attempt == 1 and int(delivery.content) % 5 == 0:
                raise Oops("first try")
            done.append(delivery.content)
        finally:
            busy -= 1
            if len(done) == 50:
                stop.set()

    await t.within(25, "fifty messages", q.run(handler, 8, stop=stop))
    expect(sorted(done), sorted(b"%d" % n for n in range(50)), "messages worked off")
    that(1 < most <= 8, f"{most} handlers at a time, of 8")
    figures = await q.stats()
    expect((figures.acked, figures.nacked, figures.leased), (50, 10, 0), "acked, nacked, leased")


async def g10_run_gives_back_what_it_cannot_finish(t: FaceTrial) -> None:
    """Handlers that outlast the grace are cancelled, and their messages released, uncounted."""
    q = t.queue(lease=3600)
    await q.publish_many([b"%d" % n for n in range(4)])
    stop = asyncio.Event()
    begun = 0

    async def handler(delivery: Delivery) -> None:
        nonlocal begun
        begun += 1
        if begun == 2:
            stop.set()
        await asyncio.sleep(60)

    await t.within(SOON, "draining", q.run(handler, 2, grace=0.05, stop=stop))
    figures = await q.stats()
    expect((figures.ready, figures.leased, figures.acked), (4, 0, 0), "ready, leased, acked")
    again = await q.get_many(4, wait=0)
    expect({one.attempt for one in again}, {1}, "attempts")


async def g10_a_stuck_consumer_harms_nobody(t: FaceTrial) -> None:
    """While one handler hangs and one consumer hoards, another works everything else off."""
    q = t.queue(lease=3600)
    await q.publish_many([b"%d" % n for n in range(100)])
    hoard = await q.get_many(30)
    receiver = q.receive(prefetch=10)
    stuck = await anext(receiver)
    got = 0
    while got < 60:
        delivery = await t.within(SOON, "a delivery beside a stuck one", t.one(q))
        await delivery.ack()
        got += 1
    expect(await q.get(wait=0), None, "messages left for others")
    await receiver.aclose()
    expect(len(await q.get_many(20, wait=SOON)), 9, "what the stuck one had fetched ahead")
    await stuck.ack()
    expect(await q.ack_many(hoard), [None] * 30, "verdicts on the hoard")


async def follow_watch_tells_every_watcher(t: FaceTrial) -> None:
    """Each gets each event, from the moment it starts; a slow one holds nobody up."""
    q = t.queue()
    await q.publish(b"before")
    async with q.watch() as fast, q.watch() as slow:
        events = [anext(fast), anext(slow)]
        first = asyncio.gather(*events)
        await asyncio.sleep(0.05)
        await q.publish(b"1")
        told = await t.within(SOON, "an event", first)
        contents = [event.message.content for event in told if event.message is not None]
        expect(contents, [b"1", b"1"], "what two watchers are told")
        for n in range(50):
            await q.publish(b"%d" % n)
            event = await t.within(SOON, "an event", anext(fast))
            assert event.message is not None
            expect(event.message.content, b"%d" % n, "what the fast one is told")
