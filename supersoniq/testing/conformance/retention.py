"""Expiry and retention: what goes by itself, and in which millisecond."""

from __future__ import annotations

from supersoniq.core import ops
from supersoniq.core.errors import IllegalMove, MessageNotFound
from supersoniq.core.ops import Outcome
from supersoniq.core.states import Status
from supersoniq.testing.conformance.trial import Trial, expect, that


async def expiry_is_at_its_millisecond(t: Trial) -> None:
    """Deliverable up to the last one before, gone at the instant itself."""
    await t.put(b"taken", ttl=10)
    number = await t.put(b"left", ttl=10)
    t.clock.advance(10, ms=-1)
    expect(await t.contents(1), [b"taken"], "delivery in the last millisecond")
    t.clock.advance(ms=1)
    await t.figures("at the instant", ready=0, leased=1, expired=1, dead=0)
    await t.refused(MessageNotFound, ops.Look("q", number), "a look at an expired message")


async def expiry_waits_while_somebody_holds_the_message(t: Trial) -> None:
    """A consumer that is at work may finish; what it gives back is gone at once."""
    endings = (Outcome.ACK, Outcome.NACK, Outcome.RELEASE)
    for outcome in endings:
        await t.put(b"x", ttl=10)
        lease = await t.one(duration=60)
        t.clock.advance(20)
        await t.figures("past its expiry", leased=1)
        await t.settle(lease, outcome)
        await t.figures(f"after {outcome}", leased=0, ready=0, scheduled=0)
    await t.put(b"x", ttl=10)
    await t.one(duration=60)
    t.clock.advance(60)
    await t.figures("after a lapse", leased=0, ready=0, acked=1, expired=3, lapsed=1)


async def expiry_also_takes_what_is_scheduled(t: Trial) -> None:
    """A message whose ``ttl`` ends before its delay is never delivered."""
    await t.put(b"never", delay=20, ttl=10)
    await t.put(b"same", delay=10, ttl=10)
    await t.put(b"x", ttl=100)
    await t.nack(await t.one(), delay=200)
    t.clock.advance(10)
    await t.figures("at the first expiries", scheduled=1, expired=2)
    t.clock.advance(90)
    await t.figures("at the last expiry", scheduled=0, ready=0, expired=3)
    expect(await t.contents(), [], "deliveries")


async def expiry_can_make_dead_instead(t: Trial) -> None:
    """By the policy; a redrive then gives a second life without that expiry."""
    await t.configure(on_expiry="dead")
    number = await t.put(b"x", ttl=10)
    t.clock.advance(10)
    seen = await t.look(number)
    expect((seen.status, seen.reason), (Status.DEAD, "expired"), "status, reason")
    await t.figures("at the expiry", dead=1, expired=0, ready=0)
    expect(await t.do(ops.Redrive("q")), 1, "redriven")
    t.clock.advance(1000)
    expect(await t.contents(), [b"x"], "deliveries after the redrive")
    await t.figures("in the end", leased=1, dead=0, expired=0)


async def expiry_that_has_not_come_survives_a_redrive(t: Trial) -> None:
    """A message that died before its ``ttl`` ran out still expires then."""
    await t.put(b"x", ttl=100)
    await t.settle(await t.one(), Outcome.REJECT)
    await t.do(ops.Redrive("q"))
    t.clock.advance(100, ms=-1)
    await t.figures("just before", ready=1)
    t.clock.advance(ms=1)
    await t.figures("at its expiry", ready=0, expired=1)


async def retention_of_done_ends_at_its_millisecond(t: Trial) -> None:
    """Without one a message is gone with its ack; with one it can be looked up so long."""
    gone = await t.put(b"x")
    await t.ack(await t.one())
    await t.refused(MessageNotFound, ops.Look("q", gone), "a look at a finished message")
    await t.configure(keep_done=60)
    number = await t.put(b"y")
    lease = await t.one()
    await t.ack(lease)
    t.clock.advance(60, ms=-1)
    expect((await t.look(number)).status, Status.DONE, "status in the last millisecond")
    expect(await t.verdict(lease.receipt, Outcome.ACK), None, "the ack repeated while it is kept")
    await t.refused(IllegalMove, ops.Cancel("q", number), "a cancel of a done message")
    t.clock.advance(ms=1)
    await t.refused(MessageNotFound, ops.Look("q", number), "a look after its retention")
    verdict = await t.verdict(lease.receipt, Outcome.ACK)
    that(isinstance(verdict, Exception), "an ack of a forgotten message was answered as done")
    await t.figures("in the end", done=0, acked=2, forgotten=0)


async def retention_of_dead_ends_at_its_millisecond(t: Trial) -> None:
    """However it died; without one it is gone, and counted as forgotten, at once."""
    await t.configure(keep_dead=60, on_expiry="dead", max_deliveries=1)
    await t.put(b"rejected")
    await t.settle(await t.one(), Outcome.REJECT)
    await t.put(b"nacked")
    await t.nack(await t.one())
    await t.put(b"expired", ttl=1)
    t.clock.advance(1)
    await t.figures("all dead", dead=3)
    t.clock.advance(59, ms=-1)
    await t.figures("in the last millisecond of the first two", forgotten=0)
    t.clock.advance(ms=1)
    await t.figures("at the end of the first two", forgotten=2)
    t.clock.advance(1)
    await t.figures("at the end of the others", forgotten=3)
    await t.configure("none", keep_dead=0)
    await t.put(b"x", queue="none")
    await t.settle(await t.one(queue="none"), Outcome.REJECT, queue="none")
    await t.figures("without a retention", "none", dead=0, forgotten=1, rejected=1)


async def retention_begins_anew_after_a_redrive(t: Trial) -> None:
    """A message that died twice is kept from its second death."""
    await t.configure(keep_dead=60)
    number = await t.kill(b"x")
    t.clock.advance(50)
    await t.do(ops.Redrive("q"))
    t.clock.advance(20)
    expect((await t.look(number)).status, Status.READY, "status past the first retention")
    await t.settle(await t.one(), Outcome.REJECT)
    t.clock.advance(60, ms=-1)
    await t.figures("just before the second retention ends", dead=1, forgotten=0)
    t.clock.advance(ms=1)
    await t.figures("as it ends", dead=0, forgotten=1)
