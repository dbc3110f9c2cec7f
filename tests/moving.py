"""Queues to be moved, for tests: one with a message of every kind, and what a store holds of it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec

import msgspec

import supersoniq
from supersoniq.core.messages import Message

P = ParamSpec("P")

POLICY: dict[str, Any] = {"keep_done": 3_600, "max_deliveries": 4, "lease": 12, "dedup_window": 900}


async def fill(broker: supersoniq.Broker, name: str = "q", plain: int = 20) -> int:
    """Make a queue with messages in every status and with every field; gives their number."""
    queue = broker.queue(name, **POLICY)
    for text in ("done", "dead", "tired", "failed"):
        await queue.publish(text, priority=100, headers={"why": text}, sender="ann")
        delivery = await queue.get(wait=0)
        assert delivery is not None
        if text == "done":
            await delivery.ack()
        elif text == "dead":
            await delivery.reject("no good")
        else:
            await delivery.nack(3_600 if text == "tired" else 0, reason="broke")
            if text == "failed":
                await queue.publish("ahead", priority=200)
    await queue.publish(bytes(range(256)), content_type="x/y", recipient="bob", ttl=7_200)
    await queue.publish({"json": [1, "ü"]}, delay=1_800, key="k", priority=-5)
    for n in range(plain):
        await queue.publish(f"plain {n}", priority=n % 3, key=f"key {n}" if n % 5 == 0 else None)
    return 7 + plain


async def seen(broker: supersoniq.Broker, name: str = "q") -> list[Message]:
    """All messages, in their order, as they are in whatever queue."""
    queue, found = broker.queue(name), list[Message]()
    while page := await queue.browse(after=found[-1].id if found else None):
        found += page
    return [msgspec.structs.replace(message, queue="") for message in found]


async def drain(broker: supersoniq.Broker, name: str = "q") -> list[str]:
    """Acknowledge all that is ready, and give the ids, in their order."""
    ids: list[str] = []
    queue = broker.queue(name)
    while taken := await queue.get_many(100, wait=0, recipient="bob"):
        ids += [delivery.id for delivery in taken]
        for delivery in taken:
            await delivery.ack()
    return ids


def on_a_loop(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """A test that awaits, as one that pytest can call."""

    @functools.wraps(test)
    def called(*args: P.args, **more: P.kwargs) -> None:
        async def main() -> None:
            await test(*args, **more)

        asyncio.run(main())

    return called
