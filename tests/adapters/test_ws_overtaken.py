"""A large frame that waits for room gets it in turn, however many smaller ones want it as well."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

import supersoniq
from supersoniq.adapters import create_app
from supersoniq.adapters.http.answers import SMALL
from supersoniq.adapters.http.backlog import Backlog
from supersoniq.adapters.http.deadlines import Deadlines
from supersoniq.adapters.ws.outbox import Outbox
from tests.adapters.test_ws_unread import KIB, TAKE, Reader, settled
from tests.adapters.uploads import turns

LARGE = "x" * 500 * KIB
MEDIUM = "x" * 150 * KIB


@pytest.mark.parametrize("how", ["work", "broadcast", "operations"])
def test_one_is_not_overtaken_for_ever(url: str, how: str) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            app = create_app(broker, max_answers=820 * KIB)
            others, queue = broker.queue("others"), broker.queue("q")
            await queue.configure(lease=60)
            for _ in range(24):
                await others.publish(MEDIUM)
            crowd = [Reader(app, asyncio.Event()) for _ in range(4)]
            for each in crowd:
                each.say(type="subscribe", id=1, queue="others", mode="work", credit=1)
            await settled(lambda: all(each.pending for each in crowd))

            one = Reader(app)
            if how == "broadcast":
                one.say(type="subscribe", id=1, queue="q", mode="broadcast")
                await settled(lambda: len(one.heard) > 1)
            await queue.publish(LARGE)
            if how == "work":
                one.say(type="subscribe", id=1, queue="q", mode="work", credit=1)
            elif how == "operations":
                one.say(type="operations", id=1, operations=[TAKE])
            kind = {"work": "deliver", "broadcast": "event", "operations": "ok"}[how]

            for n in range(20):  # one after the other takes what it has, and wants more
                await take_and_ask(crowd[n % 4])
                if one.of(kind):
                    break
            assert len(one.of(kind)) == 1, "all others were served five times meanwhile"
            for each in [one, *crowd]:
                await each.vanish()
            assert app.service.backlog.size == 0

    async def take_and_ask(reader: Any) -> None:
        if not reader.pending:
            return
        count = len(reader.of("deliver"))
        reader._go.set()
        messages = await reader.until("deliver", count + 1)
        reader._go.clear()
        ack = {"receipt": messages[-1]["receipt"], "outcome": "ack"}
        reader.say(type="settle", id=2, queue="others", settlements=[ack])
        for _ in range(20):  # the next one is on its way, or has to wait
            if reader.pending:
                return
            await asyncio.sleep(0.002)

    asyncio.run(main())


def test_what_is_small_takes_no_room_of_what_is_large() -> None:
    async def main() -> None:
        async def send(_message: Any) -> None:
            await asyncio.Event().wait()

        backlog = Backlog(4 * SMALL, 10)
        boxes = [Outbox(send, False, SMALL, Deadlines(60), backlog, print) for _ in range(50)]
        for box in boxes:
            while not box.full:
                box.put(bytes(SMALL - 1))
        assert backlog.admits(4 * SMALL)

    asyncio.run(main())


def test_what_comes_in_small_frames_does_not_wait_for_what_comes_in_large_ones() -> None:
    async def main() -> None:
        async with supersoniq.connect("memory://") as broker:
            app = create_app(broker, max_answers=400 * KIB)
            large, small = broker.queue("large"), broker.queue("small")
            for _ in range(3):
                await large.publish("x" * 200 * KIB)
            await small.publish_many(["x" * 1000] * 200)
            crowd = [Reader(app, asyncio.Event()) for _ in range(3)]
            for each in crowd:
                each.say(type="subscribe", id=1, queue="large", mode="work", credit=1)
            backlog = app.service.backlog
            await settled(lambda: backlog.waiting)
            one = Reader(app)
            one.say(type="subscribe", id=1, queue="small", mode="work", credit=200)
            assert len(await one.until("deliver", 200)) == 200
            assert backlog.waiting
            for each in [one, *crowd]:
                await each.vanish()
            assert (backlog.size, backlog.waiting) == (0, False)

    asyncio.run(main())


def test_a_place_that_is_not_used_is_given_up_when_others_wait() -> None:
    async def main() -> None:
        backlog = Backlog(400 * KIB, patience=0)
        with await backlog.place(300 * KIB, ("a", "dawdles")) as place:
            assert not backlog.admits(200 * KIB)
            assert backlog.admits(300 * KIB, place)
            other = asyncio.ensure_future(backlog.place(200 * KIB, ("a", "other")))
            await turns()
            assert not other.done()
            assert not backlog.admits(SMALL + 1), "somebody waits"
            with await asyncio.wait_for(other, 5) as place_of_other:
                assert backlog.admits(200 * KIB, place_of_other)
                assert backlog.size == 200 * KIB
                assert not backlog.admits(300 * KIB, place)
        assert backlog.size == 0

    asyncio.run(main())


def test_what_is_larger_than_all_room_comes_alone_and_those_who_leave_hold_up_nobody() -> None:
    async def main(seed: int) -> None:
        chance = random.Random(seed)
        backlog = Backlog(400 * KIB, 10)
        sent = 0

        async def one(client: int) -> None:
            nonlocal sent
            size = chance.choice([70, 150, 300, 900]) * KIB
            with await backlog.place(size, (client // 2, client)) as place:
                await turns(chance.randrange(4))  # looks for it
                if chance.random() < 0.2:
                    return  # somebody else has it
                assert backlog.admits(size, place)
                backlog.take(size)
            try:
                assert backlog.size <= max(400 * KIB, size)
                await turns(chance.randrange(6))
            finally:
                backlog.leave(size)
            sent += 1

        tasks = []
        for _ in range(60):
            tasks.append(asyncio.ensure_future(one(chance.randrange(5))))
            await turns(chance.randrange(4))
            if chance.random() < 0.3:
                chance.choice(tasks).cancel()
        await asyncio.wait(tasks, timeout=10)
        assert all(task.done() for task in tasks), "nobody waits for ever"
        assert sent
        assert (backlog.size, backlog.waiting, backlog._holders) == (0, False, {})

    for seed in range(20):
        asyncio.run(main(seed))
