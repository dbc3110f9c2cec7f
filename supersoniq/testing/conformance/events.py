"""Events (``Follow``): what watchers are told, and that they are told of what they missed."""

from __future__ import annotations

from supersoniq.core import ops
from supersoniq.core.log import LINGER
from supersoniq.core.messages import Event, EventKind, prepare
from supersoniq.core.ops import Outcome
from supersoniq.testing.conformance.suite import needs
from supersoniq.testing.conformance.trial import Trial, expect, that

ALL = [kind for kind in EventKind if kind is not EventKind.GAP]


def _told(events: list[Event]) -> list[tuple[str, bytes]]:
    return [(str(e.kind), e.message.content if e.message else b"") for e in events]


async def follow_begins_now(t: Trial) -> None:
    """Without an offset it gives nothing but where to go on; from there, everything."""
    await t.put(b"before")
    events, offset = await t.follow(None)
    expect(events, [], "events without an offset")
    await t.put(b"1")
    await t.put(b"2", delay=5, recipient="r")
    events, onwards = await t.follow(offset)
    expect(_told(events), [("published", b"1"), ("published", b"2")], "events")
    expect([e.at for e in events], [t.clock.now()] * 2, "instants of events")
    message = events[1].message
    that(message is not None and message.status == "scheduled", f"the message told: {message}")
    expect((await t.follow(onwards))[0], [], "events after the last one")
    expect(_told((await t.follow(offset))[0]), _told(events), "the same offset asked again")


async def follow_tells_every_move(t: Trial) -> None:
    """Each kind once, in the order in which it happened, with the message right after it."""
    await t.configure(keep_done=5, keep_dead=50)
    _, offset = await t.follow(None, *ALL)
    await t.put(b"a", delay=1)
    t.clock.advance(1)
    first = await t.one()
    await t.settle(first, Outcome.EXTEND, duration=2000)
    t.clock.advance(2)
    await t.nack(await t.one())
    await t.settle(await t.one(), Outcome.RELEASE)
    await t.settle(await t.one(), Outcome.REJECT)
    await t.do(ops.Redrive("q"))
    await t.ack(await t.one())
    t.clock.advance(5)
    cancelled = await t.put(b"b")
    await t.do(ops.Cancel("q", cancelled))
    await t.put(b"c")
    await t.do(ops.Purge("q"))
    await t.put(b"d", ttl=1)
    t.clock.advance(1)
    events, _ = await t.follow(offset, *ALL)
    wanted = (
        "published a, due a, leased a, extended a, lapsed a, leased a, nacked a, leased a, "
        "released a, leased a, rejected a, redriven a, leased a, acked a, forgotten a, "
        "published b, cancelled b, published c, purged c, published d, expired d"
    )
    told = ", ".join(f"{kind} {content.decode()}" for kind, content in _told(events))
    expect(told, wanted, "events")
    offsets = [event.offset for event in events]
    that(offsets == sorted(set(offsets)), "offsets do not grow")
    statuses = [str(e.message.status) for e in events[:7] if e.message]
    wanted_statuses = ["scheduled", "ready", "leased", "leased", "ready", "leased", "ready"]
    expect(statuses, wanted_statuses, "the statuses told")


async def follow_gives_only_the_kinds_asked_for(t: Trial) -> None:
    """Two watchers with different kinds each get their own."""
    await t.put(b"0")
    _, published = await t.follow(None)
    _, acked = await t.follow(None, EventKind.ACKED)
    await t.put(b"1")
    await t.ack(*await t.take(2))
    events, _ = await t.follow(published)
    expect(_told(events), [("published", b"1")], "events of one watcher")
    events, _ = await t.follow(acked, EventKind.ACKED)
    expect(_told(events), [("acked", b"0"), ("acked", b"1")], "events of the other")


async def follow_in_pages(t: Trial) -> None:
    """A limit cuts, and the offset given goes on right there."""
    await t.put(b"first")
    _, offset = await t.follow(None)
    await t.publish(*(prepare(b"%d" % n) for n in range(25)))
    seen: list[bytes] = []
    for _ in range(10):
        events, offset = await t.follow(offset, limit=7)
        that(len(events) <= 7, f"a page of {len(events)} where 7 were asked for")
        seen += [content for _, content in _told(events)]
    expect(seen, [b"%d" % n for n in range(25)], "events in pages")


async def follow_tells_a_gap_after_too_long_away(t: Trial) -> None:
    """Recording lingers for a while after the last follow; past that the watcher is told."""
    await t.put(b"0")
    _, offset = await t.follow(None)
    t.clock.advance(ms=LINGER - 1)
    await t.put(b"1")
    events, offset = await t.follow(offset)
    expect(_told(events), [("published", b"1")], "events within the linger")
    t.clock.advance(ms=LINGER)
    await t.put(b"2")
    events, offset = await t.follow(offset)
    expect(_told(events), [("gap", b"")], "events after the linger")
    await t.put(b"3")
    events, _ = await t.follow(offset)
    expect(_told(events), [("published", b"3")], "events after the gap")


async def follow_tells_a_gap_for_an_offset_of_elsewhere(t: Trial) -> None:
    """An offset from the future or from long ago is not taken as if nothing had been missed."""
    await t.put(b"0")
    _, offset = await t.follow(None)
    for foreign in (offset + 1_000_000, 0, 1):
        events, onwards = await t.follow(foreign)
        expect(_told(events)[:1], [("gap", b"")], f"events after {foreign - offset:+}")
        await t.put(b"x")
        events, _ = await t.follow(onwards)
        expect(_told(events), [("published", b"x")], "events after the gap")


@needs("lasting")
async def follow_never_misses_silently_over_an_opening(t: Trial) -> None:
    """After opening again a watcher goes on where it was, or is told of a gap."""
    await t.put(b"0")
    _, offset = await t.follow(None)
    await t.put(b"1")
    t.clock.advance(2)
    await t.reopen()
    await t.put(b"2")
    events, onwards = await t.follow(offset)
    told = _told(events)
    whole = [("published", b"1"), ("published", b"2")]
    that(told == whole or told[:1] == [("gap", b"")], f"events over an opening: {told}")
    await t.put(b"3")
    expect(_told((await t.follow(onwards))[0]), [("published", b"3")], "events after it")


@needs("shared")
async def follow_tells_what_another_opener_did(t: Trial) -> None:
    """To every watcher, in any process."""
    other = await t.open()
    await t.put(b"0")
    _, offset = await t.follow(None)
    await t.put(b"1", on=other)
    events, _ = await t.follow(offset)
    expect(_told(events), [("published", b"1")], "events of what another opener did")
