"""Guarantee 10: a slow or dead consumer harms nobody.

Bounded buffers and clean shutdowns are the faces' part of it; at the port it is what a consumer
that does nothing more may hold, and for how long.
"""

from __future__ import annotations

from supersoniq.core import ops
from supersoniq.core.messages import EventKind, prepare
from supersoniq.core.ops import Outcome
from supersoniq.testing.conformance.suite import needs
from supersoniq.testing.conformance.trial import Trial, expect, that


async def g10_a_dead_consumers_leases_return(t: Trial) -> None:
    """At their deadlines, to whoever asks, and in their old places."""
    await t.publish(*(prepare(b"%d" % n) for n in range(10)))
    await t.take(4)
    got = await t.contents(2, duration=100)
    expect(got, [b"4", b"5"], "what a second consumer gets meanwhile")
    t.clock.advance(30)
    got = await t.contents()
    expect(got, [b"0", b"1", b"2", b"3", *(b"%d" % n for n in range(6, 10))], "what it gets then")


async def g10_a_hoarder_does_not_hold_up_others(t: Trial) -> None:
    """However much one consumer holds, what is published next goes to the others."""
    await t.publish(*(prepare(b"hoarded") for n in range(500)))
    hoard = await t.take(500, duration=3600)
    expect(len(hoard), 500, "messages hoarded")
    for n in range(20):
        await t.put(b"%d" % n)
        lease = await t.one()
        expect(lease.message().content, b"%d" % n, "what another consumer gets")
        await t.ack(lease)
    await t.figures("with a hoarder", leased=500, ready=0, acked=20)


async def g10_a_take_is_never_more_than_was_asked(t: Trial) -> None:
    """A consumer's credit is its own business: a limit is a limit."""
    await t.publish(*(prepare(b"x", recipient=(None, "r")[n % 2]) for n in range(50)))
    for limit in (1, 2, 5, 10):
        expect(len(await t.take(limit, recipient="r")), limit, "messages taken")
    await t.figures("after them", leased=18, ready=32)


async def g10_a_take_ends_early_where_contents_are_large(t: Trial) -> None:
    """Bounded by bytes it gives one message at least, and the rest is still there, in order."""
    contents = [bytes([n]) * 100_000 for n in range(12)]
    await t.publish(
        *(prepare(each, recipient=(None, "r")[n % 2]) for n, each in enumerate(contents))
    )
    got: list[bytes] = []
    for most, count in ((1, 1), (100_000, 1), (250_000, 3), (10**9, 2)):
        taken: ops.Taken = await t.do(ops.Take("q", 7 - len(got), "r", None, most))
        got += [lease.message().content for lease in taken.leases]
        expect(len(taken.leases), count, f"messages taken for {most} bytes")
    await t.figures("after them", leased=7, ready=5)
    got += await t.contents(recipient="r")
    that(got == contents, "they did not come in their order")


async def g10_releasing_everything_at_once(t: Trial) -> None:
    """What a clean shutdown does: all leases back, uncounted, at once, in their old places."""
    await t.publish(*(prepare(b"%d" % n) for n in range(30)))
    leases = await t.take(30)
    settlements = [ops.Settlement(lease, Outcome.RELEASE) for lease in reversed(leases)]
    await t.do(ops.Settle("q", settlements))
    again = await t.take(30)
    expect([lease.message().content for lease in again], [b"%d" % n for n in range(30)], "order")
    expect({lease.attempt for lease in again}, {1}, "attempts after a release")


async def g10_a_watcher_that_stays_away_holds_nobody_up(t: Trial) -> None:
    """Far more events than a log keeps: publishers go on, and the watcher is told of a gap."""
    await t.put(b"first")
    _, offset = await t.follow(None)
    for _ in range(13):
        await t.publish(*(prepare(b"") for _ in range(1000)))
    events, onwards = await t.follow(offset, limit=20_000)
    expect(events[0].kind, EventKind.GAP, "the first event after falling behind")
    that(len(events) <= 12_001, f"{len(events)} events kept for a watcher that stays away")
    await t.put(b"last")
    events, _ = await t.follow(onwards)
    expect(
        [event.message.content for event in events if event.message],
        [b"last"],
        "events after the watcher caught up",
    )
    await t.figures("publishers", published=13_002)


async def g10_cancelling_what_a_consumer_holds_is_refused(t: Trial) -> None:
    """Nobody can pull a message from under its consumer, by any of the ways to drop messages."""
    number = await t.put(b"x")
    lease = await t.one()
    before = await t.look(number)
    for op in (ops.Cancel("q", number), ops.Purge("q", before.status), ops.Redrive("q", [number])):
        (result,) = await t.backend.execute([op])
        that(isinstance(result, RuntimeError), f"{type(op).__name__} of a leased one: {result!r}")
    expect(await t.do(ops.Purge("q")), 0, "purged, of the leased ones")
    expect(await t.look(number), before, "the leased message")
    await t.ack(lease)


@needs("shared")
async def g10_a_dead_opener_harms_nobody(t: Trial) -> None:
    """One backend dies with leases in its hands; the other gets them when they are over.

    That is at once where they end with the opener, without harm to their order.
    """
    other = await t.open()
    await t.publish(*(prepare(b"%d" % n) for n in range(5)))
    await t.take(3, on=other)
    await t.harness.crash(other)
    if not t.can.leases_stay:
        expect(await t.contents(), [b"%d" % n for n in range(5)], "messages that nobody held")
        return
    expect(await t.contents(), [b"3", b"4"], "messages that nobody held")
    t.clock.advance(30)
    expect(await t.contents(3), [b"0", b"1", b"2"], "messages of the dead one")
