"""Guarantee 2: at least once, and a duplicate only for a reason."""

from __future__ import annotations

from supersoniq.core import ops
from supersoniq.core.messages import prepare
from supersoniq.core.ops import Outcome, Settlement
from supersoniq.testing.conformance.suite import needs
from supersoniq.testing.conformance.trial import Trial, expect, that


async def g02_a_held_message_is_not_delivered_again(t: Trial) -> None:
    """As long as a lease is in force, nobody else gets its message."""
    for n in range(20):
        await t.put(b"%d" % n)
    got = await t.contents(1)
    t.clock.advance(29.999)  # the first lease's last millisecond
    for _ in range(30):
        got += await t.contents(1)
    expect(got, [b"%d" % n for n in range(20)], "deliveries while every lease is in force")


async def g02_takes_that_come_together_share_nothing(t: Trial) -> None:
    """Operations of one batch do not get each other's messages."""
    await t.publish(*(prepare(b"%d" % n) for n in range(30)))
    results = await t.backend.execute([ops.Take("q", 7) for _ in range(6)])
    got = [lease.message().content for taken in results for lease in taken.leases]
    expect(sorted(got), sorted(b"%d" % n for n in range(30)), "deliveries of six takes at once")


async def g02_an_acked_message_does_not_come_back(t: Trial) -> None:
    """Neither time nor anything else brings an acknowledged message back."""
    await t.configure(keep_done=100)
    for n in range(10):
        await t.put(b"%d" % n)
    await t.ack(*await t.take(5))
    await t.ack(*await t.take(5))
    for seconds in (30, 60, 100, 400_000):
        t.clock.advance(seconds)
        expect(await t.contents(), [], f"deliveries {seconds} s after the ack")


async def g02_a_lapse_a_nack_and_a_release_bring_it_back(t: Trial) -> None:
    """The three causes of a second delivery, each with the next attempt's number."""
    await t.put(b"x")
    first = await t.one()
    expect(first.attempt, 1, "attempt of the first delivery")
    await t.nack(first)
    second = await t.one()
    expect(second.attempt, 2, "attempt after a nack")
    await t.settle(second, Outcome.RELEASE)
    third = await t.one()
    expect(third.attempt, 2, "attempt after a release, which is not counted")
    t.clock.advance(30)
    fourth = await t.one()
    expect(fourth.attempt, 3, "attempt after a lapse")
    expect(fourth.message().deliveries, 3, "deliveries")


async def g02_delays_hold(t: Trial) -> None:
    """A delay of a publish, nack or release ends at its millisecond and not before."""
    await t.put(b"published", delay=5)
    await t.put(b"nacked")
    await t.put(b"released")
    nacked, released = await t.take(2)
    await t.nack(nacked, delay=5)
    await t.settle(released, Outcome.RELEASE, delay=5000)
    await t.figures("with three delays", scheduled=3, ready=0, leased=0)
    t.clock.advance(ms=4999)
    expect(await t.contents(), [], "deliveries a millisecond before the delays end")
    t.clock.advance(ms=1)
    expect(await t.contents(), [b"published", b"nacked", b"released"], "as the delays end")


async def g02_a_nack_without_a_delay_backs_off(t: Trial) -> None:
    """The queue's backoff doubles, less a share that is derived, and stays under its maximum."""
    await t.configure(backoff={"initial": 10, "factor": 2, "maximum": 30, "jitter": 0})
    await t.put(b"x")
    for wait in (10, 20, 30, 30):
        await t.nack(await t.one(), delay=None)
        t.clock.advance(wait, ms=-1)
        expect(await t.contents(), [], f"deliveries just before a backoff of {wait} s ends")
        t.clock.advance(ms=1)
    await t.one()
    await t.configure("j", backoff={"initial": 10, "factor": 1, "maximum": 30, "jitter": 0.5})
    waits = set()
    for n in range(20):
        number = await t.put(b"%d" % n, queue="j")
        await t.nack(await t.one(queue="j"), delay=None, queue="j")
        waits.add((await t.look(number, queue="j")).available_at - t.clock.now())
    that(all(5000 <= wait <= 10_000 for wait in waits), f"a backoff outside its jitter: {waits}")
    that(len(waits) > 10, "failures with jitter do not spread out")


