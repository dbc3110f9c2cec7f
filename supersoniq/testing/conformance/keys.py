"""Guarantee 6: publish once."""

from __future__ import annotations

from supersoniq.core import ops
from supersoniq.core.errors import KeyConflict, QueueFull
from supersoniq.core.messages import Entry, prepare
from supersoniq.testing.conformance.suite import needs
from supersoniq.testing.conformance.trial import Trial, expect, that


def _keyed(content: bytes = b"x", key: str = "k", **options: object) -> Entry:
    return prepare(content, key=key, **options)  # type: ignore[arg-type]  # a publish's options


async def _is_duplicate(t: Trial, entry: Entry, first: int, what: str) -> None:
    (again,) = await t.publish(entry)
    expect((again.number, again.duplicate), (first, True), what)


async def g06_a_second_publish_of_a_key_stores_nothing(t: Trial) -> None:
    """It gives the first one's id, whatever its other options say."""
    (first,) = await t.publish(_keyed())
    expect(first.duplicate, False, "duplicate, of the first publish")
    await _is_duplicate(t, _keyed(), first.number, "the second publish")
    await _is_duplicate(t, _keyed(priority=5, delay=3), first.number, "one with other options")
    await t.figures("after three publishes", published=1, ready=1, scheduled=0, duplicates=2)
    expect(await t.contents(), [b"x"], "deliveries")


async def g06_the_key_outlives_the_message(t: Trial) -> None:
    """Within the window it holds also when its message is leased, done, dead, cancelled, purged."""
    first = await t.put(key="k")
    lease = await t.one()
    await _is_duplicate(t, _keyed(), first, "while it is leased")
    await t.ack(lease)
    await _is_duplicate(t, _keyed(), first, "after its ack")
    second = await t.kill(b"y", key="l")
    await _is_duplicate(t, _keyed(b"y", "l"), second, "after its death")
    third = await t.put(b"z", key="m")
    await t.do(ops.Cancel("q", third))
    await _is_duplicate(t, _keyed(b"z", "m"), third, "after its cancelling")
    fourth = await t.put(b"w", key="n")
    await t.do(ops.Purge("q"))
    await _is_duplicate(t, _keyed(b"w", "n"), fourth, "after a purge")
    await t.figures("in the end", published=4, ready=0, duplicates=5)


async def g06_the_window_ends_at_its_millisecond(t: Trial) -> None:
    """A key holds up to the last millisecond of ``dedup_window`` and is free at its end."""
    await t.configure(dedup_window=60)
    first = await t.put(key="k")
    t.clock.advance(60, ms=-1)
    await _is_duplicate(t, _keyed(), first, "in the window's last millisecond")
    t.clock.advance(ms=1)
    (second,) = await t.publish(_keyed())
    expect(second.duplicate, False, "duplicate, at the window's end")
    that(second.number != first, "the same id after the window")
    t.clock.advance(59)  # a duplicate must not have prolonged the first window, nor a new one
    await _is_duplicate(t, _keyed(), second.number, "in the second window")
    await t.figures("in the end", published=2, ready=2)


async def g06_other_content_is_a_conflict(t: Trial) -> None:
    """The same key with other content is refused, says whose it is, and changes nothing."""
    first = await t.put(b"x", key="k")
    before = await t.stats()
    error = await t.refused(KeyConflict, ops.Publish("q", [_keyed(b"y")]), "other content")
    seen = await t.look(first)
    expect((error.queue, error.key, error.id), ("q", "k", seen.id), "what the error says")
    expect(await t.stats(), before, "figures after a conflict")
    await _is_duplicate(t, _keyed(b"x"), first, "the key after a conflict")
    t.clock.advance(300)
    (second,) = await t.publish(_keyed(b"y"))
    expect(second.duplicate, False, "duplicate, of other content after the window")


