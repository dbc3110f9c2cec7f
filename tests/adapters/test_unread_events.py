"""Event streams that nobody reads: together they hold a bounded room, and miss nothing by it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

import supersoniq
from supersoniq.adapters import create_app
from supersoniq.adapters.http import events
from supersoniq.adapters.http.app import App
from supersoniq.adapters.http.feed import Feed

MIB = 1024 * 1024
STREAMS = 12
MESSAGES = 10


class Stream:
    """A client of an event stream that reads when it may.

    Args:
        app: whose.
        go: set when it may.
        prefer: the field.
    """

    def __init__(self, app: App, go: asyncio.Event, query: bytes, prefer: bytes) -> None:
        self._go = go
        self._asked = False
        self.pending = 0
        """Bytes that were given and not taken."""
        self.told = bytearray()
        headers = [(b"accept", b"application/x-ndjson"), (b"prefer", prefer)]
        scope = {"type": "http", "http_version": "1.1", "method": "GET", "root_path": "",
                 "path": "/queues/q/events", "query_string": query, "headers": headers}  # fmt: skip
        self.task = asyncio.ensure_future(app(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await asyncio.Event().wait()
        raise AssertionError

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.told += b"\n"
            return
        self.pending = len(message["body"])
        if self.pending > 1000:
            await self._go.wait()
        self.pending = 0
        self.told += message["body"]

    def contents(self) -> list[str]:
        """The first characters of the contents told of."""
        lines = [json.loads(line) for line in self.told.split(b"\n") if line.strip()]
        return [line["message"]["content"][:2] for line in lines if line.get("message")]


@pytest.mark.parametrize("query", [b"since=1", b""], ids=["since", "ready"])
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_they_wait_for_room_and_miss_nothing(
    kind: str, query: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "memory://" if kind == "memory" else f"sqlite:///{tmp_path}/store.db"
    feeds: list[Feed] = []

    class Noted(Feed):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            feeds.append(self)

    monkeypatch.setattr(events, "Feed", Noted)

    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            app = create_app(broker, max_answers=2 * MIB)
            queue = broker.queue("q")
            async with queue.watch():  # so that events are recorded
                for n in range(MESSAGES):
                    await queue.publish(f"{n:02}" + "x" * (MIB // 2))
            go = asyncio.Event()
            streams = [Stream(app, go, query, b"wait=0") for _ in range(STREAMS)]
            answers = app.service.answers
            async with asyncio.timeout(20):
                while answers.size < MIB:  # noqa: ASYNC110  # nobody tells
                    await asyncio.sleep(0.001)
            for _ in range(200):
                await asyncio.sleep(0.001)
            assert MIB <= answers.size <= 3 * MIB
            assert sum(stream.pending for stream in streams) <= 64 * 1024 * STREAMS
            assert not any(feed._ready for feed in feeds)
            go.set()
            await asyncio.wait_for(asyncio.gather(*(each.task for each in streams)), 30)
            assert answers.size == 0
            expected = [f"{n:02}" for n in range(MESSAGES)]
            assert [stream.contents() for stream in streams] == [expected] * STREAMS

    asyncio.run(main())