async def g02_a_lease_has_the_length_asked_for(t: Trial) -> None:
    """The policy's, or the consumer's own."""
    await t.configure(lease=7)
    await t.put()
    await t.put()
    lease, long = await t.one(), await t.one(duration=3600)
    expect(lease.deadline, t.clock.now() + 7_000, "deadline by the policy")
    expect(long.deadline, t.clock.now() + 3_600_000, "deadline asked for")
    taken = await t.do(ops.Take("q", 5))
    expect(taken.leases, [], "messages left")
    t.clock.advance(7)
    await t.figures("when the shorter one is over", ready=1, leased=1, lapsed=1)
    t.clock.advance(3593)
    await t.figures("when both are over", ready=2, leased=0, lapsed=2)


async def g02_an_extended_lease_is_held_longer_or_shorter(t: Trial) -> None:
    """The deadline moves to now plus the duration, back and forth, and only the last one counts."""
    await t.put(b"early")
    await t.put(b"x")
    await t.one(duration=30)  # another lease of that length, so that lanes and heaps are not empty
    lease = await t.one(duration=30)
    for seconds in (10, 30, 5, 30):
        deadline = await t.settle(lease, Outcome.EXTEND, duration=seconds * 1000)
        expect(deadline, t.clock.now() + seconds * 1000, "deadline after an extension")
    await t.figures("extended", leased=2)
    t.clock.advance(29, ms=999)
    await t.figures("just before the last deadline", leased=2, lapsed=0)
    t.clock.advance(ms=1)
    await t.figures("at the last deadline", leased=0, ready=2, lapsed=2)
    again = await t.take(5)
    expect([lease.attempt for lease in again], [2, 2], "attempts after one lapse each")


async def g02_an_extension_by_default_is_the_queues_lease(t: Trial) -> None:
    """Without a duration an extension gives the policy's lease from now."""
    await t.configure(lease=20)
    await t.put()
    lease = await t.one(duration=5)
    t.clock.advance(4)
    deadline = await t.settle(lease, Outcome.EXTEND)
    expect(deadline, t.clock.now() + 20_000, "deadline after an extension without a duration")


async def g02_settlements_of_many_leases_at_once(t: Trial) -> None:
    """A hundred settlements in one operation end a hundred leases, each in its own way."""
    await t.configure(keep_done=10)
    await t.publish(*(prepare(b"%d" % n) for n in range(100)))
    leases = await t.take(100)
    outcomes = [Outcome.ACK, Outcome.NACK, Outcome.RELEASE, Outcome.REJECT, Outcome.EXTEND]
    verdicts = await t.do(
        ops.Settle(
            "q",
            [
                Settlement(lease.receipt if n % 3 else lease, outcomes[n % 5], delay=0)
                for n, lease in enumerate(leases)
            ],
        )
    )
    extended = [n for n, verdict in enumerate(verdicts) if verdict is not None]
    expect(extended, list(range(4, 100, 5)), "verdicts that are deadlines")
    await t.figures("after them", done=20, ready=40, dead=20, leased=20, acked=20)


@needs("shared")
async def g02_two_openers_share_nothing(t: Trial) -> None:
    """Two backends on one store never hold the same message."""
    other = await t.open()
    await t.publish(*(prepare(b"%d" % n) for n in range(60)))
    got: list[bytes] = []
    for n in range(20):
        got += await t.contents(4, on=other if n % 2 else None)
    expect(sorted(got), sorted(b"%d" % n for n in range(60)), "deliveries to two openers")
