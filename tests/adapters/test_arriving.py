"""Half-sent bodies: together they take a bounded room, and who is honest finds some."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import supersoniq
from supersoniq.adapters import create_app
from supersoniq.adapters.http.app import App
from supersoniq.adapters.http.arriving import Arriving
from supersoniq.adapters.http.problems import Refusal

KIB = 1024


class Sender:
    """A client that sends a body piece by piece, and never says that it is over by itself.

    Args:
        app: where to.
        path: of the request.
        kind: the body's media type.
    """

    def __init__(self, app: App, path: str = "/messages", kind: str = "x/y") -> None:
        self.status = 0
        self._pieces: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        headers = [(b"content-type", kind.encode())]
        scope = {"type": "http", "http_version": "1.1", "method": "POST", "path": path,
                 "root_path": "", "query_string": b"", "headers": headers}  # fmt: skip
        self.task = asyncio.ensure_future(app(scope, self._pieces.get, self._hear))

    async def _hear(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]

    async def send(self, data: bytes, *, more: bool = True) -> None:
        """Send some, and let it be taken."""
        self._pieces.put_nowait({"type": "http.request", "body": data, "more_body": more})
        for _ in range(20):
            await asyncio.sleep(0)

    async def answer(self) -> int:
        """The status."""
        await asyncio.wait_for(self.task, 10)
        return self.status

    async def leave(self) -> None:
        """Be gone."""
        self._pieces.put_nowait({"type": "http.disconnect"})
        await self.answer()


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("x/y", "/messages"),
        ("application/json", "/messages"),
        ("application/x-ndjson", "/messages"),
        ("application/json", "/operations"),
        ("application/json", "/queues/default/leases"),
    ],
)
def test_those_that_take_longest_make_room(kind: str, path: str) -> None:
    async def main() -> None:
        async with supersoniq.connect("memory://") as broker:
            app = create_app(broker, max_arriving=90 * KIB)
            arriving = app.service.arriving
            slow = [Sender(app, path, kind) for _ in range(20)]
            for each in slow:
                for _ in range(2):
                    await each.send(b"x" * 7680)
                assert arriving.size <= 90 * KIB
            assert [await each.answer() for each in slow[:14]] == [503] * 14
            assert not any(each.status for each in slow[14:])
            assert arriving.size == 90 * KIB
            for _ in range(10):
                honest = Sender(app)
                await honest.send(b"x" * 100 * KIB)
                await honest.send(b"y", more=False)
                assert await honest.answer() == 201
            for each in slow[14:]:
                if each.status == 0:
                    await each.leave()
            assert arriving.size == 0
            assert (await broker.queue().stats()).published == 10

    asyncio.run(main())


def test_a_body_that_ends_or_is_left_counts_no_more() -> None:
    async def main() -> None:
        async with supersoniq.connect("memory://") as broker:
            app = create_app(broker)
            one, other, third = Sender(app), Sender(app), Sender(app)
            for each in (one, other, third):
                await each.send(b"x" * KIB)
            assert app.service.arriving.size == 3 * KIB
            await other.leave()
            third.task.cancel()
            await asyncio.wait((third.task,))
            assert app.service.arriving.size == KIB
            await one.send(b"", more=False)
            assert await one.answer() == 201
            assert app.service.arriving.size == 0

    asyncio.run(main())


def test_lines_that_were_stored_count_no_more() -> None:
    async def main() -> None:
        async with supersoniq.connect("memory://") as broker:
            app = create_app(broker, max_arriving=10 * KIB)
            one = Sender(app, kind="application/x-ndjson")
            for _ in range(40):
                await one.send(b'{"content": "' + b"x" * KIB + b'"}\n{"content":')
                assert app.service.arriving.size < 3 * KIB
                await one.send(b'"y"}\n')
            await one.send(b"", more=False)
            assert await one.answer() == 201
            assert (await broker.queue().stats()).published == 80

    asyncio.run(main())


def test_lines_that_wait_for_their_batch_count_and_many_make_it_short() -> None:
    async def main() -> None:
        async with supersoniq.connect("memory://") as broker:
            app = create_app(broker, max_arriving=300 * KIB)
            arriving, line = app.service.arriving, b'{"content": "' + b"x" * KIB + b'"}\n'
            senders = [Sender(app, kind="application/x-ndjson") for _ in range(50)]
            for round in range(3):
                for sender in senders:
                    await sender.send(line * 20)
                    assert arriving.size <= 300 * KIB
                assert arriving.size > 200 * KIB, "this shows something only if much waits"
                assert (await broker.queue().stats()).published > 1000 * round
            for sender in senders:
                await sender.send(b"", more=False)
                assert await sender.answer() == 201
            assert arriving.size == 0
            assert (await broker.queue().stats()).published == 3000

    asyncio.run(main())


def test_a_body_given_up_that_goes_on_without_waiting_is_left_alone() -> None:
    async def main() -> None:
        arriving = Arriving(10)
        with arriving() as one, arriving() as other:
            other.grow(4)
            one.grow(7)  # the oldest
            one.grow(100)
            assert arriving.size == 4
        await asyncio.sleep(0)
        assert arriving.size == 0
        with pytest.raises(Refusal), arriving(11):
            await asyncio.sleep(10)
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()

    asyncio.run(main())
