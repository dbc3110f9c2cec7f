"""Load: what it does, what it counts, and that nothing which went wrong is hidden."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

import pytest

import supersoniq
from supersoniq.core.errors import InvalidArgument, OutcomeUnknown, PermissionDenied, QueueFull
from supersoniq.load import Load, Plan


def on_a_queue(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test on a queue in memory, as its first argument."""

    async def main(**more: Any) -> None:
        async with supersoniq.connect("memory://") as broker:
            await test(broker.queue("load"), **more)

    @wraps(test)
    def run(**more: Any) -> None:
        asyncio.run(main(**more))

    asked = inspect.signature(test)
    vars(run)["__signature__"] = asked.replace(
        parameters=[each for name, each in asked.parameters.items() if name != "queue"]
    )
    return run


def few(**fields: Any) -> Plan:
    return Plan(**{"messages": 50, "publishers": 4, "consumers": 4, "seed": 1, **fields})


@pytest.mark.parametrize("batch", [1, 7])
@on_a_queue
async def test_all_is_published_and_finished(queue: supersoniq.Queue, batch: int) -> None:
    report = await Load(queue, few(batch=batch)).run()
    assert (report.published, report.finished, report.queued, report.lost) == (50, 50, 0, 0)
    assert report.sound
    assert report.publish_ms is not None
    assert report.delivery_ms is not None
    assert report.delivery_ms.count == 50
    figures = await queue.stats()
    assert (figures.published, figures.acked) == (50, 50)
    assert report.timeline[-1].finished == 50


@on_a_queue
async def test_contents_and_priorities_are_as_planned(queue: supersoniq.Queue) -> None:
    plan = few(messages=300, consumers=0, size=100, priorities={0: 1, 5: 2, -3: 0})
    report = await Load(queue, plan).run()
    assert (report.queued, report.finished, report.delivery_ms) == (300, 0, None)
    found = await queue.browse(limit=1000)
    assert {len(message.content) for message in found} == {100}
    assert len({message.content for message in found}) == 300
    fives = [message.priority for message in found].count(5)
    assert {message.priority for message in found} == {0, 5}
    assert 150 < fives < 250


@on_a_queue
async def test_failures_come_back_and_die(queue: supersoniq.Queue) -> None:
    report = await Load(queue, few(fail=0.3)).run()
    assert report.finished == 50
    assert 5 < report.failed < 50
    await queue.configure(max_deliveries=2)
    report = await Load(queue, few(fail=1.0)).run()
    assert (report.finished, report.dead, report.failed, report.lost) == (0, 50, 100, 0)


@on_a_queue
async def test_a_rate_is_kept(queue: supersoniq.Queue) -> None:
    report = await Load(queue, few(messages=40, rate=200.0)).run()
    assert report.published_per_second <= 206  # 40 of them take 39 pauses


@on_a_queue
async def test_a_duration_ends_it(queue: supersoniq.Queue) -> None:
    report = await Load(queue, few(messages=None, duration=0.2, rate=100.0)).run()
    assert report.published == 20


