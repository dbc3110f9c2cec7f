"""Looking at queues and changing them: browse, cancel, redrive, purge, pause, delete, explain."""

from __future__ import annotations

from supersoniq.core import ops
from supersoniq.core.errors import (
    IllegalMove,
    MessageLeased,
    MessageNotFound,
    QueueNotFound,
    TooManyQueues,
)
from supersoniq.core.messages import prepare
from supersoniq.core.ops import Outcome
from supersoniq.core.states import Status
from supersoniq.testing.conformance.suite import needs
from supersoniq.testing.conformance.trial import Trial, expect, that


def _number(id: str) -> int:
    return int(id.replace("-", ""), 16)


async def browse_gives_pages_in_publish_order(t: Trial) -> None:
    """Whatever the priority, delay or status; and takes no lease."""
    for n in range(25):
        await t.put(b"%d" % n, priority=n % 5, delay=n % 3)
    lease = await t.one()
    before = await t.stats()
    seen: list[bytes] = []
    after = None
    while page := await t.browse(after=after, limit=7):
        that(len(page) <= 7, f"a page of {len(page)} where 7 were asked for")
        seen += [message.content for message in page]
        after = _number(page[-1].id)
    expect(seen, [b"%d" % n for n in range(25)], "pages")
    expect(await t.stats(), before, "figures after browsing")
    await t.ack(lease)


async def browse_by_status(t: Trial) -> None:
    """Only those in that status at that moment."""
    await t.configure(keep_done=100)
    await t.put(b"done")
    await t.ack(await t.one())
    await t.kill(b"dead")
    await t.put(b"leased")
    await t.one()
    await t.put(b"scheduled", delay=5)
    await t.put(b"ready")
    for status in Status:
        page = await t.browse(status)
        expect([message.content for message in page], [status.encode()], f"page of {status} ones")
    t.clock.advance(5)
    contents = [message.content for message in await t.browse(Status.READY)]
    expect(contents, [b"scheduled", b"ready"], "page of ready ones later")


async def browse_cursors_hold_while_messages_come_and_go(t: Trial) -> None:
    """What was there all along is seen exactly once; a cursor outlives its message."""
    numbers = [await t.put(b"%d" % n) for n in range(30)]
    seen: list[bytes] = []
    after = None
    step = 0
    while page := await t.browse(after=after, limit=4):
        seen += [message.content for message in page]
        after = _number(page[-1].id)
        await t.do(ops.Cancel("q", after))  # the cursor's own message
        if step < 2:
            await t.do(ops.Cancel("q", numbers[20 + step]))  # one that is still to come
        await t.put(b"new") if step < 3 else None
        step += 1
    wanted = [b"%d" % n for n in range(30) if n not in (20, 21)] + [b"new"] * 3
    expect(seen, wanted, "pages while messages come and go")


async def browse_refuses_a_foreign_cursor(t: Trial) -> None:
    """Another queue's id is no place in this one."""
    await t.put(b"x")
    foreign = await t.put(b"x", queue="other")
    await t.refused(MessageNotFound, ops.Browse("q", None, foreign), "a foreign cursor")


async def cancel_drops_what_nobody_holds(t: Trial) -> None:
    """Scheduled, ready and dead ones; a leased or done one is refused and stays as it was."""
    await t.configure(keep_done=100)
    scheduled, ready = await t.put(b"s", delay=5), await t.put(b"r")
    dead = await t.kill(b"d")
    for number in (scheduled, ready, dead):
        await t.do(ops.Cancel("q", number))
        await t.refused(MessageNotFound, ops.Cancel("q", number), "a second cancel")
    await t.figures("after three cancels", scheduled=0, ready=0, dead=0, cancelled=3)
    held = await t.put(b"held")
    lease = await t.one()
    error = await t.refused(MessageLeased, ops.Cancel("q", held), "a cancel of a leased one")
    expect((error.move, error.status), ("cancel", "leased"), "what the error says")
    await t.ack(lease)
    refusal = await t.refused(IllegalMove, ops.Cancel("q", held), "a cancel of a done one")
    that(not isinstance(refusal, MessageLeased), "a done message was said to be leased")
    t.clock.advance(5)
    expect(await t.contents(), [], "deliveries of cancelled ones")


