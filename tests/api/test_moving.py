"""Moving a queue: what arrives, what is waited for, and that it may be cut off at any step."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import supersoniq
from supersoniq.api import moving
from supersoniq.api.moving import Call, Ending, Mover
from supersoniq.core import ops
from supersoniq.core.errors import IllegalMove, InvalidArgument, QueueNotFound
from supersoniq.core.states import Status
from tests.moving import POLICY, drain, fill, on_a_loop, seen


class Killed(BaseException):
    """The mover's process is gone."""


def kill_at(mover: Mover, step: int, after: bool) -> None:
    """Let a mover die at its n-th call, before it does anything or after it has been done."""
    left = step

    def dying(call: Call) -> Call:
        async def called(op: ops.AnyOp) -> Any:
            nonlocal left
            left -= 1
            if left == 0 and not after:
                raise Killed
            result = await call(op)
            if left <= 0:
                raise Killed
            return result

        return called

    mover._from, mover._to = dying(mover._from), dying(mover._to)


@on_a_loop
async def test_all_arrives_as_it_was() -> None:
    async with supersoniq.connect() as one, supersoniq.connect() as two:
        number = await fill(one)
        before = await seen(one)
        far: list[int] = []
        mover = Mover(one, two, "q", told=lambda moved: far.append(moved.moved))
        moved = await mover.run()
        assert (moved.ending, moved.moved, moved.stored) == (Ending.DONE, number, number)
        assert moved.total == number
        assert far == sorted(far)
        assert far[-1] == number
        assert await seen(two) == before
        assert {m.status for m in before} == set(Status) - {Status.LEASED}
        assert await seen(one) == []
        assert (await one.queue("q").stats()).paused
        assert not (await two.queue("q").stats()).paused
        policy = await two.queue("q").policy()
        assert {name: getattr(policy, name) for name in POLICY} == POLICY
        assert (await two.queue("q").publish({"json": [1, "ü"]}, key="k")).duplicate
        [dead] = [m for m in before if m.status is Status.DEAD]
        assert dead.reason == "rejected: no good"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@on_a_loop