@on_a_queue
async def test_a_stall_counts_for_all_that_were_due_in_it(
    queue: supersoniq.Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = queue.publish, 0

    async def stalls(*args: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 10:
            await asyncio.sleep(0.2)
        return await real(*args, **named)

    monkeypatch.setattr(type(queue), "publish", lambda _, *args, **named: stalls(*args, **named))
    report = await Load(queue, few(publishers=1, rate=500.0)).run()
    # One call took 0.2 s; most of the 41 after it began late, and say so.
    assert report.publish_ms is not None
    assert report.publish_ms.p50 > 50


@on_a_queue
async def test_refusals_are_counted_and_it_goes_on(
    queue: supersoniq.Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = queue.publish, 0

    async def full(*args: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls % 5 == 0:
            raise QueueFull("load", 1, 1)
        if calls % 7 == 0:
            await real(*args, **named)
            raise OutcomeUnknown("cut")
        return await real(*args, **named)

    monkeypatch.setattr(type(queue), "publish", lambda _, *args, **named: full(*args, **named))
    report = await Load(queue, few()).run()
    assert report.errors == {"queue-full": 10, "outcome-unknown": 6}
    assert (report.published, report.finished) == (34, 40)
    assert report.sound


@pytest.mark.parametrize("error", [PermissionDenied("no publishing"), ValueError("a bug")])
@on_a_queue
async def test_what_cannot_work_ends_it(
    queue: supersoniq.Queue, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def refuses(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(type(queue), "publish", refuses)
    with pytest.raises(type(error)):
        await Load(queue, few()).run()
    assert len(asyncio.all_tasks()) == 1


@on_a_queue
async def test_a_lost_message_is_told(queue: supersoniq.Queue) -> None:
    load = Load(queue, few(consumers=0))
    queued = asyncio.ensure_future(load.run())
    lost = await queue.get()
    assert lost is not None
    await lost.ack()  # somebody else's: to this run, it is gone
    report = await queued
    assert report.lost == 1
    assert not report.sound


@on_a_queue
async def test_an_unknown_publish_that_is_still_queued_hides_no_loss(
    queue: supersoniq.Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = queue.publish, 0

    async def unsure(*args: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        stored = await real(*args, **named)
        if calls <= 3:
            raise OutcomeUnknown("cut")
        if calls == 10:  # somebody else's doing: to the run, two are gone and five dead
            taken = await queue.get_many(7, wait=0)
            await queue.ack_many(taken[3:5])
            for each in (*taken[:3], *taken[5:]):
                await each.reject()
        return stored

    monkeypatch.setattr(type(queue), "publish", lambda _, *args, **named: unsure(*args, **named))
    report = await Load(queue, few(consumers=0, publishers=1)).run()
    assert (report.published, report.errors) == (47, {"outcome-unknown": 3})
    assert (report.dead, report.queued) == (5, 43)
    assert report.lost == 2


@on_a_queue
async def test_a_message_that_comes_again_is_told(
    queue: supersoniq.Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, again = Load(queue, few(consumers=1)), 0
    real = load._work

    async def twice(delivery: supersoniq.Delivery) -> None:
        nonlocal again
        await real(delivery)
        if again < 3:
            again += 1
            await queue.publish(delivery.content)

    monkeypatch.setattr(load, "_work", twice)
    report = await load.run()
    assert report.delivered_after_finished == 3
    assert not report.sound


@on_a_queue
async def test_what_nobody_can_take_is_given_up(queue: supersoniq.Queue) -> None:
    load = Load(queue, few(patience=0.3))
    await queue.pause()
    report = await load.run()
    assert (report.queued, report.finished, report.lost) == (50, 0, 0)


@on_a_queue
async def test_stopping_works_off_what_is_there(queue: supersoniq.Queue) -> None:
    stop = asyncio.Event()
    load = Load(queue, few(messages=None, duration=3600.0, rate=100.0), stop)
    running = asyncio.ensure_future(load.run(lambda load: stop.set()))
    report = await running
    assert report.published == report.finished > 0


@on_a_queue
async def test_cancelling_leaves_no_task(queue: supersoniq.Queue) -> None:
    running = asyncio.ensure_future(Load(queue, few(messages=None, duration=60.0)).run())
    await asyncio.sleep(0.05)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert len(asyncio.all_tasks()) == 1


@on_a_queue
async def test_a_queue_in_use_is_refused(queue: supersoniq.Queue) -> None:
    await queue.publish("somebody's")
    with pytest.raises(InvalidArgument, match="holds 1 messages; load is made on an empty queue"):
        await Load(queue, few()).run()
    assert (await queue.stats()).published == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("duration", 0.0),
        ("duration", float("nan")),
        ("rate", -1.0),
        ("publishers", 0),
        ("batch", 10_001),
        ("consumers", -1),
        ("size", 15),
        ("messages", 0),
        ("fail", 1.1),
        ("work", float("inf")),
        ("patience", 0.0),
        ("priorities", {}),
        ("priorities", {0: 0.0}),
        ("priorities", {40_000: 1.0}),
        ("priorities", {0: -1.0}),
    ],
)
def test_what_cannot_be_is_refused(field: str, value: Any) -> None:
    with pytest.raises(InvalidArgument, match=f"{field} = "):
        Plan(**{field: value}).check()


@on_a_queue
async def test_too_large_a_content_is_the_queue_s_own_error(queue: supersoniq.Queue) -> None:
    with pytest.raises(supersoniq.ContentTooLarge):
        await Load(queue, few(size=2_000_000)).run()
    assert (await queue.stats()).published == 0
