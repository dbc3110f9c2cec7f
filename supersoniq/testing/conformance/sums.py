"""Guarantee 7: conservation, and that each figure counts what its name says."""

from __future__ import annotations

import random

from supersoniq.core import ops
from supersoniq.core.messages import prepare
from supersoniq.core.ops import Outcome, Settlement
from supersoniq.core.states import Status
from supersoniq.core.tally import conserved
from supersoniq.testing.conformance.suite import needs
from supersoniq.testing.conformance.trial import Trial, expect, that


async def _conserved(t: Trial, what: str) -> None:
    stats = await t.stats()
    that(conserved(stats), f"messages are not conserved {what}: {stats}")


async def g07_every_move_is_counted_once(t: Trial) -> None:
    """One message down each way of the state table, with every figure known beforehand."""
    await t.configure(keep_done=10, keep_dead=20, max_deliveries=1)
    await t.put(b"acked")
    await t.ack(await t.one())
    await t.figures("an ack", published=1, acked=1, done=1, leases=1)
    await t.put(b"nacked")
    await t.nack(await t.one())
    await t.figures("a nack at the limit", nacked=1, dead=1)
    await t.put(b"rejected")
    await t.settle(await t.one(), Outcome.REJECT)
    await t.figures("a reject", rejected=1, dead=2)
    cancelled = await t.put(b"cancelled", delay=5)
    await t.do(ops.Cancel("q", cancelled))
    await t.figures("a cancel", cancelled=1, scheduled=0)
    await t.put(b"expired", ttl=1)
    t.clock.advance(1)
    await t.figures("an expiry", expired=1, ready=0)
    await t.put(b"lapsed")
    lease = await t.one(duration=1)
    await t.settle(lease, Outcome.RELEASE)
    await t.one(duration=1)
    t.clock.advance(1)
    await t.figures("a release, then a lapse", released=1, lapsed=1, dead=3, leases=5)
    expect(await t.do(ops.Redrive("q", limit=1)), 1, "redriven")
    await t.figures("a redrive", redriven=1, dead=2, ready=1)
    expect(await t.do(ops.Purge("q", Status.DEAD)), 2, "purged")
    await t.figures("a purge", purged=2, dead=0, ready=1)
    await _conserved(t, "after the purge")
    await t.settle(await t.one(), Outcome.REJECT)
    t.clock.advance(20)
    await t.figures("retention over", forgotten=1, dead=0, done=0, acked=1, published=6)
    await t.put(key="k")
    await t.put(key="k")
    await t.figures("a duplicate", duplicates=1, published=7, ready=1)
    await _conserved(t, "in the end")
    stats = await t.stats()
    expect((stats.queue, stats.paused, stats.paused_until), ("q", False, None), "the rest")


async def g07_purging_done_messages_counts_them_once(t: Trial) -> None:
    """A done one is already among the acked, so its purge counts no second time."""
    await t.configure(keep_done=100)
    await t.publish(*(prepare(b"%d" % n) for n in range(4)))
    await t.ack(*await t.take(4))
    expect(await t.do(ops.Purge("q", Status.DONE)), 4, "purged")
    await t.figures("after the purge", acked=4, done=0, purged=0)
    await _conserved(t, "after a purge of done ones")


async def g07_figures_agree_with_the_messages(t: Trial) -> None:
    """After every one of 400 steps the law holds and the figures are a count of the messages."""
    rng = random.Random(7)
    await t.configure(keep_done=40, keep_dead=60, max_deliveries=3, lease=10)
    held: list[str] = []
    for _ in range(400):
        what = rng.randrange(10)
        if what < 3:
            batch = [
                prepare(
                    b"x",
                    priority=rng.randrange(3),
                    delay=rng.choice((0, 0, 5)),
                    ttl=rng.choice((None, None, 15)),
                    recipient=rng.choice((None, None, "r")),
                )
                for _ in range(rng.randrange(1, 6))
            ]
            await t.publish(*batch)
        elif what < 5:
            taken = await t.take(rng.randrange(1, 5), recipient=rng.choice((None, "r")))
            held += [lease.receipt for lease in taken]
        elif what < 8 and held:
            picked = [
                held.pop(rng.randrange(len(held))) for _ in range(min(len(held), rng.randrange(4)))
            ]
            outcomes = [rng.choice(list(Outcome)) for _ in picked]
            settlements = [Settlement(*pair) for pair in zip(picked, outcomes, strict=True)]
            await t.do(ops.Settle("q", settlements))
        elif what == 8:
            t.clock.advance(rng.randrange(12))
        else:
            await t.do(rng.choice([ops.Redrive("q", limit=2), ops.Purge("q", Status.DONE)]))
        await _conserved(t, "in the middle of things")
        stats = await t.stats()
        page = await t.browse()
        counts = dict.fromkeys(Status, 0)
        for message in page:
            counts[message.status] += 1
        for status in Status:
            expect(getattr(stats, status), counts[status], f"{status} messages by the figures")


@needs("shared")
async def g07_every_opener_has_the_same_figures(t: Trial) -> None:
    """Whoever made the moves."""
    other = await t.open()
    await t.put(b"a", on=other)
    await t.put(b"b")
    lease = await t.one(on=other)
    await t.ack(lease.receipt)
    expect(await t.stats(), await t.stats(on=other), "figures of two openers")
    await _conserved(t, "with two openers")
