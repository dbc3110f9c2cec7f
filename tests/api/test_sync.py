"""The blocking face: the same names, from any thread."""

from __future__ import annotations

import inspect
import threading
import time

import pytest

import supersoniq
import supersoniq.sync


def test_it_has_every_name_of_the_asynchronous_face() -> None:
    for name in ("Broker", "Queue", "Delivery", "Watch"):
        there = getattr(supersoniq, name)
        here = getattr(supersoniq.sync, name)
        public = {n for n, v in inspect.getmembers(there, inspect.isfunction) if n[0] != "_"}
        internal = {"keep", "finish", "lease", "start", "stop", "interrupt"}
        missing = public - internal - set(dir(here)) - {"run"}
        assert not missing, f"{name} lacks {missing}"


def test_signatures_are_the_same() -> None:
    for name in ("publish", "get", "get_many", "receive", "browse", "redrive", "pause"):
        there = inspect.signature(getattr(supersoniq.Queue, name)).parameters
        here = inspect.signature(getattr(supersoniq.sync.Queue, name)).parameters
        assert list(there.values()) == list(here.values()), name


def test_the_life_of_a_message(url: str) -> None:
    with supersoniq.sync.connect(url) as broker:
        queue = broker.queue("q", max_deliveries=2, backoff=0)
        assert queue.get(0) is None
        published = queue.publish({"n": 1}, priority=3, headers={"a": "b"})
        with queue.get() as delivery:  # type: ignore[union-attr]  # it is there
            assert delivery.json() == {"n": 1}
            assert (delivery.id, delivery.priority, delivery.attempt) == (published.id, 3, 1)
            assert delivery.headers == {"a": "b"}
            assert delivery.time_left > 0
        assert queue.stats().acked == 1
        queue.publish("bad")
        for _ in range(2):
            with pytest.raises(ValueError), queue.get() as delivery:  # type: ignore[union-attr]
                raise ValueError("no")
        (dead,) = queue.browse("dead")
        assert dead.reason == "max_deliveries: ValueError: no"
        assert "dead" in queue.explain(dead.id)
        assert queue.redrive(dead.id) == 1
        queue.cancel(dead.id)
        with pytest.raises(supersoniq.MessageNotFound):
            queue.message(dead.id)
        assert broker.queues() == ["q"]
        assert broker.stats()["q"].cancelled == 1
        broker.delete_queue("q")


def test_a_lease_is_kept_while_a_block_runs(url: str) -> None:
    with supersoniq.sync.connect(url) as broker:
        # Two thirds of the lease are what a busy machine may stand still without it being lost.
        queue = broker.queue("q", lease=3)
        queue.publish("long")
        with queue.get() as delivery:  # type: ignore[union-attr]  # it is there
            before = delivery.deadline
            while delivery.deadline == before:
                time.sleep(0.01)
            assert not delivery.lost
        assert queue.stats().lapsed == 0


def test_a_lost_lease_shows_and_is_raised(url: str) -> None:
    with supersoniq.sync.connect(url) as broker:
        queue = broker.queue("q", lease=0.15)
        queue.publish("long")
        delivery = queue.get()
        assert delivery is not None

        def work() -> None:
            with delivery:
                broker.delete_queue("q")
                end = time.monotonic() + 60
                while not delivery.lost and time.monotonic() < end:
                    time.sleep(0.005)
                assert delivery.lost

        with pytest.raises(supersoniq.LeaseLost):
            work()


def test_many_threads_share_a_broker(url: str) -> None:
    seen: list[str] = []
    with supersoniq.sync.connect(url) as broker:
        queue = broker.queue("q")

        def consume() -> None:
            for delivery in queue.receive(5):
                with delivery:
                    seen.append(delivery.text())
                if delivery.text() == "end":
                    return

        threads = [threading.Thread(target=consume) for _ in range(4)]
        for thread in threads:
            thread.start()
        for n in range(200):
            queue.publish(str(n))
        for _ in threads:
            queue.publish("end", priority=-1)
        for thread in threads:
            thread.join(60)
    assert sorted(seen) == sorted([*map(str, range(200)), *["end"] * 4])


def test_closing_ends_every_waiting_thread(url: str) -> None:
    broker = supersoniq.sync.connect(url).open()
    queue = broker.queue("q")
    results: list[object] = []

    def wait() -> None:
        try:
            results.append(queue.get())
        except supersoniq.Closed as error:
            results.append(error)

    def iterate() -> None:
        results.append(list(queue.receive()))

    threads = [threading.Thread(target=target) for target in (wait, iterate)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    broker.close()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert len(results) == 2
    with pytest.raises(supersoniq.Closed):
        queue.publish("late")
    with pytest.raises(supersoniq.Closed):
        broker.queue("q")


def test_watching(url: str) -> None:
    with supersoniq.sync.connect(url) as broker:
        queue = broker.queue("q")
        with queue.watch() as watch:
            queue.publish("a")
            event = watch.next(30)
            assert event is not None
            assert event.message is not None
            assert event.message.text() == "a"
            assert watch.offset == event.offset
            assert watch.next(0) is None
