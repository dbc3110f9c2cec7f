"""Guarantee 3: stale receipts change nothing."""

from __future__ import annotations

from supersoniq.core import ops
from supersoniq.core.errors import LeaseLost
from supersoniq.core.messages import Lease, prepare
from supersoniq.core.ops import Outcome, Settlement
from supersoniq.testing.conformance.suite import needs
from supersoniq.testing.conformance.trial import Trial, expect, that

ENDINGS = (Outcome.ACK, Outcome.NACK, Outcome.RELEASE, Outcome.REJECT)


async def _lost(t: Trial, receipt: Lease | str, what: str, queue: str = "q") -> None:
    """Every outcome with that receipt is refused as LeaseLost and changes nothing."""
    pages = await t.browse(queue=queue)
    before = await t.stats(queue)
    for outcome in Outcome:
        verdict = await t.verdict(receipt, outcome, queue=queue)
        that(isinstance(verdict, LeaseLost), f"{outcome} with {what} was answered {verdict!r}")
    expect(await t.browse(queue=queue), pages, f"messages after settlements with {what}")
    after = await t.stats(queue)
    expect(after.stale, before.stale + len(Outcome), f"stale settlements counted, {what}")
    for name in ("ready", "leased", "dead", "acked", "nacked", "released", "rejected"):
        expect(getattr(after, name), getattr(before, name), f"{name} after {what}")


async def g03_a_lease_is_in_force_until_its_deadline(t: Trial) -> None:
    """One millisecond before the deadline every settlement is accepted."""
    for outcome in Outcome:
        await t.put()
        lease = await t.one(duration=10)
        t.clock.advance(10, ms=-1)
        await t.settle(lease.receipt, outcome)
        await t.do(ops.Delete("q"))


async def g03_a_lease_is_over_at_its_deadline(t: Trial) -> None:
    """At the very millisecond of the deadline every settlement is refused, and it is ready."""
    for by_text in (False, True):
        await t.put(b"x")
        lease = await t.one(duration=10)
        t.clock.advance(10)
        await _lost(t, lease.receipt if by_text else lease, "a receipt at its deadline")
        await t.figures("at the deadline", ready=1, leased=0, lapsed=1)
        await t.do(ops.Delete("q"))


async def g03_an_older_receipt_is_void(t: Trial) -> None:
    """Once the message was delivered again, only the new receipt counts."""
    await t.put(b"x")
    old = await t.one(duration=10)
    t.clock.advance(10)
    new = await t.one()
    await _lost(t, old, "an older lease")
    await _lost(t, old.receipt, "an older receipt")
    await t.ack(new)
    await t.figures("after the new one's ack", acked=1, leased=0, ready=0)


async def g03_a_settled_receipt_takes_no_other_outcome(t: Trial) -> None:
    """A receipt that was settled one way cannot be settled another way."""
    await t.configure(keep_done=100)
    for first in ENDINGS:
        for second in Outcome:
            number = await t.put(b"x")
            lease = await t.one()
            options = {"delay": 50_000} if first in (Outcome.NACK, Outcome.RELEASE) else {}
            await t.settle(lease, first, **options)
            before = await t.look(number)
            verdict = await t.verdict(lease.receipt, second)
            if second is first:
                expect(verdict, None, f"{second} repeated")
            else:
                that(isinstance(verdict, LeaseLost), f"{second} after {first}: {verdict!r}")
            expect(await t.look(number), before, f"the message after {first}, {second}")
            await t.do(ops.Delete("q"))
            await t.configure(keep_done=100)


async def g03_a_repeated_settlement_is_answered_as_the_first_time(t: Trial) -> None:
    """So is it still while the message is with the next consumer, whom it does not harm."""
    for outcome in (Outcome.NACK, Outcome.RELEASE):
        await t.put(b"x")
        first = await t.one()
        await t.settle(first, outcome, delay=0)
        second = await t.one()
        expect(await t.verdict(first.receipt, outcome), None, f"{outcome} repeated")
        await t.figures("while the next one holds it", leased=1, ready=0, stale=0)
        that(isinstance(await t.verdict(first, Outcome.ACK), LeaseLost), "an ack after it")
        await t.ack(second)
        await t.do(ops.Delete("q"))


async def g03_a_lapse_cannot_be_settled_afterwards(t: Trial) -> None:
    """Not even when the message is ready and nobody else has had it."""
    await t.put(b"x")
    lease = await t.one(duration=1)
    t.clock.advance(1)
    that(isinstance(await t.verdict(lease, Outcome.ACK), LeaseLost), "an ack after the lapse")
    expect(await t.contents(), [b"x"], "delivered again")