async def g06_keys_within_one_batch(t: Trial) -> None:
    """A batch with a key twice stores it once; with two contents for it, nothing at all."""
    a, b, c = await t.publish(_keyed(), _keyed(b"z", "other"), _keyed())
    expect((a.duplicate, b.duplicate, c.duplicate), (False, False, True), "duplicates in a batch")
    expect(c.number, a.number, "the id of the batch's own duplicate")
    await t.figures("after the batch", published=2, ready=2, duplicates=1)
    batch = [_keyed(b"1", "new"), prepare(b"free"), _keyed(b"2", "new")]
    await t.refused(KeyConflict, ops.Publish("q", batch), "two contents for a key")
    await t.figures("after the refused batch", published=2, ready=2)
    (fresh,) = await t.publish(_keyed(b"2", "new"))
    expect(fresh.duplicate, False, "duplicate, for a key of a batch that was refused")


async def g06_a_refused_publish_does_not_use_up_its_key(t: Trial) -> None:
    """The key is stored in the same step as the message, or not at all."""
    await t.configure(max_length=1)
    await t.put(b"first")
    await t.refused(QueueFull, ops.Publish("q", [_keyed()]), "a publish to a full queue")
    await t.ack(await t.one())
    (published,) = await t.publish(_keyed())
    expect(published.duplicate, False, "duplicate, after a refusal")
    expect(await t.contents(), [b"x"], "deliveries")


async def g06_a_duplicate_is_answered_where_the_queue_is_full(t: Trial) -> None:
    """It stores nothing, so it needs no room, not even where the limit was lowered since."""
    await t.configure(max_length=2)
    first = await t.put(key="k")
    await t.put(b"other")
    await _is_duplicate(t, _keyed(), first, "in a full queue")
    await t.configure(max_length=1)
    await _is_duplicate(t, _keyed(), first, "in a queue that is over its limit")


async def g06_keys_belong_to_their_queue(t: Trial) -> None:
    """The same key in two queues is two messages; deleting a queue frees its keys."""
    first = await t.put(key="k")
    second = await t.put(key="k", queue="other")
    that(first != second, "two queues share a key")
    await t.do(ops.Delete("q"))
    (third,) = await t.publish(_keyed())
    expect(third.duplicate, False, "duplicate, in a queue that was deleted and made anew")


async def g06_keys_are_told_apart_exactly(t: Trial) -> None:
    """By every character, up to the longest; and messages without a key are never duplicates."""
    keys = ["k", "K", "k ", "k" * 256, "k" * 255, "\u00e9", "e\u0301", "0", "%", "_", "k'--"]
    for key in keys:
        await t.put(key=key)
    await t.put()
    await t.put()
    await t.figures("after them", published=len(keys) + 2, duplicates=0)


async def g06_a_window_of_zero_remembers_nothing(t: Trial) -> None:
    """Then keys are only labels."""
    await t.configure(dedup_window=0)
    await t.put(b"x", key="k")
    await t.put(b"x", key="k")
    await t.publish(_keyed(b"y"), _keyed(b"z"))
    await t.figures("after four publishes", published=4, ready=4, duplicates=0)


@needs("lasting")
async def g06_keys_hold_after_opening_again(t: Trial) -> None:
    """With their window, and their content's digest."""
    first = await t.put(key="k")
    await t.ack(await t.one())
    await t.reopen(crash=True)
    await _is_duplicate(t, _keyed(), first, "after opening again")
    await t.refused(KeyConflict, ops.Publish("q", [_keyed(b"y")]), "other content")
    t.clock.advance(300)
    (fresh,) = await t.publish(_keyed(b"y"))
    expect(fresh.duplicate, False, "duplicate, after the window")


@needs("shared")
async def g06_keys_hold_for_every_opener(t: Trial) -> None:
    """Two publishers with the same key, through two backends, store one message."""
    other = await t.open()
    first = await t.put(key="k")
    (again,) = await t.publish(_keyed(), on=other)
    expect((again.number, again.duplicate), (first, True), "a publish through another backend")
