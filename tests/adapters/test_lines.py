"""Bodies of lines that take long: what is stored meanwhile, and what their senders are told."""

from __future__ import annotations

import asyncio
import json

import pytest

import supersoniq
from supersoniq.adapters import create_app
from supersoniq.adapters.http import lines
from supersoniq.adapters.http.app import App
from tests.adapters.test_arriving import Sender

LINES = "application/x-ndjson"


class Watched(Sender):
    """A sender of lines that keeps its answer."""

    def __init__(self, app: App) -> None:
        self.told = b""
        super().__init__(app, kind=LINES)

    async def _hear(self, message: dict[str, object]) -> None:
        await super()._hear(message)
        self.told += bytes(message.get("body", b""))  # type: ignore[call-overload]

    async def problem(self) -> tuple[int, str, int]:
        """The answer's status, its code, and how many lines it says are stored."""
        status = await self.answer()
        told = json.loads(self.told)
        return status, told.get("code", ""), told.get("published", told)["lines"]


@pytest.fixture(autouse=True)
def _haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "LINGER", 0.05)


async def stored(broker: supersoniq.Broker) -> int:
    return (await broker.queue().stats()).published


def test_a_line_is_stored_soon_though_no_other_comes(url: str) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            sender, queue = Watched(create_app(broker)), broker.queue()
            for number in range(5):
                await sender.send(b'{"content": "%d"}\n{"cont' % number)
                one = await queue.get(wait=5)
                await sender.send(b'ent": "and"}\n')
                other = await queue.get(wait=5)
                assert one is not None
                assert other is not None
                assert (one.text(), other.text()) == (str(number), "and")
            await sender.send(b'{"content": "half')
            await sender.leave()
            assert await stored(broker) == 10

    asyncio.run(main())


def test_who_is_in_the_middle_when_the_server_stops_is_told_how_far_it_came(url: str) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            app = create_app(broker, line_batch=2)
            waiting, busy, ending = Watched(app), Watched(app), Watched(app)
            for sender in (waiting, busy, ending):
                await sender.send(b'{"content": 1}\n' * 3 + b'{"content')
            app.drain()
            await ending.send(b'": 2}', more=False)
            assert await ending.problem() == (201, "", 4)
            while not busy.task.done():
                await busy.send(b'": 3}\n{"content')
                await asyncio.sleep(0.01)
            for sender in (waiting, busy):
                status, code, count = await sender.problem()
                assert (status, code) == (503, "closed")
                assert count >= 3
                assert b'"retry":true' in sender.told
            assert (await waiting.problem())[2] == 3
            assert await stored(broker) == sum(
                [(await each.problem())[2] for each in (waiting, busy, ending)]
            )

    asyncio.run(main())


def test_a_bad_line_takes_its_batch_with_it_and_nothing_before(url: str) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            sender = Watched(create_app(broker))
            await sender.send(b'{"content": 1}\n')
            assert await broker.queue().get(wait=5)
            await sender.send(b'{"content": 2}\n{"content": }\n{"content": 3}\n')
            assert await sender.problem() == (400, "invalid-argument", 1)
            assert b"line 3" in sender.told
            assert await stored(broker) == 1

    asyncio.run(main())


def test_a_client_that_leaves_in_the_middle_leaves_no_complaint(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            app = create_app(broker)
            for body in (b'{"content": 1}\n', b'{"content": }\n', b'{"cont', b""):
                sender = Watched(app)
                await sender.send(body)
                await sender.leave()
            assert await stored(broker) == 0

    asyncio.run(main())
    assert caplog.records == []
