"""Guarantee 8: a failure is one of two kinds; what is refused has changed nothing."""

from __future__ import annotations

from typing import Any

from supersoniq.core import ops
from supersoniq.core.errors import (
    BackendUnavailable,
    Closed,
    ContentTooLarge,
    InvalidArgument,
    InvalidPolicy,
    KeyConflict,
    MessageNotFound,
    QueueFull,
    QueueNotFound,
    SupersoniqError,
)
from supersoniq.core.messages import prepare
from supersoniq.core.ops import AnyOp
from supersoniq.testing.conformance.trial import Trial, Violation, expect, that


async def _changes_nothing(t: Trial, kind: type[SupersoniqError], op: AnyOp, what: str) -> Any:
    pages, stats = await t.browse(), await t.stats()
    error = await t.refused(kind, op, what)
    expect(await t.browse(), pages, f"messages after {what}")
    expect(await t.stats(), stats, f"figures after {what}")
    return error


async def g08_a_batch_of_publishes_is_all_or_nothing(t: Trial) -> None:
    """One bad entry, wherever it stands, refuses the batch."""
    await t.configure(max_content=10, max_length=6)
    await t.put(b"kept", key="k")
    good, other = prepare(b"good"), prepare(b"other")
    large, conflict = prepare(b"12345678901"), prepare(b"not kept", key="k")
    for bad, kind in ((large, ContentTooLarge), (conflict, KeyConflict)):
        for batch in ([bad], [bad, good], [good, bad], [good, bad, other]):
            op = ops.Publish("q", batch)
            await _changes_nothing(t, kind, op, f"a batch refused as {kind.__name__}")
    op = ops.Publish("q", [good] * 6)
    error = await _changes_nothing(t, QueueFull, op, "a batch too many")
    expect((error.queue, error.length, error.limit), ("q", 1, 6), "what QueueFull says")
    await t.publish(*[good] * 5)
    await t.figures("exactly at the limit", ready=6, published=6)


async def g08_a_batch_that_can_never_fit_is_no_matter_of_time(t: Trial) -> None:
    """More at once than ``max_length``; what is there already, by its key, does not count."""
    await t.configure(max_length=3)
    batch = [prepare(b"%d" % n, key=f"{n}") for n in range(5)]
    for several in (batch[:4], batch):
        op = ops.Publish("q", several)
        error = await _changes_nothing(t, InvalidArgument, op, "a batch over max_length")
        told = (error.field, error.value, error.retry)
        expect(told, ("messages", len(several), False), "what is said of it")
    await t.publish(batch[0])
    error = await _changes_nothing(t, InvalidArgument, op, "four and a duplicate")
    expect(error.value, 4, "how many it says there are")
    op = ops.Publish("q", batch[:4])
    await _changes_nothing(t, QueueFull, op, "a batch that fits when one is done")
    await t.ack(await t.one())
    await t.publish(*batch[:4])
    await t.figures("exactly at the limit", ready=3, published=4, duplicates=1)


async def g08_content_is_measured_in_bytes(t: Trial) -> None:
    """At ``max_content`` it is taken, one byte over it is not."""
    await t.configure(max_content=6)
    await t.put("\N{SNOWMAN}\N{SNOWMAN}")
    await t.put(b"123456")
    await t.put(b"")
    op = ops.Publish("q", [prepare("\N{SNOWMAN}\N{SNOWMAN}!")])
    error = await _changes_nothing(t, ContentTooLarge, op, "content of a byte too many")
    expect((error.queue, error.size, error.limit), ("q", 7, 6), "what ContentTooLarge says")


async def g08_the_default_limit_of_content(t: Trial) -> None:
    """1 MiB, and not a byte more."""
    number = await t.put(b"\xa5" * 2**20)
    expect(len((await t.look(number)).content), 2**20, "length of the largest content")
    op = ops.Publish("q", [prepare(b"\xa5" * (2**20 + 1))])
    await _changes_nothing(t, ContentTooLarge, op, "content over 1 MiB")


async def g08_a_full_queue_is_full_of_unfinished_messages(t: Trial) -> None:
    """Scheduled, ready and leased ones count; done and dead ones do not."""
    await t.configure(max_length=3, keep_done=100)
    await t.put(b"leased")
    lease = await t.one()
    await t.put(b"scheduled", delay=50)
    await t.put(b"ready")
    await _changes_nothing(t, QueueFull, ops.Publish("q", [prepare(b"x")]), "a publish too many")
    await t.ack(lease)
    await t.put(b"x")
    await _changes_nothing(t, QueueFull, ops.Publish("q", [prepare(b"x")]), "a publish too many")
    await t.settle(await t.one(), ops.Outcome.REJECT)
    await t.put(b"z")
    await t.figures("at the limit", scheduled=1, ready=2, done=1, dead=1)