async def g03_a_foreign_receipt_is_void(t: Trial) -> None:
    """Another queue's receipt, a guessed, mended or shortened one, and garbage."""
    await t.put(b"a")
    await t.put(b"b", queue="other")
    mine, foreign = await t.one(), await t.one(queue="other")
    await _lost(t, foreign, "another queue's lease")
    text = mine.receipt
    flipped = text[:-2] + ("A" if text[-2] != "A" else "B") + text[-1]
    for receipt in (
        foreign.receipt, "", "x", "A" * len(text), text[:-1], text + "A", text + "=", flipped,
        text.swapcase(), " " + text, "\N{SNOWMAN}" * 43, "\ud800", "../" + text,
    ):  # fmt: skip
        await _lost(t, receipt, f"the receipt {receipt!r}")
    await _lost(t, text, "a receipt of the first queue", queue="other")
    await t.ack(mine)
    await t.ack(foreign, queue="other")


async def g03_a_queue_that_does_not_exist_has_no_leases(t: Trial) -> None:
    """Settling there is refused as any lost lease, and makes no queue."""
    await t.put(b"x")
    lease = await t.one()
    verdict = await t.verdict(lease.receipt, Outcome.ACK, queue="nowhere")
    that(isinstance(verdict, LeaseLost), f"an ack to no queue: {verdict!r}")
    expect(await t.do(ops.Queues()), ["q"], "queues")


async def g03_deleting_a_queue_voids_its_receipts(t: Trial) -> None:
    """Also once a queue of the same name, with the same messages, stands there."""
    await t.put(b"x")
    old = await t.one()
    await t.do(ops.Delete("q"))
    that(isinstance(await t.verdict(old, Outcome.ACK), LeaseLost), "an ack to a deleted queue")
    await t.put(b"x")
    new = await t.one()
    that(new.receipt != old.receipt, "a receipt was given twice")
    await _lost(t, old, "a lease of the deleted queue")
    await _lost(t, old.receipt, "a receipt of the deleted queue")
    await t.ack(new)


async def g03_receipts_are_never_reused(t: Trial) -> None:
    """Each lease has a receipt of its own, unguessable from those before it."""
    await t.configure(max_deliveries=0)
    await t.publish(*(prepare(b"%d" % n) for n in range(20)))
    seen: set[str] = set()
    for _ in range(15):
        leases = await t.take(100)
        seen |= {lease.receipt for lease in leases}
        for n, lease in enumerate(leases):
            await t.settle(lease, (Outcome.RELEASE, Outcome.NACK)[n % 2], delay=0)
    expect(len(seen), 300, "different receipts of 300 leases")
    that(min(map(len, seen)) >= 22, "a receipt too short for 128 bits")


async def g03_each_settlement_has_its_own_verdict(t: Trial) -> None:
    """Good and lost leases in one operation: the good ones are settled."""
    await t.publish(*(prepare(b"%d" % n) for n in range(3)))
    stale = await t.one(duration=1)
    t.clock.advance(1)
    a, b, c = await t.take(3)
    verdicts = await t.do(
        ops.Settle(
            "q",
            [
                Settlement(stale, Outcome.ACK),
                Settlement(a, Outcome.ACK),
                Settlement("garbage", Outcome.ACK),
                Settlement(b.receipt, Outcome.NACK, delay=0),
                Settlement(b.receipt, Outcome.ACK),
                Settlement(c, Outcome.EXTEND, duration=60_000),
            ],
        )
    )
    kinds = [type(verdict).__name__ for verdict in verdicts]
    wanted = ["LeaseLost", "NoneType", "LeaseLost", "NoneType", "LeaseLost", "int"]
    expect(kinds, wanted, "verdicts")
    await t.figures("after them", acked=1, ready=1, leased=1, stale=3)


async def g03_an_extension_moves_the_only_deadline(t: Trial) -> None:
    """The old deadline passes without effect; at the new one the lease is over."""
    await t.put(b"x")
    lease = await t.one(duration=10)
    await t.settle(lease, Outcome.EXTEND, duration=20_000)
    t.clock.advance(20, ms=-1)
    await t.figures("past the old deadline", leased=1, ready=0, lapsed=0)
    t.clock.advance(ms=1)
    await _lost(t, lease, "an extended lease at its new deadline")


@needs("lasting")
async def g03_receipts_hold_after_opening_again(t: Trial) -> None:
    """A receipt in force stays so, unless its lease ended with the opener; a stale one is stale."""
    await t.put(b"a")
    await t.put(b"b")
    stale = await t.one(duration=1)
    t.clock.advance(1)
    fresh, other = await t.take(2)
    await t.reopen()
    await _lost(t, stale.receipt, "a stale receipt after opening again")
    if not t.can.leases_stay:
        verdict = await t.verdict(fresh.receipt, Outcome.ACK)
        that(isinstance(verdict, LeaseLost), f"a lease ended with its opener, yet: {verdict!r}")
        await t.figures("after opening again", ready=2, leased=0, released=2)
        return
    await t.ack(fresh.receipt, other.receipt)
    await t.figures("after the acks", acked=2)