async def redrive_all_some_and_none(t: Trial) -> None:
    """All, at most so many in publish order, or just these; and each only when it is dead."""
    await t.publish(*(prepare(b"%d" % n) for n in range(6)))
    for lease in await t.take(6):
        await t.settle(lease, Outcome.REJECT)
    numbers = [_number(message.id) for message in await t.browse()]
    expect(await t.do(ops.Redrive("q", limit=2)), 2, "redriven with a limit")
    expect(await t.contents(), [b"0", b"1"], "what a limit of 2 redrives")
    expect(await t.do(ops.Redrive("q", [numbers[4], numbers[3], numbers[4]])), 2, "redriven by id")
    expect(await t.contents(), [b"3", b"4"], "what was redriven by id")
    before = await t.stats()
    await t.refused(IllegalMove, ops.Redrive("q", [numbers[2], numbers[0]]), "one of them leased")
    await t.refused(
        MessageNotFound, ops.Redrive("q", [numbers[2], numbers[2] ^ 1 << 39]), "unknown"
    )
    expect(await t.stats(), before, "figures after refused redrives")
    expect(await t.do(ops.Redrive("q", [])), 0, "redriven, of none")
    expect(await t.do(ops.Redrive("q")), 2, "redriven, of all that are left")
    expect(await t.do(ops.Redrive("q")), 0, "redriven, when none is dead")
    expect(await t.contents(), [b"2", b"5"], "what was left")


async def purge_by_status_and_all(t: Trial) -> None:
    """Held ones stay, and so do done ones unless they are named."""
    await t.configure(keep_done=100)
    await t.put(b"done")
    await t.ack(await t.one())
    await t.kill(b"dead")
    await t.put(b"leased")
    lease = await t.one()
    for n in range(3):
        await t.put(b"scheduled", delay=5)
        await t.put(b"ready", recipient=("r", None, None)[n])
    before = await t.stats()
    await t.refused(IllegalMove, ops.Purge("q", Status.LEASED), "a purge of leased ones")
    expect(await t.stats(), before, "figures after a refused purge")
    expect(await t.do(ops.Purge("q", Status.READY)), 3, "ready ones purged")
    await t.figures("then", ready=0, scheduled=3, leased=1, done=1, dead=1, purged=3)
    expect(await t.do(ops.Purge("q")), 4, "all purged")
    await t.figures("then", ready=0, scheduled=0, leased=1, done=1, dead=0, purged=7)
    await t.ack(lease)
    t.clock.advance(5)
    expect(await t.contents(recipient="r"), [], "deliveries of purged ones")
    await t.put(b"next")
    expect(await t.contents(), [b"next"], "deliveries after a purge")


async def pause_stops_leases_and_nothing_else(t: Trial) -> None:
    """Publishing, settling, looking and time go on."""
    await t.put(b"held")
    lease = await t.one()
    await t.put(b"due", delay=5)
    await t.do(ops.Pause("q"))
    await t.do(ops.Pause("q"))
    await t.put(b"new")
    expect(await t.contents(), [], "deliveries of a paused queue")
    await t.ack(lease)
    t.clock.advance(5)
    await t.figures("paused", ready=2, acked=1, paused=True, paused_until=None)
    t.clock.advance(10_000_000)
    expect(await t.contents(), [], "deliveries of a queue paused long ago")
    await t.do(ops.Resume("q"))
    await t.figures("resumed", paused=False, paused_until=None)
    expect(await t.contents(), [b"due", b"new"], "deliveries of a resumed queue")
    await t.do(ops.Resume("q"))


async def pause_ends_at_its_millisecond(t: Trial) -> None:
    """By an instant or by a duration; a later pause takes the place of an earlier one."""
    await t.put(b"x")
    until = t.clock.now() + 10_000
    for op in (ops.Pause("q", until=until), ops.Pause("q", duration=10_000)):
        await t.do(op)
        await t.figures("paused", paused=True, paused_until=t.clock.now() + 10_000)
        t.clock.advance(10, ms=-1)
        expect(await t.contents(), [], "deliveries in the pause's last millisecond")
        t.clock.advance(ms=1)
        await t.figures("when it is over", paused=False, paused_until=None)
        await t.nack(await t.one())
    await t.do(ops.Pause("q", duration=5_000))
    await t.do(ops.Pause("q", duration=20_000))
    t.clock.advance(5)
    expect(await t.contents(), [], "deliveries after the first of two pauses")
    await t.do(ops.Pause("q", duration=1_000))
    t.clock.advance(1)
    expect(await t.contents(), [b"x"], "deliveries after a shorter pause")
    await t.do(ops.Pause("q", until=t.clock.now()))
    await t.figures("paused until now", paused=False)


