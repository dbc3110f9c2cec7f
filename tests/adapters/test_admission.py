"""Larger bodies: all that are honest are stored, each in its turn, in a bounded memory."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import supersoniq
from supersoniq.adapters import create_app
from supersoniq.adapters.http.admission import LITTLE, SMALL, Admission, Room
from supersoniq.adapters.http.app import App
from supersoniq.adapters.http.arriving import Arriving
from tests.adapters.uploads import KIB, Slow, Upload, turns


def taken(app: App) -> tuple[int, int, int]:
    """Bytes that those have who were let in, that those have who wait, and that others have."""
    admission = app.service.admission
    assert app.service.arriving.reserved == admission.large.taken + admission.small.taken
    if not app.service.arriving.reserved:
        assert not {**admission.large._reading, **admission.small._reading}, "nobody comes"
    return app.service.arriving.reserved, admission.waiting, app.service.arriving.size


@pytest.mark.parametrize("told", [True, False], ids=["length", "no length"])
@pytest.mark.parametrize(
    ("kind", "path", "status"),
    [("x/y", "/messages", 201), ("application/json", "/messages", 400),
     ("application/msgpack", "/operations", 400), ("application/json", "/queues/q/leases", 400)],
)  # fmt: skip
def test_who_is_not_let_in_is_not_read_and_all_come_in_their_turn(
    told: bool, kind: str, path: str, status: int
) -> None:
    async def main() -> None:
        async with supersoniq.Broker(Slow()) as broker:
            store = broker.engine.backend
            assert isinstance(store, Slow)
            app = create_app(broker, max_arriving=800 * KIB, max_body=200 * KIB,
                             max_batch_body=200 * KIB)  # fmt: skip
            ups = [Upload(app, 100 * KIB, told=told, kind=kind, path=path) for _ in range(20)]
            await turns(200)
            most, waiting, _ = taken(app)
            if status == 201:  # what is whole and waits for the store still counts
                in_hand = [each for each in ups if not each.left]
                assert len(in_hand) == (4 if told else 3)
                assert most == len(in_hand) * 100 * KIB
                assert waiting
                for each in ups:
                    if each.left:  # only as much was read as nobody has to be asked for
                        assert each.asked == (0 if told else 2)
            store.may.set()
            assert [await each.answer() for each in ups] == [status] * 20
            assert taken(app) == (0, 0, 0)
            if status == 201:
                assert (await broker.queue().stats()).published == 20

    asyncio.run(main())


def test_small_ones_do_not_wait_for_larger_ones_and_little_ones_for_nobody() -> None:
    async def main() -> None:
        async with supersoniq.connect("memory://") as broker:
            app = create_app(broker, max_arriving=800 * KIB)
            large = [Upload(app, 300 * KIB) for _ in range(3)]
            for each in large:
                each.going.clear()
            await turns()
            assert [each.asked for each in large] == [1, 0, 0]
            assert await Upload(app, SMALL).answer() == 201
            small = [Upload(app, SMALL) for _ in range(4)]
            for each in small:
                each.going.clear()
            await turns()
            assert [each.asked for each in small] == [1, 1, 1, 0]
            assert await Upload(app, LITTLE, piece=KIB).answer() == 201
            assert await Upload(app, LITTLE, piece=KIB, told=False).answer() == 201
            for each in large + small:
                each.going.set()
            assert [await each.answer() for each in large + small] == [201] * 7
            assert taken(app) == (0, 0, 0)

    asyncio.run(main())


def test_addresses_and_connections_take_turns_and_each_keeps_its_order() -> None:
    async def main(names: str) -> str:
        admission = Admission(Arriving(200 * KIB), 30)
        order: list[str] = []

        async def one(name: str) -> None:
            room = await admission.enter(100 * KIB, (name[0], name[1]))
            order.append(name)
            await turns(3)
            room.leave()

        await asyncio.gather(*map(one, names.split()))
        return " ".join(order)

    # Those of an address do, and addresses: a thousand connections of one are no more than one.
    assert asyncio.run(main("aa1 aa2 aa3 ab1 ab2 ac1")) == "aa1 aa2 ab1 ac1 aa3 ab2"
    assert asyncio.run(main("aa1 aa2 ab1 ac1 ac2 ba1 ba2 ca1")) == "aa1 aa2 ba1 ca1 ab1 ba2 ac1 ac2"


def test_nobody_overtakes_who_waits_for_more() -> None:
    async def main() -> None:
        admission = Admission(Arriving(400 * KIB), 30)
        first = await admission.enter(100 * KIB)
        more = asyncio.ensure_future(admission.enter(150 * KIB))
        await turns()
        less = asyncio.ensure_future(admission.enter(70 * KIB, ("another", "one")))
        await turns()
        assert not more.done()
        assert not less.done(), "there is room for it, but not for both"
        more.cancel()
        await turns()
        assert less.done(), "nobody is before it now"
        for room in (first, less.result()):
            room.leave()
        assert admission.large.taken == 0

    asyncio.run(main())


def test_what_is_larger_than_all_room_comes_alone() -> None:
    async def main() -> None:
        async with supersoniq.connect("memory://") as broker:
            app = create_app(broker, max_arriving=64 * KIB)
            ups = [Upload(app, 500 * KIB, port=port) for port in range(4)]
            await turns(3)
            assert taken(app)[0] == 500 * KIB
            assert [await each.answer() for each in ups] == [201] * 4

    asyncio.run(main())


def test_too_many_that_wait_are_refused_at_once_and_may_come_back() -> None:
    async def main() -> None:
        async with supersoniq.connect("memory://") as broker:
            app = create_app(broker, max_arriving=160 * KIB)
            first = Upload(app, 80 * KIB)
            first.going.clear()
            await turns()
            others = [Upload(app, 80 * KIB) for _ in range(15)]
            await turns()
            assert taken(app)[1] == 160 * KIB
            assert [await each.answer() for each in others[10:]] == [503] * 5
            first.going.set()
            assert [await each.answer() for each in others[:10]] == [201] * 10
            assert taken(app) == (0, 0, 0)

    asyncio.run(main())


def test_where_bodies_share_a_window_none_is_left_unread() -> None:
    """As over HTTP/2 on other servers: who waits would be in the way of who was let in."""

    async def main() -> None:
        async with supersoniq.connect("memory://") as broker:
            app = create_app(broker, max_arriving=800 * KIB)
            ups = [Upload(app, 300 * KIB, version="2") for _ in range(4)]
            await turns(3)
            assert all(each.asked for each in ups)
            statuses = [await each.answer() for each in ups]
            assert 201 in statuses
            assert set(statuses) <= {201, 503}
            assert taken(app) == (0, 0, 0)

    asyncio.run(main())


def test_time_spent_waiting_is_not_counted() -> None:
    async def main() -> None:
        async with supersoniq.connect("memory://") as broker:
            app = create_app(broker, max_arriving=200 * KIB, body_timeout=0.2)
            first = Upload(app, 100 * KIB)
            first.going.clear()
            await turns()
            other = Upload(app, 100 * KIB)
            assert await first.answer() == 408  # and it took all of its time
            assert await other.answer() == 201
            assert taken(app) == (0, 0, 0)

    asyncio.run(main())


@pytest.mark.parametrize("drip", [0, 1])
def test_who_dawdles_while_others_wait_is_given_up_and_nobody_else(drip: int) -> None:
    async def main() -> None:
        loop, moved = asyncio.get_running_loop(), 0.0
        begun = loop.time()
        loop.time = lambda: begun + moved  # type: ignore[method-assign]
        async with supersoniq.connect("memory://") as broker:
            app = create_app(broker, max_arriving=400 * KIB)
            dawdler = Upload(app, 100 * KIB, piece=drip or 16 * KIB)
            steady = Upload(app, 100 * KIB, piece=4 * KIB)
            senders = (steady, dawdler) if drip else (steady,)
            dawdler.going.clear()
            steady.going.clear()

            async def half_a_second() -> None:
                nonlocal moved
                for each in senders:
                    each.going.set()
                while steady.asked == seen[-1] and not steady.task.done():
                    await turns(1)
                seen.append(steady.asked)
                for each in senders:
                    each.going.clear()
                moved += 0.5
                await turns()

            seen = [steady.asked]
            for _ in range(6):
                await half_a_second()
            assert not dawdler.status, "nobody waits"
            waits = [Upload(app, 100 * KIB, port=2) for _ in range(5)]
            while not dawdler.status:
                assert moved < 10
                await half_a_second()
            assert dawdler.status == 503
            assert 3 < moved < 6
            assert [await each.answer() for each in waits] == [201] * 5
            while not steady.status:
                await half_a_second()
            assert steady.status == 201
            assert taken(app) == (0, 0, 0)

    asyncio.run(main())


def test_what_was_let_in_makes_room_among_what_was_not() -> None:
    async def main() -> None:
        arriving = Arriving(80 * KIB)
        admission = Admission(arriving, 30)
        with arriving(30 * KIB), arriving(30 * KIB):
            room = await admission.enter(40 * KIB)
            assert arriving.size == 30 * KIB, "of 80"
            room.leave()
            assert arriving.share == 80 * KIB

    asyncio.run(main())


def test_clients_that_vanish_at_every_stage_leave_nothing_behind() -> None:
    async def main(seed: int) -> None:
        chance = random.Random(seed)
        store = Slow()
        async with supersoniq.Broker(store) as broker:
            app = create_app(broker, max_arriving=400 * KIB, max_body=150 * KIB)
            ups: list[Upload] = []
            for _ in range(60):
                size = chance.choice([KIB, 20 * KIB, 60 * KIB, 100 * KIB, 140 * KIB])
                ups.append(Upload(app, size, told=chance.random() < 0.6, port=chance.randrange(5)))
                await turns(chance.randrange(6))
                victim = chance.choice(ups)
                match chance.randrange(5):
                    case 0:
                        victim.gone.set()
                    case 1:
                        victim.task.cancel()
                    case 2:
                        victim.going.clear()
                    case 3:
                        store.may.set()
                    case _:
                        store.may.clear()
            store.may.set()
            for each in ups:
                each.going.set()
            await asyncio.wait([each.task for each in ups], timeout=10)
            assert all(each.task.done() for each in ups), "nobody waits for ever"
            assert taken(app) == (0, 0, 0)
            assert {each.status for each in ups} >= {201}

    for seed in range(20):
        asyncio.run(main(seed))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(1, 300), st.integers(0, 3), st.sampled_from(["stay", "cancel", "both"])
        ),
        max_size=30,
    ),
    st.randoms(use_true_random=False),
)
def test_no_room_is_lost_or_given_twice(
    asked: list[tuple[int, int, str]], chance: random.Random
) -> None:
    async def main() -> None:
        admission = Admission(Arriving(400 * KIB), 30)
        held: list[Room] = []

        async def one(size: int, client: int) -> None:
            room = await admission.enter(size * KIB, (client // 2, client))
            held.append(room)

        tasks = []
        for size, client, fate in asked:
            task = asyncio.ensure_future(one(size, client))
            tasks.append(task)
            await turns(chance.randrange(3))
            if fate != "stay" and held and chance.random() < 0.7:
                held.pop(chance.randrange(len(held))).leave()  # lets the next one in
            if fate != "stay":
                chance.choice(tasks).cancel()  # maybe just now
            pools = (admission.large, 200 * KIB), (admission.small, 100 * KIB)
            assert sum(pool.taken for pool, _ in pools) >= sum(room.size for room in held)
            for pool, most in pools:
                assert pool.taken <= max(most, 300 * KIB)
        for _ in range(200):
            await turns(2)
            for room in held[: chance.randrange(1, 4)]:
                held.remove(room)
                room.leave()
        assert all(task.done() for task in tasks), "nobody waits for ever"
        assert (admission.large.taken, admission.small.taken, admission.waiting) == (0, 0, 0)
        assert admission.arriving.reserved == 0

    asyncio.run(main())
