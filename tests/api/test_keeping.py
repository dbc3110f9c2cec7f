"""When leases are extended, and that a runner needs one trip to its store, not two."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from supersoniq import Broker, Delivery
from supersoniq.api.keeping import Keeper, Rounds
from supersoniq.backends.memory import MemoryBackend
from supersoniq.core import ops
from supersoniq.core.ops import AnyOp
from supersoniq.port import Result


class _Kept:
    settled = None
    lost = False

    def __init__(self) -> None:
        self.times = 0
        self.twice = asyncio.Event()

    async def _keep(self) -> float | None:
        self.times += 1
        if self.times < 2:
            return 0.01
        self.twice.set()
        return None


def test_who_is_due_together_shares_a_round_and_who_has_left_is_not_called() -> None:
    async def main() -> None:
        rounds, calls = Rounds(), 0
        loop = asyncio.get_running_loop()
        plan = loop.call_at

        def call_at(*arguments: object) -> asyncio.TimerHandle:
            nonlocal calls
            calls += 1
            return plan(*arguments)  # type: ignore[arg-type]  # as they came

        loop.call_at = call_at  # type: ignore[method-assign,assignment]  # to count
        all_ = [_Kept() for _ in range(1000)]
        when = loop.time() + 0.05
        keepers = [Keeper(kept, rounds, when, 30_000_000, None) for kept in all_]
        assert calls == 1
        for keeper in keepers[1:]:
            assert not keeper.stop(None)
        rounds.join(keepers[0], loop.time(), 3)
        await all_[0].twice.wait()
        assert not any(kept.times for kept in all_[1:])

    asyncio.run(main())


def test_rounds_are_early_by_a_thirtieth_of_the_lease_at_most_and_never_late() -> None:
    class Slot:
        at = 0.0

        def due(self) -> None:
            self.at = asyncio.get_running_loop().time()

    async def main() -> None:
        loop, rounds = asyncio.get_running_loop(), Rounds()
        planned: list[float] = []
        loop.call_at = lambda when, *_: planned.append(when)  # type: ignore[method-assign,assignment]  # to see
        for length in (100, 777, 30_000, 43_200_000):
            when = loop.time() + length / 3000
            rounds.join(Slot(), when, length)  # type: ignore[arg-type]  # all that is needed
            assert when - length / 30_000 - 1e-6 <= planned[-1] <= when + 1e-6

    asyncio.run(main())


class _Slow(MemoryBackend):
    """A store that is elsewhere, and remembers what came in one batch."""

    def __init__(self) -> None:
        super().__init__()
        self.direct = None
        self.batches: list[list[AnyOp]] = []

    async def execute(self, batch: Sequence[AnyOp]) -> list[Result]:
        self.batches.append(list(batch))
        await asyncio.sleep(0)
        return await super().execute(batch)


def test_acks_and_the_next_look_go_out_together_and_no_more_work_than_asked_for() -> None:
    async def main() -> None:
        store, stop, seen, at_once, most = _Slow(), asyncio.Event(), 0, 0, 0

        async def work(delivery: Delivery) -> None:
            nonlocal seen, at_once, most
            seen, at_once = seen + 1, at_once + 1
            most = max(most, at_once)
            await asyncio.sleep(0)
            at_once -= 1
            if seen == 100:
                stop.set()

        await store.open()
        async with Broker(store) as broker:
            queue = broker.queue("q")
            await queue.publish_many(["job"] * 100)
            store.batches.clear()
            await queue.run(work, 10, stop=stop)
            assert (await queue.stats()).acked == 100
        assert most == 10
        both = [
            batch
            for batch in store.batches
            if any(isinstance(op, ops.Take) for op in batch)
            and sum(isinstance(op, ops.Settle) for op in batch) == 10
        ]
        assert len(both) >= 9
        assert len(store.batches) <= 15

    asyncio.run(main())
