"""Guarantee 1: nothing acknowledged is lost."""

from __future__ import annotations

from supersoniq.core import ops
from supersoniq.core.messages import Message, prepare
from supersoniq.core.ops import Outcome
from supersoniq.core.states import Status
from supersoniq.testing.conformance.suite import needs
from supersoniq.testing.conformance.trial import Trial, expect, that

CONTENTS: tuple[object, ...] = (
    b"",
    b"\x00\xff" * 300,
    bytes(range(256)),
    "",
    "text with \N{SNOWMAN} and \x00 in it",
    {"a": [1, 2.5, None, True, "\N{GREEK SMALL LETTER ALPHA}"]},
    [],
    None,
    0,
)


async def g01_a_message_is_kept_as_it_was_published(t: Trial) -> None:
    """Every field comes back as it was given, in a look, a page and a delivery alike."""
    for content in CONTENTS:
        entry = prepare(
            content,  # type: ignore[arg-type]  # what a publish takes
            priority=-7,
            ttl=1000,
            key=f"key {content!r}"[:200],
            sender="\N{LATIN SMALL LETTER E WITH ACUTE}ve",
            recipient="r",
            headers={"a": "1", "\N{SNOWMAN}": "two words", "empty": ""},
            content_type="application/x-thing; v=1",
        )
        (published,) = await t.publish(entry)
        seen = await t.look(published.number)
        expect(seen.id, published.id, "id")
        expect(seen.queue, "q", "queue")
        expect(seen.content, entry.content, "content")
        expect(seen.content_type, "application/x-thing; v=1", "content_type")
        expect(seen.headers, {"a": "1", "\N{SNOWMAN}": "two words", "empty": ""}, "headers")
        expect((seen.sender, seen.recipient), (entry.details.sender, "r"), "sender, recipient")
        expect((seen.priority, seen.key), (-7, entry.details.key), "priority, key")
        now = t.clock.now()
        expect((seen.created_at, seen.available_at), (now, now), "created_at, available_at")
        expect(seen.expires_at, now + 1_000_000, "expires_at")
        expect((seen.status, seen.deliveries), (Status.READY, 0), "status, deliveries")
        expect(seen.reason, None, "reason")
        expect((await t.browse())[-1], seen, "the same message in a page")
        leased = (await t.one(recipient="r")).message()
        expect(leased.content, entry.content, "delivered content")
        expect(leased.headers, seen.headers, "delivered headers")
        expect((leased.id, leased.key), (seen.id, seen.key), "delivered id and key")
        expect((leased.status, leased.deliveries), (Status.LEASED, 1), "delivered status")


async def g01_content_types_follow_the_content(t: Trial) -> None:
    """Bytes, text and JSON are told apart, and what is not given is not invented."""
    wanted = {
        await t.put(b"x"): "application/octet-stream",
        await t.put("x"): "text/plain; charset=utf-8",
        await t.put({"x": 1}): "application/json",
    }
    for number, kind in wanted.items():
        seen = await t.look(number)
        expect(seen.content_type, kind, "content_type")
        expect((seen.headers, seen.sender, seen.recipient), ({}, None, None), "fields not given")
        expect((seen.key, seen.expires_at), (None, None), "fields not given")


async def g01_a_publish_names_the_durability_of_the_store(t: Trial) -> None:
    """``Published.durability`` is what the store claims."""
    (published,) = await t.publish(prepare(b"x"))
    expect(published.durability, t.can.durability, "durability")
    expect(published.duplicate, False, "duplicate")


async def g01_a_message_is_delivered_until_it_is_acked(t: Trial) -> None:
    """However its leases end, a message comes again until one of them is acknowledged."""
    await t.configure(max_deliveries=0)
    numbers = [await t.put(b"%d" % n) for n in range(40)]
    left = {(await t.look(number)).id for number in numbers}
    for round_ in range(8):
        leases = await t.take(100)
        expect({lease.message().id for lease in leases}, left, "messages not yet acknowledged")
        for n, lease in enumerate(leases):
            if n % 4 == 0:
                left.discard(lease.message().id)
                await t.ack(lease)
            elif n % 4 == 1:
                await t.nack(lease, delay=round_ % 2)
            elif n % 4 == 2:
                await t.settle(lease, Outcome.RELEASE)
        t.clock.advance(31)
    await t.figures("after eight rounds", ready=len(left), acked=40 - len(left), leased=0, dead=0)


async def g01_acking_part_of_a_batch_leaves_the_rest(t: Trial) -> None:
    """What was taken together need not be finished together."""
    await t.publish(*(prepare(b"%d" % n) for n in range(10)))
    leases = await t.take(10)
    await t.ack(*leases[:4])
    await t.ack(leases[9])
    t.clock.advance(30)
    expect(await t.contents(), [b"%d" % n for n in range(4, 9)], "messages that were not acked")


