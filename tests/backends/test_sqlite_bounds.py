"""What one take of a file's messages may bring into memory, and what is kept of names."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import supersoniq
from supersoniq.api.broker import Broker
from supersoniq.backends.sqlite import SqliteBackend, operations, taking
from supersoniq.core import ops


@pytest.mark.parametrize("recipient", [None, "ada"])
def test_a_take_of_large_messages_is_served_in_parts_and_in_order(
    recipient: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking, "MOST_BYTES", 100_000)

    async def main() -> None:
        async with supersoniq.connect(f"sqlite:///{tmp_path}/store.db") as broker:
            queue = broker.queue("q")
            drafts = [
                supersoniq.Draft(
                    n.to_bytes(2) * 500,
                    priority=n % 3,
                    recipient=recipient if n % 2 else None,
                )
                for n in range(500)
            ]
            await queue.publish_many(drafts)
            order: list[tuple[int, bytes]] = []
            sizes: list[int] = []
            while deliveries := await queue.get_many(1000, 0, recipient=recipient):
                sizes.append(len(deliveries))
                order += [(-delivery.priority, delivery.content) for delivery in deliveries]
            assert len(order) == 500
            assert order == sorted(order)
            assert 64 <= max(sizes) < 300, sizes

    asyncio.run(main())


def test_names_that_somebody_made_up_are_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may look at queues can name as many as it likes that are not there."""
    monkeypatch.setattr(operations, "MOST_KEPT", 10)

    async def main() -> None:
        backend = SqliteBackend(tmp_path / "q.db")
        async with Broker(backend) as broker:
            queue = broker.queue("there", lease=50)
            await queue.publish("x")
            held = await queue.get(wait=0)
            assert held is not None
            for number in range(100):
                assert (await broker.engine.call(ops.Take(f"not-there-{number}"))).leases == []
            kept = backend._store._operations
            assert kept is not None
            assert len(kept._queues) <= 11
            await held.nack(delay=0)
            again = await queue.get(wait=0)
            assert again is not None
            assert (again.attempt, (await queue.policy()).lease) == (2, 50.0)

    asyncio.run(main())
