"""What one take of a file's messages may bring into memory."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import supersoniq
from supersoniq.backends.sqlite import taking


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