async def queues_are_listed_and_deleted(t: Trial) -> None:
    """Sorted by name; a deleted one is gone with all it held, and its ids are no one's."""
    expect(await t.do(ops.Queues()), [], "queues of a new store")
    longest = "z" + "-._9" * 31 + "abc"
    for name in ("b", "a", "A", "0", longest, "b.c"):
        await t.put(b"x", queue=name)
    expect(await t.do(ops.Queues()), sorted(["b", "a", "A", "0", longest, "b.c"]), "queues")
    number = await t.put(b"y", queue="a")
    await t.do(ops.Delete("a"))
    await t.refused(QueueNotFound, ops.Delete("a"), "a second delete")
    await t.refused(QueueNotFound, ops.Stats("a"), "figures of a deleted queue")
    expect(await t.do(ops.Queues()), sorted(["b", "A", "0", longest, "b.c"]), "queues")
    new = await t.put(b"x", queue="a")
    that(new != number, "an id was given twice")
    await t.refused(MessageNotFound, ops.Look("a", number), "a look at a deleted queue's id")
    await t.figures("of the queue made anew", "a", published=1, ready=1)
    expect(await t.contents(queue="b"), [b"x"], "another queue's messages")


async def explain_has_a_sentence_for_every_status(t: Trial) -> None:
    """Each says the status and is different from the others."""
    await t.configure(keep_done=100)
    await t.put(b"done")
    await t.ack(await t.one())
    await t.put(b"dead")
    await t.settle(await t.one(), Outcome.REJECT, reason="broken")
    await t.put(b"leased")
    await t.one()
    await t.put(b"scheduled", delay=5)
    await t.put(b"next")
    await t.put(b"behind")
    await t.put(b"addressed", recipient="ann")
    told = {}
    for message in await t.browse():
        told[message.content] = await t.do(ops.Explain("q", _number(message.id)))
    expect(len(set(told.values())), 7, "different explanations of seven messages")
    that("broken" in told[b"dead"], f"a dead message's reason is not told: {told[b'dead']}")
    that("5 s" in told[b"scheduled"], f"the wait is not told: {told[b'scheduled']}")
    that("ann" in told[b"addressed"], f"the recipient is not told: {told[b'addressed']}")
    that("1 message" in told[b"behind"], f"what is ahead is not told: {told[b'behind']}")
    number = _number((await t.browse(Status.READY))[0].id)
    await t.do(ops.Pause("q"))
    paused = await t.do(ops.Explain("q", number))
    that("paused" in paused, f"the pause is not told: {paused}")


@needs("lasting")
async def pause_is_kept_after_opening_again(t: Trial) -> None:
    """For its time, or until it is ended."""
    await t.put(b"x")
    await t.do(ops.Pause("q"))
    await t.put(b"x", queue="timed")
    await t.do(ops.Pause("timed", duration=10_000))
    await t.reopen()
    expect(await t.contents(), [], "deliveries of a paused queue")
    t.clock.advance(10)
    expect(await t.contents(queue="timed"), [b"x"], "deliveries after the pause")
    await t.figures("still paused", paused=True)


@needs("lasting")
async def queues_deleted_stay_so_after_opening_again(t: Trial) -> None:
    """And their receipts stay void, even for a queue of that name made afterwards."""
    await t.put(b"x")
    old = await t.one()
    await t.do(ops.Delete("q"))
    await t.reopen()
    expect(await t.do(ops.Queues()), [], "queues")
    await t.put(b"x")
    await t.one()
    verdict = await t.verdict(old.receipt, Outcome.ACK)
    that(isinstance(verdict, Exception), "a receipt of a deleted queue was accepted")
    await t.figures("of the queue made anew", leased=1, acked=0)


@needs("bounds_queues")
async def queues_are_no_more_than_may_be(t: Trial) -> None:
    """Whatever would make another is refused and leaves nothing; what there is goes on."""
    await t.put(b"x")
    await t.put(b"x", queue="other")
    t.backend.max_queues = 2
    for op in (
        ops.Publish("third", [prepare(b"y"), prepare(b"z")]),
        ops.Configure("third", {"lease": 5}),
        ops.Import("third", [], {"lease": 5}),
    ):
        error = await t.refused(TooManyQueues, op, f"a third queue by {type(op).__name__}")
        expect(error.data, {"queue": "third", "limit": 2}, "facts of the refusal")
    expect(await t.do(ops.Queues()), ["other", "q"], "queues")
    batch = [ops.Publish(name, [prepare(b"y")]) for name in ("q", "third", "third", "other")]
    results = [isinstance(each, TooManyQueues) for each in await t.backend.execute(batch)]
    expect(results, [False, True, True, False], "refusals in a batch")
    expect((await t.do(ops.Take("third"))).leases, [], "leases of a queue that is not there")
    await t.configure(lease=5)
    await t.do(ops.Delete("other"))
    await t.put(b"z", queue="third")
    t.backend.max_queues = None
    await t.put(b"z", queue="other")
    expect(await t.do(ops.Queues()), ["other", "q", "third"], "queues at last")
