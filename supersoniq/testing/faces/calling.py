"""Publishing, waiting and settling through ``Queue`` and ``Delivery``."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta

from supersoniq.api.delivery import Delivery
from supersoniq.core.errors import Closed, KeyConflict, LeaseLost, SupersoniqError
from supersoniq.core.messages import Draft
from supersoniq.core.states import Status
from supersoniq.sync.broker import Broker as SyncBroker
from supersoniq.testing.conformance.suite import needs
from supersoniq.testing.conformance.trial import Violation, expect, that
from supersoniq.testing.faces.trial import FaceTrial

SOON = 10.0
"""Seconds in which whoever waits must have been woken, on a busy machine too."""


async def g01_what_is_published_is_delivered(t: FaceTrial) -> None:
    """One by one and many at once, with every option, until it is acked."""
    q = t.queue()
    first = await q.publish({"n": 1}, priority=1, key="k", headers={"a": "b"}, sender="s")
    expect((first.duplicate, first.durability), (False, t.can.durability), "what publish gives")
    await q.publish_many([b"2", "3", Draft([4], recipient="r")])
    delivery = await t.one(q)
    expect((delivery.id, delivery.json()), (first.id, {"n": 1}), "the first delivery")
    expect((delivery.headers, delivery.sender), ({"a": "b"}, "s"), "its fields")
    expect((delivery.attempt, delivery.status), (1, Status.LEASED), "its attempt and status")
    await delivery.ack()
    rest = await q.get_many(10, recipient="r", wait=0)
    expect([one.content for one in rest], [b"2", b"3", b"[4]"], "the others")
    expect(await q.ack_many(rest), [None] * 3, "verdicts")
    expect((await q.stats()).acked, 4, "acked")


async def g06_a_key_is_published_once_by_many(t: FaceTrial) -> None:
    """Fifty publishers with one key at the same time store one message, and all learn its id."""
    q = t.queue()
    results = await asyncio.gather(*(q.publish(b"x", key="k") for _ in range(50)))
    expect(len({one.id for one in results}), 1, "ids")
    expect([one.duplicate for one in results].count(False), 1, "of them stored")
    try:
        await q.publish(b"y", key="k")
    except KeyConflict as error:
        expect(error.id, results[0].id, "the id that the conflict names")
    else:
        raise Violation("other content for the key was accepted")


async def g08_concurrent_calls_have_their_own_results(t: FaceTrial) -> None:
    """However calls are put together on their way, each gets its own answer or error."""
    q = t.queue(max_content=10)
    calls = [q.publish(b"%d" % n * (6 if n % 7 == 0 else 1)) for n in range(100, 200)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    for n, result in enumerate(results, 100):
        if n % 7 == 0:
            that(isinstance(result, SupersoniqError), f"a content too large gave {result!r}")
        else:
            assert not isinstance(result, BaseException)
            expect((await q.message(result.id)).content, b"%d" % n, "content of that id")


async def g09_get_waits_as_long_as_told(t: FaceTrial) -> None:
    """Not at all, for a while, or until there is one."""
    q = t.queue()
    await q.stats()
    expect(await t.within(SOON, "get(wait=0)", q.get(wait=0)), None, "from an empty queue")
    loop = asyncio.get_running_loop()
    begun = loop.time()
    expect(await t.within(SOON, "get(wait=0.2)", q.get(wait=0.2)), None, "from an empty queue")
    that(loop.time() - begun >= 0.19, "get(wait=0.2) gave up early")
    expect(await q.get_many(5, wait=0.01), [], "get_many from an empty queue")


async def g09_a_waiter_wakes_at_once(t: FaceTrial) -> None:
    """On a publish, nack, release, lapse, due message, redrive, resume and end of a pause."""
    q = t.queue(lease=0.3)

    async def waits_for(what: str) -> Delivery:
        delivery = await t.within(SOON, what, q.get(wait=15))
        that(delivery is not None, f"nobody was woken by {what}")
        assert delivery is not None
        return delivery

    loop = asyncio.get_running_loop()

    async def later(call: object) -> None:
        await asyncio.sleep(0.02)
        await call  # type: ignore[misc]  # any call of a queue

    async def when(what: str, call: object) -> Delivery:
        acting = loop.create_task(later(call))
        try:
            return await waits_for(what)
        finally:
            await acting

    delivery = await when("a publish", q.publish(b"x"))
    delivery = await when("a nack", delivery.nack(delay=0))
    delivery = await when("a release", delivery.release())
    delivery = await waits_for("a lapse")
    delivery = await when("a nack with a delay", delivery.nack(delay=0.1))
    await delivery.reject()
    delivery = await when("a redrive", q.redrive())
    await delivery.release()
    await q.pause()
    delivery = await when("a resume", q.resume())
    await delivery.release()
    await q.pause(timedelta(seconds=0.1))
    delivery = await waits_for("the end of a pause")
    await delivery.ack()
    delivery = await when("a delayed publish", q.publish(b"x", delay=0.1))
    await delivery.ack()


async def g09_many_waiters_share_fairly(t: FaceTrial) -> None:
    """Forty waiters and forty messages: one each, whoever publishes how."""
    q = t.queue()
    waiters = [asyncio.create_task(q.get(wait=15)) for _ in range(40)]
    await asyncio.sleep(0.05)
    await q.publish_many([b"%d" % n for n in range(20)])
    for n in range(20, 40):
        await q.publish(b"%d" % n)
    got = await t.within(SOON * 2, "forty waiters", asyncio.gather(*waiters))
    contents = sorted(one.content for one in got if one is not None)
    expect(contents, sorted(b"%d" % n for n in range(40)), "what forty waiters got")


async def g10_cancelling_a_waiter_loses_nothing(t: FaceTrial) -> None:
    """Whoever is cancelled in the very moment of its delivery gives it back, uncounted."""
    q = t.queue(lease=30)
    rng = random.Random(5)
    got: list[Delivery] = []
    for n in range(60):
        waiter = asyncio.create_task(q.get(wait=10))
        for _ in range(rng.randrange(4)):
            await asyncio.sleep(0)
        publishing = asyncio.create_task(q.publish(b"%d" % n))
        for _ in range(rng.randrange(8)):
            await asyncio.sleep(0)
        if rng.random() < 0.3:
            await asyncio.sleep(rng.random() * 0.003)
        waiter.cancel()
        await publishing
        try:
            delivery = await waiter
        except asyncio.CancelledError:
            continue
        if delivery is not None:
            got.append(delivery)
    while len(got) < 60:
        got.append(await t.one(q))
    expect(len({one.id for one in got}), 60, "different messages delivered")
    expect({one.attempt for one in got}, {1}, "attempts: what was given back is not counted")
    expect(await q.get(wait=0), None, "messages left")


async def g03_a_lost_lease_is_said_so(t: FaceTrial) -> None:
    """Settling after the deadline raises, and so does settling what another one holds."""
    q = t.queue(lease=0.1)
    await q.publish(b"x")
    first = await t.one(q)
    second = await t.one(q, lease=30)
    expect(second.attempt, 2, "attempt of the second delivery")
    for call in (first.ack(), first.nack(), first.release(), first.reject(), first.extend(5)):
        try:
            await call
        except LeaseLost:
            continue
        raise Violation("a settlement of a lost lease was accepted")
    that(first.lost, "the delivery does not know that it is lost")
    await second.ack()


async def g08_a_closed_broker_refuses(t: FaceTrial) -> None:
    """Waiters are sent away with ``Closed``, and so is whoever comes later."""
    q = t.queue()
    waiter = asyncio.create_task(q.get())
    await asyncio.sleep(0.02)
    await t.within(SOON, "closing", t.broker.close())
    for call in (waiter, q.publish(b"x"), q.get(wait=0), q.stats()):
        try:
            await call
        except Closed:
            continue
        raise Violation("a closed broker answered")
    await t.broker.close()


@needs("shared")
async def g09_another_process_wakes(t: FaceTrial) -> None:
    """A waiter of one broker gets what another one publishes or gives back."""
    async with t.connect() as other:
        far, near = other.queue("q"), t.queue()
        await near.stats()
        waiter = asyncio.create_task(near.get(wait=15))
        await asyncio.sleep(0.05)
        await far.publish(b"x")
        delivery = await t.within(SOON, "a publish elsewhere", waiter)
        assert delivery is not None
        waiter = asyncio.create_task(far.get(wait=15))
        await asyncio.sleep(0.05)
        await delivery.nack(delay=0)
        again = await t.within(SOON, "a nack elsewhere", waiter)
        assert again is not None
        await again.ack()


@needs("shared")
async def g10_closing_releases_what_is_held(t: FaceTrial) -> None:
    """At once, and uncounted: nobody has to wait for the leases of a clean shutdown."""
    other = await t.connect().open()
    far = other.queue("q", lease=3600)
    await far.publish_many([b"%d" % n for n in range(5)])
    held = await far.get_many(3)
    ahead = far.receive(prefetch=2)
    expect((await anext(ahead)).content, b"3", "the first of a receiver")
    await other.close()
    expect(len(held), 3, "deliveries held")
    got = await t.queue().get_many(10, wait=SOON)
    expect([one.content for one in got], [b"%d" % n for n in range(5)], "what was released")
    expect({one.attempt for one in got}, {1}, "attempts after a clean shutdown")


async def sync_face_is_the_same_from_any_thread(t: FaceTrial) -> None:
    """The blocking names do the same; ten threads share one broker."""

    def work() -> None:
        with SyncBroker(t.connect()) as broker:
            q = broker.queue("s", lease=30)
            first = q.publish({"n": 1}, key="k")
            expect(q.publish({"n": 1}, key="k").id, first.id, "the id of a duplicate")
            with q.get() as delivery:  # type: ignore[union-attr]  # there is one
                expect(delivery.json(), {"n": 1}, "content")
            expect(q.stats().acked, 1, "acked")
            expect(q.get(wait=0), None, "from an empty queue")
            q.publish_many([b"%d" % n for n in range(10)])
            for delivery in q.receive():
                delivery.ack()
                if q.stats().acked == 11:
                    break

    await asyncio.to_thread(work)