async def g08_an_error_stands_in_its_place(t: Trial) -> None:
    """Other operations that came at the same time are carried out, each with its own result."""
    await t.configure("small", max_content=1)
    number = await t.put(b"x")
    results = await t.backend.execute(
        [
            ops.Publish("a", [prepare(b"1")]),
            ops.Look("q", number ^ 1),
            ops.Publish("small", [prepare(b"too large")]),
            ops.Look("q", number),
            ops.Stats("nowhere"),
            ops.Publish("b", [prepare(b"2")]),
        ]
    )
    kinds = [type(result).__name__ for result in results]
    wanted = ["list", "MessageNotFound", "ContentTooLarge", "Message", "QueueNotFound", "list"]
    expect(kinds, wanted, "results of six operations")
    expect(await t.contents(queue="a"), [b"1"], "the first publish")
    expect(await t.contents(queue="b"), [b"2"], "the last publish")


async def g08_publishes_of_one_batch_of_calls_keep_their_order(t: Trial) -> None:
    """And each has its own results, refused ones among them."""
    await t.configure(max_content=3)
    contents = [b"%d" % n if n % 4 else b"much too large" for n in range(20)]
    results = await t.backend.execute([ops.Publish("q", [prepare(c)]) for c in contents])
    refused = [n for n, result in enumerate(results) if isinstance(result, ContentTooLarge)]
    expect(refused, [0, 4, 8, 12, 16], "refused publishes")
    for content, result in zip(contents, results, strict=True):
        if isinstance(result, list):
            expect((await t.look(result[0].number)).content, content, "content of that id")
    expect(await t.contents(), [c for n, c in enumerate(contents) if n % 4], "order of the rest")


async def g08_a_refused_publish_makes_no_queue(t: Trial) -> None:
    """Nor does a refused configuration, a look, or a take."""
    await t.refused(ContentTooLarge, ops.Publish("q", [prepare(b"x" * (2**20 + 1))]), "too large")
    await t.refused(InvalidPolicy, ops.Configure("q", {"lease": -1}), "a bad policy")
    await t.take(5)
    expect(await t.do(ops.Queues()), [], "queues")


async def g08_what_is_not_there_is_said_so(t: Trial) -> None:
    """Every call to a queue that does not exist, and to a message that does not."""
    await t.put(b"x", queue="real")
    stranger = await t.put(b"y", queue="other")
    for op in (
        ops.Look("q", stranger), ops.Browse("q"), ops.Cancel("q", stranger), ops.Redrive("q"),
        ops.Purge("q"), ops.Pause("q"), ops.Resume("q"), ops.Describe("q"), ops.Delete("q"),
        ops.Stats("q"), ops.Explain("q", stranger), ops.Follow("q"),
    ):  # fmt: skip
        missing = await t.refused(QueueNotFound, op, f"{type(op).__name__} of no queue")
        expect(missing.queue, "q", "what the error says")
    for op in (
        ops.Look("real", stranger), ops.Cancel("real", stranger), ops.Explain("real", stranger),
        ops.Redrive("real", [stranger]), ops.Browse("real", None, stranger),
    ):  # fmt: skip
        await t.refused(MessageNotFound, op, f"{type(op).__name__} of another queue's message")
    expect(await t.do(ops.Queues()), ["other", "real"], "queues")


async def g08_a_closed_store_refuses(t: Trial) -> None:
    """After closing, calls are refused and not lost; closing twice is fine."""
    await t.put(b"x")
    await t.backend.close()
    await t.backend.close()
    for op in (ops.Publish("q", [prepare(b"y")]), ops.Take("q"), ops.Stats("q")):
        try:
            (result,) = await t.backend.execute([op])
        except (Closed, BackendUnavailable):
            continue
        if not isinstance(result, Closed | BackendUnavailable):
            raise Violation(f"a closed backend answered {result!r}")


async def g08_nothing_to_do_is_no_failure(t: Trial) -> None:
    """Empty batches are answered with empty lists."""
    await t.put(b"x")
    expect(await t.backend.execute([]), [], "results of no operations")
    expect(await t.do(ops.Publish("q", [])), [], "results of an empty publish")
    expect(await t.do(ops.Settle("q", [])), [], "verdicts on no settlements")
    that((await t.stats()).published == 1, "an empty publish was counted")
