"""Leases of many large messages: no more of them is read than one answer may hold."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

import supersoniq
from supersoniq.adapters import create_app
from supersoniq.adapters.ws.work import BATCH
from supersoniq.api.broker import Broker
from supersoniq.core.ops import Taken
from tests.adapters.sockets import dial, served

MIB = 1024 * 1024
MESSAGES = 40


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/store.db"


class Reading:
    """What a store has given to takes.

    Args:
        broker: open.
        monkeypatch: pytest's.
    """

    def __init__(self, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
        self.most = 0
        """Bytes of content at once, with all takes of a batch."""
        backend = broker.engine.backend
        execute = backend.execute

        async def watched(batch: Sequence[Any]) -> list[Any]:
            results = await execute(batch)
            self._note(results)
            return results

        monkeypatch.setattr(broker.engine._coalescer, "execute", watched)
        if (direct := broker.engine.direct) is not None:

            def at_once(op: Any) -> Any:
                result = direct(op)
                self._note([result])
                return result

            monkeypatch.setattr(broker.engine, "direct", at_once)

    def _note(self, results: Sequence[Any]) -> None:
        taken = [each for each in results if isinstance(each, Taken)]
        size = sum(len(lease.record.content) for each in taken for lease in each.leases)
        self.most = max(self.most, size)


async def fill(broker: Broker) -> None:
    for _ in range(MESSAGES):
        await broker.queue("q").publish(bytes(MIB // 2), content_type="x/y")


@pytest.mark.parametrize("door", ["leases", "operations"])
def test_over_http(door: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            await fill(broker)
            transport = httpx.ASGITransport(create_app(broker, max_answer=2 * MIB))
            reading = Reading(broker, monkeypatch)
            async with httpx.AsyncClient(transport=transport, base_url="http://q") as client:
                got = 0
                while got < MESSAGES:
                    if door == "leases":
                        answer = await client.post("/queues/q/leases", json={"limit": 10_000})
                        leases = answer.json()
                    else:
                        take = {"op": "take", "queue": "q", "limit": 10_000}
                        answer = await client.post("/operations", json=[take, take])
                        found = answer.json()["results"]
                        leases = [one for each in found for one in each["ok"]["leases"]]
                    assert answer.status_code == 200, answer.text
                    assert 1 <= len(leases) <= 5
                    got += len(leases)
            assert reading.most <= 3 * MIB
            stats = await broker.queue("q").stats()
            assert (stats.leased, stats.ready) == (MESSAGES, 0)

    asyncio.run(main())


def test_many_who_wait_get_theirs_one_after_the_other(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They look together, and are not to read all they want together at once."""

    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            reading = Reading(broker, monkeypatch)
            take = broker.engine.take
            waiting = [
                asyncio.ensure_future(take("q", 10_000, wait=None, max_bytes=MIB))
                for _ in range(MESSAGES // 2)
            ]
            await asyncio.sleep(0)
            monkeypatch.setattr("supersoniq.api.waiting.MOST_BYTES", 4 * MIB)
            items = [bytes(MIB // 2)] * MESSAGES
            await broker.queue("q").publish_many(items)
            batches = await asyncio.wait_for(asyncio.gather(*waiting), 30)
            assert [len(batch.leases) for batch in batches] == [2] * (MESSAGES // 2)
            assert reading.most <= 5 * MIB

    asyncio.run(main())


def test_a_subscriber_with_a_large_credit(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            await fill(broker)
            async with served(broker) as address, dial(address, max_size=None) as client:
                reading = Reading(broker, monkeypatch)
                await client.done("subscribe", queue="q", mode="work", credit=10_000)
                got = 0
                while got < MESSAGES:
                    got += len((await client.next("deliver"))["messages"])
            assert reading.most <= BATCH + MIB

    asyncio.run(main())
