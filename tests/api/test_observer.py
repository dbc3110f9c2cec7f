"""Whoever observes an engine is told of everything once, and nothing is done differently."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from pathlib import Path

import pytest

import supersoniq
from supersoniq.api.observer import Observer
from supersoniq.core.messages import Lease
from supersoniq.core.ops import AnyOp, Settle, Taken
from supersoniq.port import Result

WHO: ContextVar[str] = ContextVar("who", default="nobody")


class Seen(Observer):
    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.leases: list[Lease] = []
        self.settled = 0
        self.called_in: list[tuple[str, str]] = []

    def called(self, op: AnyOp, result: Result) -> None:
        self.called_in.append((type(op).__name__, WHO.get()))

    def batch(self, size: int, seconds: float) -> None:
        assert seconds >= 0
        self.sizes.append(size)

    def done(self, op: AnyOp, result: Result) -> None:
        if isinstance(result, Taken):
            self.leases += result.leases
        self.settled += isinstance(op, Settle)

    def leased(self, lease: Lease, length: int) -> None:
        self.leases.append(lease)

    def acked(self, lease: Lease) -> None:
        self.settled += 1


@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_leases_and_settlements_are_told_once(store: str, tmp_path: Path) -> None:
    async def main() -> None:
        url = "memory://" if store == "memory" else f"sqlite:///{tmp_path}/q.db"
        WHO.set("main")
        broker, seen = supersoniq.connect(url), Seen()
        broker.observe(seen)
        async with broker:
            queue = broker.queue("q")
            await queue.publish_many(["a", "b"])
            for settle in ("ack", "nack"):
                delivery = await queue.get(0)
                assert delivery is not None
                await getattr(delivery, settle)()
            figures = await queue.stats()
        assert (figures.acked, figures.nacked) == (1, 1)
        assert len(seen.leases) == 2
        assert seen.settled == 2
        assert bool(seen.sizes) is (store == "sqlite")
        assert seen.called_in == [("Configure", "main"), ("Publish", "main"), ("Stats", "main")]

    asyncio.run(main())