async def g01_a_large_batch_is_stored_whole(t: Trial) -> None:
    """2,000 messages in one publish, of many sizes, come out once each and unchanged."""
    contents = [b"%d:" % n + b"." * (n * 7 % 3000) for n in range(2000)]
    published = await t.publish(*(prepare(content) for content in contents))
    expect(len({one.number for one in published}), 2000, "different ids")
    got: list[bytes] = []
    while leases := await t.take(300):
        got += [lease.message().content for lease in leases]
        await t.ack(*leases)
    that(got == contents, "2,000 messages did not come out as they went in")


async def g01_queues_keep_apart(t: Trial) -> None:
    """A message belongs to its queue alone."""
    await t.put(b"a", queue="one")
    await t.put(b"b", queue="two")
    expect(await t.contents(queue="one"), [b"a"], "messages of the first queue")
    expect(await t.contents(queue="two"), [b"b"], "messages of the second queue")
    expect(await t.contents(queue="three"), [], "messages of a queue that was never used")


async def _fill(t: Trial) -> None:
    """One message in each status, with a past; and a pause, a key and figures to remember."""
    await t.configure(keep_done=3600, max_deliveries=3, on_expiry="dead")
    await t.put(b"scheduled", delay=100, headers={"h": "1"})
    await t.put(b"again", priority=5, key="k", sender="s")
    await t.nack(await t.one(), reason="first failure")
    await t.put(b"addressed", recipient="r", ttl=500)
    await t.put(b"done", priority=9)
    await t.ack(await t.one())
    await t.put(b"dead", priority=9)
    await t.settle(await t.one(), Outcome.REJECT, reason="bad")
    await t.put(b"held", priority=9)
    for _ in range(5):
        await t.put(b"plain")


async def _survives(t: Trial, *, crash: bool) -> None:
    await _fill(t)
    lease = await t.one()
    if not t.can.leases_stay:
        await t.ack(lease)  # it would end with the opener
    pages = await t.browse()
    stats = await t.stats()
    policy = await t.do(ops.Describe("q"))
    await t.reopen(crash=crash)
    expect(await t.do(ops.Queues()), ["q"], "queues after opening again")
    after: list[Message] = await t.browse()
    expect(after, pages, "messages after opening again")
    expect(await t.stats(), stats, "figures after opening again")
    expect(await t.do(ops.Describe("q")), policy, "policy after opening again")
    await t.ack(lease.receipt)  # the lease still holds, and so does its receipt; or it is repeated
    expect(
        await t.contents(recipient="r"),
        [b"again", b"addressed", *[b"plain"] * 5],
        "ready messages after opening again",
    )
    t.clock.advance(100)
    expect(
        await t.contents(),
        [b"again", b"scheduled", *[b"plain"] * 5],
        "messages that lapsed and came due after opening again",
    )


@needs("lasting")
async def g01_all_is_as_it_was_after_closing(t: Trial) -> None:
    """Closing and opening a lasting store finds every message, lease, figure and policy."""
    await _survives(t, crash=False)


@needs("lasting")
async def g01_all_is_as_it_was_after_a_crash(t: Trial) -> None:
    """A lasting store whose process dies has what was answered."""
    await _survives(t, crash=True)


@needs("lasting")
async def g01_time_passes_while_the_store_is_closed(t: Trial) -> None:
    """What came due, lapsed, expired or is to be forgotten meanwhile has done so on opening."""
    await t.configure(keep_dead=50, max_deliveries=1)
    await t.kill(b"dead")
    await t.put(b"lapses and dies")
    await t.one()
    await t.put(b"expires", ttl=10)
    await t.put(b"due", delay=10)
    await t.reopen()
    t.clock.advance(40)
    if t.can.leases_stay:
        await t.figures("40 s later", ready=1, scheduled=0, leased=0, dead=2, expired=1, lapsed=1)
        expect(await t.contents(), [b"due"], "what came due while the store was closed")
    else:
        await t.figures("40 s later", ready=2, scheduled=0, leased=0, dead=1, expired=1, released=1)
        expect(await t.contents(), [b"lapses and dies", b"due"], "what was released or came due")
    t.clock.advance(10)
    await t.figures("50 s later", forgotten=1)


@needs("shared")
async def g01_another_opener_sees_everything(t: Trial) -> None:
    """What one backend is answered, another on the same store sees."""
    other = await t.open()
    number = await t.put(b"x", key="k", priority=3)
    seen = await t.do(ops.Look("q", number), other)
    expect(seen, await t.look(number), "the message as the other opener sees it")
    lease = await t.one(on=other)
    await t.figures("the first opener's figures", leased=1, ready=0)
    await t.ack(lease.receipt)
    expect((await t.stats(on=other)).acked, 1, "acked, as the other opener sees it")
