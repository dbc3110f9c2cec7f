"""The coalescer: batches, fates, cancellation, closing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from supersoniq.api.coalescer import Coalescer
from supersoniq.core.errors import BackendUnavailable, Closed, QueueNotFound
from supersoniq.core.ops import AnyOp, Stats


class Store:
    """Executes when it is let."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: BaseException | None = None

    async def execute(self, batch: Sequence[AnyOp]) -> list[Any]:
        names = [op.queue for op in batch if isinstance(op, Stats)]
        self.batches.append(names)
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return [QueueNotFound(name) if name == "none" else name.upper() for name in names]


def test_calls_of_one_moment_make_one_batch_and_the_next_collects_meanwhile() -> None:
    async def main() -> None:
        store = Store()
        coalescer = Coalescer(store.execute)
        store.gate.clear()
        first = [coalescer.submit(Stats(name)) for name in "ab"]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        second = [coalescer.submit(Stats(name)) for name in "cde"]
        await asyncio.sleep(0)
        assert store.batches == [["a", "b"]]
        store.gate.set()
        assert await asyncio.gather(*first, *second) == list("ABCDE")
        assert store.batches == [["a", "b"], ["c", "d", "e"]]
        await coalescer.close()

    asyncio.run(main())


def test_a_batch_has_a_limit() -> None:
    async def main() -> None:
        store = Store()
        coalescer = Coalescer(store.execute, limit=3)
        await asyncio.gather(*(coalescer.submit(Stats(str(n))) for n in range(7)))
        assert [len(batch) for batch in store.batches] == [3, 3, 1]

    asyncio.run(main())


def test_an_error_of_one_operation_is_its_own() -> None:
    async def main() -> None:
        coalescer = Coalescer(Store().execute)
        good, bad = coalescer.submit(Stats("a")), coalescer.submit(Stats("none"))
        assert await good == "A"
        with pytest.raises(QueueNotFound):
            await bad

    asyncio.run(main())


def test_a_failed_batch_fails_each_caller_with_an_error_of_its_own() -> None:
    async def main() -> None:
        store = Store()
        coalescer = Coalescer(store.execute)
        store.error = BackendUnavailable("gone fishing")
        calls = [coalescer.submit(Stats(name)) for name in "ab"]
        errors = await asyncio.gather(*calls, return_exceptions=True)
        assert [str(error) for error in errors] == ["the store is unavailable: gone fishing"] * 2
        assert errors[0] is not errors[1]
        store.error = None
        assert await coalescer.submit(Stats("c")) == "C", "it must go on after a failure"

    asyncio.run(main())


def test_who_gives_up_while_collecting_is_taken_out() -> None:
    async def main() -> None:
        store = Store()
        coalescer = Coalescer(store.execute)
        store.gate.clear()
        first = coalescer.submit(Stats("a"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        early, late = coalescer.submit(Stats("b")), coalescer.submit(Stats("c"))
        early.cancel()
        store.gate.set()
        assert await first == "A"
        assert await late == "C"
        assert store.batches == [["a"], ["c"]]

    asyncio.run(main())


def test_who_gives_up_in_flight_harms_nobody() -> None:
    async def main() -> None:
        store = Store()
        coalescer = Coalescer(store.execute)
        store.gate.clear()
        first, second = coalescer.submit(Stats("a")), coalescer.submit(Stats("b"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        first.cancel()
        store.gate.set()
        assert await second == "B"

    asyncio.run(main())


def test_close_answers_what_was_submitted_and_refuses_the_rest() -> None:
    async def main() -> None:
        store = Store()
        coalescer = Coalescer(store.execute)
        store.gate.clear()
        call = coalescer.submit(Stats("a"))
        closing = asyncio.ensure_future(coalescer.close())
        await asyncio.sleep(0)
        with pytest.raises(Closed):
            coalescer.submit(Stats("b"))
        store.gate.set()
        await closing
        assert call.result() == "A"

    asyncio.run(main())
