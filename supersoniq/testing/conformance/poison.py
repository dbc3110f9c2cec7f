"""Guarantee 5: poison stops."""

from __future__ import annotations

from supersoniq.core import ops
from supersoniq.core.ops import Outcome
from supersoniq.core.states import Status
from supersoniq.testing.conformance.suite import needs
from supersoniq.testing.conformance.trial import Trial, expect, that


async def g05_a_nack_at_the_limit_is_final(t: Trial) -> None:
    """The last nack makes the message dead in the same step, with the last failure's text."""
    await t.configure(max_deliveries=3)
    number = await t.put(b"x")
    for attempt in (1, 2, 3):
        lease = await t.one()
        expect(lease.attempt, attempt, "attempt")
        await t.nack(lease, reason=f"failure {attempt}")
    await t.figures("at the limit", dead=1, ready=0, scheduled=0, nacked=3)
    seen = await t.look(number)
    expect((seen.status, seen.deliveries), (Status.DEAD, 3), "status, deliveries")
    that(seen.reason is not None and "max_deliveries" in seen.reason, f"reason {seen.reason!r}")
    that(seen.reason is not None and "failure 3" in seen.reason, f"reason {seen.reason!r}")
    expect(await t.contents(), [], "deliveries of a dead message")


async def g05_a_lapse_at_the_limit_is_final(t: Trial) -> None:
    """A consumer that dies uses up deliveries like one that says so."""
    await t.configure(max_deliveries=2)
    number = await t.put(b"x")
    for _ in range(2):
        await t.one(duration=10)
        t.clock.advance(10)
    await t.figures("at the limit", dead=1, ready=0, leased=0, lapsed=2)
    seen = await t.look(number)
    that(seen.reason is not None and "max_deliveries" in seen.reason, f"reason {seen.reason!r}")
    expect(await t.contents(), [], "deliveries of a dead message")


async def g05_the_kinds_of_failure_add_up(t: Trial) -> None:
    """Nacks and lapses count together."""
    await t.configure(max_deliveries=3)
    await t.put(b"x")
    await t.nack(await t.one())
    await t.one(duration=1)
    t.clock.advance(1)
    await t.nack(await t.one(), delay=100)
    await t.figures("after nack, lapse, nack", dead=1, scheduled=0, ready=0)


async def g05_a_release_is_not_counted(t: Trial) -> None:
    """However often a message is given back untried, it does not die of that."""
    await t.configure(max_deliveries=2)
    number = await t.put(b"x")
    for _ in range(5):
        lease = await t.one()
        expect(lease.attempt, 1, "attempt after releases")
        await t.settle(lease, Outcome.RELEASE)
    expect((await t.look(number)).deliveries, 0, "deliveries after releases")
    await t.nack(await t.one())
    last = await t.one()
    expect(last.attempt, 2, "attempt after a nack")
    await t.settle(last, Outcome.RELEASE)  # at the limit, and still not a failure
    await t.figures("after a release at the limit", ready=1, dead=0, released=6)
    await t.nack(await t.one())
    await t.figures("after a nack at the limit", ready=0, dead=1)


async def g05_a_limit_of_one_and_none_at_all(t: Trial) -> None:
    """``max_deliveries`` of 1 ends with the first failure, and 0 never."""
    await t.configure(max_deliveries=1)
    await t.put(b"x")
    await t.nack(await t.one())
    await t.figures("with a limit of 1", dead=1)
    await t.configure("free", max_deliveries=0)
    await t.put(b"x", queue="free")
    for _ in range(30):
        await t.nack(await t.one(queue="free"), queue="free")
    await t.figures("without a limit", "free", dead=0, ready=1, nacked=30)


async def g05_the_limit_is_the_policys_of_the_moment(t: Trial) -> None:
    """A limit that was lowered meanwhile holds at the next failure."""
    await t.put(b"x")
    await t.nack(await t.one())
    await t.nack(await t.one())
    await t.configure(max_deliveries=2)
    expect(await t.contents(), [b"x"], "it is still delivered: only a failure is final")
    t.clock.advance(30)
    await t.figures("after a lapse over the limit", dead=1, ready=0)


async def g05_a_reject_is_final_at_once(t: Trial) -> None:
    """With its reason, whatever the limit."""
    await t.configure(max_deliveries=0)
    number = await t.put(b"x")
    await t.settle(await t.one(), Outcome.REJECT, reason="not a number")
    seen = await t.look(number)
    expect(seen.status, Status.DEAD, "status")
    expect(seen.reason, "rejected: not a number", "reason")
    await t.figures("after a reject", dead=1, rejected=1, ready=0)


async def g05_the_last_failure_is_remembered(t: Trial) -> None:
    """A message that failed and waits says of what; one that fails silently keeps the last word."""
    number = await t.put(b"x")
    await t.nack(await t.one(), reason="timeout")
    expect((await t.look(number)).reason, "timeout", "reason while it is ready")
    await t.nack(await t.one())
    expect((await t.look(number)).reason, "timeout", "reason after a nack without one")
    await t.nack(await t.one(), reason="refused")
    expect((await t.look(number)).reason, "refused", "reason after another one")


async def g05_a_redriven_message_starts_anew(t: Trial) -> None:
    """Deliveries are back to 0, so the limit is as far away as at first."""
    await t.configure(max_deliveries=2)
    number = await t.put(b"x")
    for _ in range(2):
        await t.nack(await t.one(), reason="bad")
    expect(await t.do(ops.Redrive("q")), 1, "redriven")
    seen = await t.look(number)
    expect((seen.status, seen.deliveries), (Status.READY, 0), "status, deliveries")
    expect(seen.reason, "bad", "reason, which is now only the last failure")
    lease = await t.one()
    expect(lease.attempt, 1, "attempt after a redrive")
    await t.nack(lease)
    await t.figures("one failure after a redrive", ready=1, dead=0)
    await t.nack(await t.one())
    await t.figures("two failures after a redrive", ready=0, dead=1, redriven=1)


async def g05_poison_does_not_hold_up_the_others(t: Trial) -> None:
    """Messages behind a poisonous one are delivered all along and after its death."""
    await t.configure(max_deliveries=3)
    await t.put(b"poison")
    for n in range(4):
        await t.put(b"%d" % n)
    got = []
    while leases := await t.take(2):
        for lease in leases:
            content = lease.message().content
            if content == b"poison":
                await t.nack(lease)
            else:
                got.append(content)
                await t.ack(lease)
    expect(got, [b"0", b"1", b"2", b"3"], "the others")
    await t.figures("in the end", dead=1, acked=4, ready=0)


@needs("lasting")
async def g05_a_consumer_that_died_with_its_process_counts(t: Trial) -> None:
    """Deliveries are counted at the lease, so a crash while holding one is counted.

    Unless the lease is released because its connection is lost: that is uncounted.
    """
    await t.configure(max_deliveries=2)
    await t.put(b"x")
    for _ in range(2):
        await t.one(duration=5)
        await t.reopen(crash=True)
        t.clock.advance(5)
    if t.can.leases_stay:
        await t.figures("after two crashes", dead=1, ready=0, lapsed=2)
    else:
        await t.figures("after two crashes", dead=0, ready=1, released=2)