async def test_it_may_be_killed_at_any_step(after: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """And consumers of the target work on meanwhile: each message is delivered once."""
    monkeypatch.setattr(moving, "BATCH", 15)  # several pages, and several batches of each
    monkeypatch.setattr(moving, "BATCH_BYTES", 900)
    step, killed = 0, True
    while killed:
        step += 1
        async with supersoniq.connect() as one, supersoniq.connect() as two:
            await fill(one, plain=8)
            there = await seen(one)
            mover = Mover(one, two, "q")
            kill_at(mover, step, after)
            try:
                await mover.run()
                killed = False
            except Killed:
                pass
            done = await drain(two) if "q" in await two.queues() else []
            if done:
                assert await drain(one) == [], "both deliver"
            moved = await Mover(one, two, "q").run()
            assert moved.ending is Ending.DONE
            done += await drain(two)
            ready = [m.id for m in there if m.status is Status.READY]
            assert sorted(done) == sorted(ready), f"killed at step {step}"
            kept = [m for m in there if m.status is not Status.READY]
            assert [m for m in await seen(two) if m.id not in done] == kept
            assert await seen(one) == []
            assert (await two.queue("q").stats()).published == len(there)
    assert step > 15


@on_a_loop
async def test_what_consumers_hold_is_waited_for() -> None:
    async with supersoniq.connect() as one, supersoniq.connect() as two:
        queue = one.queue("q")
        first = await queue.publish("first")
        await queue.publish("second")
        held = await queue.get(wait=0)
        assert held is not None
        waiting = asyncio.Event()
        mover = Mover(one, two, "q", told=lambda moved: waiting.set() if moved.held else None)
        task = asyncio.ensure_future(mover.run())
        await waiting.wait()
        assert await queue.get(wait=0) is None, "a paused queue delivers nothing"
        assert await seen(two) == []
        await held.nack(0)
        assert (await task).moved == 2
        assert (await seen(two))[0].id == first.id, "it has kept its place"


@pytest.mark.parametrize("paused", [False, True, 60.0])
@on_a_loop
async def test_a_move_that_does_not_begin_leaves_the_source_as_it_was(paused: float) -> None:
    async with supersoniq.connect() as one, supersoniq.connect() as two:
        queue = one.queue("q")
        await queue.publish("x")
        held = await queue.get(wait=0)
        assert held is not None
        if paused:
            await queue.pause(None if paused is True else timedelta(seconds=paused))
        before = await queue.stats()
        moved = await Mover(one, two, "q", wait=0).run()
        assert (moved.ending, moved.held, moved.moved) == (Ending.HELD, 1, 0)
        assert await queue.stats() == before
        stop = asyncio.Event()
        stop.set()
        assert (await Mover(one, two, "q").run(stop)).ending is Ending.STOPPED
        assert await queue.stats() == before
        await held.ack()
        await queue.publish("y")
        assert (await Mover(one, two, "q", wait=0).run()).moved == 1
        there = await two.queue("q").stats()
        assert (there.paused, there.paused_until) == (before.paused, before.paused_until)


@on_a_loop
async def test_what_is_published_meanwhile_is_moved_too() -> None:
    async with supersoniq.connect() as one, supersoniq.connect() as two:
        queue, more = one.queue("q"), 5
        await queue.publish("0")
        mover = Mover(one, two, "q")
        source = mover._from

        async def busy(op: ops.AnyOp) -> Any:
            nonlocal more
            if isinstance(op, ops.Browse) and more:
                page = await source(op)
                if not page:  # right after the last look
                    await queue.publish(f"{more}")
                    more -= 1
                return page
            return await source(op)

        mover._from = busy
        moved = await mover.run()
        assert (moved.ending, moved.moved, more) == (Ending.DONE, 6, 0)


@on_a_loop
async def test_it_ends_when_somebody_resumes_the_source() -> None:
    """One batch at most can then be in both."""
    async with supersoniq.connect() as one, supersoniq.connect() as two:
        queue = one.queue("q")
        for n in range(4):
            await queue.publish(f"{n}")
        mover = Mover(one, two, "q")
        target = mover._to

        async def meddled(op: ops.AnyOp) -> Any:
            result = await target(op)
            if isinstance(op, ops.Import) and op.messages:
                await queue.resume()
                assert await queue.get(wait=0) is not None
            return result

        mover._to = meddled
        moved = await mover.run()
        assert (moved.ending, moved.moved, moved.both) == (Ending.RESUMED, 3, 1)


@on_a_loop
async def test_holding_the_target_until_all_is_there() -> None:
    async with supersoniq.connect() as one, supersoniq.connect() as two:
        await fill(one)
        queue = two.queue("q")
        await queue.publish("there before")
        held: list[bool] = []
        mover = Mover(one, two, "q", hold=True)
        target = mover._to

        async def watched(op: ops.AnyOp) -> Any:
            if isinstance(op, ops.Import) and op.messages:
                held.append((await queue.stats()).paused)
            return await target(op)

        mover._to = watched
        assert (await mover.run()).ending is Ending.DONE
        assert held
        assert all(held)
        assert not (await queue.stats()).paused


@on_a_loop
async def test_to_another_queue_there_and_back_and_there_again() -> None:
    async with supersoniq.connect() as one, supersoniq.connect() as two:
        number = await fill(one)
        before = await seen(one)
        for _ in range(3):
            assert (await Mover(one, two, "q", "p").run()).stored == number
            home = await Mover(two, one, "p", "q").run()
            assert (home.stored, home.paused) == (number, True)
            await one.queue("q").resume()
        assert await seen(one) == before


@on_a_loop
async def test_a_queue_is_not_moved_to_itself() -> None:
    async with supersoniq.connect() as one:
        await one.queue("q").publish("x")
        with pytest.raises(InvalidArgument, match="the very queue"):
            await Mover(one, one, "q").run()
        assert not (await one.queue("q").stats()).paused
        with pytest.raises(QueueNotFound):
            await Mover(one, one, "nobody").run()


@on_a_loop
async def test_the_way_back_is_open_only_after_the_way_there() -> None:
    """Half of a move undone by a move back would leave messages in neither."""
    async with supersoniq.connect() as one, supersoniq.connect() as two:
        number = await fill(one)
        mover = Mover(one, two, "q")
        source = mover._from

        async def dying(op: ops.AnyOp) -> Any:
            if isinstance(op, ops.Purge):
                raise Killed
            return await source(op)

        mover._from = dying
        with pytest.raises(Killed):
            await mover.run()
        with pytest.raises(IllegalMove):
            await Mover(two, one, "q").run()
        assert (await Mover(one, two, "q").run()).moved == number
        assert (await Mover(two, one, "q").run()).moved == number
        assert len(await seen(one)) == number


@on_a_loop
async def test_damaged_messages_stay_where_they_are(tmp_path: Path) -> None:
    """Stored anew they would be delivered: their checksum would be right again."""
    path = tmp_path / "q.db"
    async with supersoniq.connect(f"sqlite:///{path}") as one:
        for n in range(6):
            await one.queue("q").publish(f"{n}")
        with closing(sqlite3.connect(path)) as file:
            file.execute("UPDATE messages SET content = x'ff' WHERE content IN (x'30', x'33')")
            file.commit()
        delivery = await one.queue("q").get(wait=0)  # finds one of them, the other is not seen yet
        assert delivery is not None
        await delivery.ack()
        async with supersoniq.connect() as two:
            moved = await Mover(one, two, "q").run()
            assert (moved.ending, moved.moved, moved.damaged) == (Ending.DONE, 3, 2)
            assert [message.content for message in await seen(two)] == [b"2", b"4", b"5"]
            assert len(await seen(one)) == 2


@on_a_loop
async def test_figures_that_do_not_add_up_are_told() -> None:
    async with supersoniq.connect() as one, supersoniq.connect() as two:
        await fill(one)
        mover = Mover(one, two, "q")
        target = mover._to

        async def forgetful(op: ops.AnyOp) -> Any:
            result = await target(op)
            if isinstance(op, ops.Import) and op.messages:
                await two.delete_queue("q")
                await two.queue("q").publish("x")
            return result

        mover._to = forgetful
        assert (await mover.run()).ending is Ending.MISCOUNTED
