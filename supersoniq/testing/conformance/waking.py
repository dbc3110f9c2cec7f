"""Guarantee 9: waiting is cheap and wakes at once.

At the port a waiter does two things: it listens, and it sleeps for ``wake_in`` at the most. So a
stir must come for whatever a call changes, and ``wake_in`` not be later than what time changes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from supersoniq.core import ops
from supersoniq.core.messages import EventKind
from supersoniq.core.ops import Outcome
from supersoniq.testing.conformance.suite import needs
from supersoniq.testing.conformance.trial import Ear, Trial, expect, that


async def _heard(t: Trial, ear: Ear, before: int) -> bool:
    """Whether the ear hears something more, within the harness's patience."""
    end = time.monotonic() + t.harness.patience
    while ear.heard <= before:
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.001)
    return True


async def _stirs(t: Trial, what: str, act: Callable[[], Awaitable[object]]) -> None:
    ear = t.ear()
    try:
        before = ear.heard
        await act()
        that(await _heard(t, ear, before), f"nobody was woken by {what}")
    finally:
        ear.stop()


async def g09_publishing_wakes(t: Trial) -> None:
    """Also the publish that makes the queue, and one to a recipient."""
    await _stirs(t, "the first publish", lambda: t.put(b"x"))
    await _stirs(t, "a publish", lambda: t.put(b"x"))
    await _stirs(t, "a publish to a recipient", lambda: t.put(b"x", recipient="r"))


async def g09_whatever_returns_wakes(t: Trial) -> None:
    """A nack, a release, a redrive and a resume."""
    await t.put(b"x")
    lease = await t.one()
    await _stirs(t, "a nack", lambda: t.nack(lease))
    again = await t.one()
    await _stirs(t, "a release", lambda: t.settle(again, Outcome.RELEASE))
    await t.settle(await t.one(), Outcome.REJECT)
    await _stirs(t, "a redrive", lambda: t.do(ops.Redrive("q")))
    await t.do(ops.Pause("q"))
    await _stirs(t, "a resume", lambda: t.do(ops.Resume("q")))


async def g09_a_jump_of_the_clock_wakes(t: Trial) -> None:
    """What time brings is found at once when a test moves the clock: lapse, due, end of a pause."""

    async def jump(seconds: float) -> None:
        t.clock.advance(seconds)

    await t.put(b"leased")
    await t.one(duration=10)
    await _stirs(t, "a lapse", lambda: jump(10))
    expect(await t.contents(), [b"leased"], "what lapsed")
    await t.put(b"scheduled", delay=5)
    await _stirs(t, "a due message", lambda: jump(5))
    expect(await t.contents(), [b"scheduled"], "what came due")
    await t.put(b"paused")
    await t.do(ops.Pause("q", duration=5000))
    await _stirs(t, "the end of a pause", lambda: jump(5))
    expect(await t.contents(), [b"paused"], "what was paused")


async def g09_a_waiter_is_told_how_long_to_sleep(t: Trial) -> None:
    """``wake_in`` is never later than what time makes ready next, and ``None`` is for ever."""

    async def at_most(ms: int, what: str) -> None:
        taken = await t.do(ops.Take("q", 10))
        expect(taken.leases, [], f"messages ready with {what}")
        wake = taken.wake_in
        that(wake is not None and 0 <= wake <= ms, f"wake_in with {what}: {wake}, not {ms} ms")

    await t.configure(keep_dead=0)
    taken = await t.do(ops.Take("q"))
    expect((taken.leases, taken.wake_in), ([], None), "a take from an empty queue")
    await t.put(b"later", delay=50)
    await at_most(50_000, "a scheduled message")
    await t.put(b"x")
    lease = await t.one(duration=20)
    await at_most(20_000, "a lease")
    await t.settle(lease, Outcome.EXTEND, duration=8000)
    await at_most(8_000, "a shortened lease")
    await t.settle(lease, Outcome.EXTEND, duration=30_000)
    await at_most(30_000, "a prolonged lease")
    await t.nack(lease, delay=12)
    await at_most(12_000, "a nacked message")
    await t.do(ops.Pause("q", duration=7000))
    await at_most(7_000, "a pause")


async def g09_sleeping_by_wake_in_misses_nothing(t: Trial) -> None:
    """A waiter that sleeps exactly as told takes every message in the millisecond it is ready."""
    wanted = []
    for delay in (3, 1, 7, 7, 20):
        await t.put(b"%d" % delay, delay=delay)
        wanted.append((t.clock.now() + delay * 1000, b"%d" % delay))
    got = []
    for _ in range(50):
        taken = await t.do(ops.Take("q", 10))
        for lease in taken.leases:
            got.append((t.clock.now(), lease.message().content))
            await t.ack(lease)
        if taken.leases:
            continue
        if taken.wake_in is None:
            break
        t.clock.advance(ms=max(taken.wake_in, 1))
    expect(got, sorted(wanted, key=lambda pair: pair[0]), "when messages were taken")


async def g09_an_event_wakes_a_watcher(t: Trial) -> None:
    """Watchers listen as consumers do."""
    await t.put(b"x")
    await t.put(b"y")
    await t.follow(None, EventKind.ACKED, EventKind.LEASED)
    await _stirs(t, "an event of a lease", lambda: t.one())
    lease = await t.one()
    await _stirs(t, "an event of an ack", lambda: t.ack(lease))


async def g09_who_stopped_listening_hears_nothing(t: Trial) -> None:
    """And one's stopping does not make others deaf, nor does listening twice count once."""
    first, second = t.ear(), t.ear()
    first.stop()
    await t.put(b"x")
    that(await _heard(t, second, 0), "the other listener was not woken")
    expect(first.heard, 0, "stirs after stopping")
    second.stop()
    first.stop()
    third = t.ear()
    await t.put(b"x")
    that(await _heard(t, third, 0), "a later listener was not woken")
    third.stop()


async def g09_queues_do_not_wake_each_others_waiters_for_ever(t: Trial) -> None:
    """A busy queue may stir another's waiter now and then, but not at each of its messages."""
    await t.put(b"x", queue="idle")
    ear = t.ear("idle")
    for _ in range(200):
        await t.put(b"x")
        await t.ack(await t.one())
    await asyncio.sleep(0.01)
    that(ear.heard < 100, f"{ear.heard} stirs of an idle queue by 200 messages of another")
    ear.stop()


@needs("shared")
async def g09_another_opener_wakes(t: Trial) -> None:
    """A publish, nack, release or resume through one backend stirs listeners of the other."""
    other = await t.open()
    await t.put(b"x")
    far = t.ear(on=other)

    async def told(what: str, act: Awaitable[object]) -> None:
        before = far.heard
        await act
        that(await _heard(t, far, before), f"{what} elsewhere woke nobody here")
        await asyncio.sleep(0.05)  # let what is under way arrive, so that it counts for this one

    await told("a publish", t.put(b"y"))
    lease, second = await t.take(2)
    await told("a nack", t.nack(lease))
    await told("a release", t.settle(second, Outcome.RELEASE))
    await t.do(ops.Pause("q"))
    await told("a resume", t.do(ops.Resume("q")))
    far.stop()
