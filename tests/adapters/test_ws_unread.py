"""WebSockets that take large messages and read none of them: together they hold a bounded room."""

from __future__ import annotations

import asyncio
import gc
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

import supersoniq
from supersoniq.adapters import create_app
from supersoniq.adapters.http.app import App
from supersoniq.api.queue import Queue

KIB = 1024
LARGE = "x" * 150 * KIB


class Reader:
    """A client that reads what is large only when it may.

    Args:
        app: whose.
        go: set when it may; ``None``: always.
    """

    def __init__(self, app: App, go: asyncio.Event | None = None) -> None:
        self._go = go
        self._said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._said.put_nowait({"type": "websocket.connect"})
        self.heard: list[dict[str, Any]] = []
        self.pending = 0
        """Bytes that were given and not taken."""
        scope = {"type": "websocket", "http_version": "1.1", "path": "/ws", "root_path": "",
                 "query_string": b"", "headers": [], "subprotocols": ["supersoniq.v1.json"],
                 "extensions": {}}  # fmt: skip
        self.task = asyncio.ensure_future(app(scope, self._said.get, self._send))

    def say(self, **frame: Any) -> None:
        """Send a frame."""
        self._said.put_nowait({"type": "websocket.receive", "text": json.dumps(frame)})

    async def _send(self, message: Any) -> None:
        if message["type"] == "websocket.send":
            text = message["text"]
            if self._go is not None and len(text) > KIB:
                self.pending = len(text)
                await self._go.wait()
                self.pending = 0
            self.heard.append(json.loads(text))

    async def vanish(self) -> None:
        """Be gone."""
        self._said.put_nowait({"type": "websocket.disconnect", "code": 1006})
        await asyncio.wait_for(self.task, 10)

    def of(self, kind: str) -> list[Any]:
        """What came in frames of that type: messages, events or results."""
        names = {"deliver": "messages", "event": "events", "ok": "results"}
        frames = [each for each in self.heard if each["type"] == kind]
        return [part for each in frames for part in each.get(names[kind], ())]

    async def until(self, kind: str, count: int) -> list[Any]:
        """The same, once there are so many."""
        async with asyncio.timeout(10):
            while len(self.of(kind)) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
        return self.of(kind)


async def settled(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


async def publish(queue: Queue, count: int) -> None:
    for _ in range(count):
        await queue.publish(LARGE)


TAKE = {"op": "take", "queue": "q", "limit": 1}


@pytest.mark.parametrize("how", ["work", "broadcast", "operations"])
def test_they_have_a_common_room_and_miss_nothing(url: str, how: str) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            queue = broker.queue("q")
            await queue.configure(lease=60)
            app = create_app(broker, max_answers=600 * KIB, max_outbox=400 * KIB)
            go = asyncio.Event()
            crowd = [Reader(app, go) for _ in range(15)]
            kind, wanted = {"work": ("deliver", 30), "broadcast": ("event", 30 * 15),
                            "operations": ("ok", 30)}[how]  # fmt: skip
            if how == "broadcast":
                for each in crowd:
                    each.say(type="subscribe", id=1, queue="q", mode="broadcast")
                await settled(lambda: all(len(each.heard) > 1 for each in crowd))
            await publish(queue, 30)
            for each in crowd:
                if how == "work":
                    each.say(type="subscribe", id=1, queue="q", mode="work", credit=2)
                elif how == "operations":
                    for n in range(2):
                        each.say(type="operations", id=n, operations=[TAKE])
            await settled(lambda: app.service.backlog.size > 250 * KIB)
            for _ in range(20):
                await asyncio.sleep(0.005)
                # Each of it is small, or has found room: one more may have been on its way.
                assert app.service.backlog.size <= 800 * KIB
                assert sum(each.pending for each in crowd) <= 800 * KIB
            # Who asks for little gets it meanwhile.
            honest = Reader(app)
            honest.say(type="publish", id=1, queue="r", messages=[{"content": "small"}])
            honest.say(type="subscribe", id=2, queue="r", mode="work", credit=1)
            assert (await honest.until("deliver", 1))[0]["content"] == "small"
            go.set()
            await settled(lambda: sum(len(each.of(kind)) for each in crowd) == wanted)
            if how == "work":
                assert (await queue.stats()).leased == 30
            for each in [honest, *crowd]:
                await each.vanish()
            assert app.service.backlog.size == 0

    asyncio.run(main())


def test_who_takes_nothing_is_cut_sooner_when_others_wait() -> None:
    async def main() -> None:
        async with supersoniq.connect("memory://") as broker:
            queue = broker.queue("q")
            app = create_app(broker, max_answers=200 * KIB, send_timeout=60)
            app.service.backlog.patience = 0.3
            await publish(queue, 2)
            stuck, other = Reader(app, asyncio.Event()), Reader(app)
            stuck.say(type="subscribe", id=1, queue="q", mode="work", credit=1)
            await settled(lambda: stuck.pending)
            await asyncio.sleep(0.3)
            assert not stuck.task.done()  # nobody minds
            other.say(type="subscribe", id=1, queue="q", mode="work", credit=2)
            assert len(await other.until("deliver", 2)) == 2
            await asyncio.wait_for(stuck.task, 10)
            assert (await queue.stats()).released >= 1
            await other.vanish()

    asyncio.run(main())


def test_what_was_sent_is_kept_by_nobody(tmp_path: Path) -> None:
    """Not by a connection that has yet to settle it, and not by the remains of one that is over."""

    async def main() -> None:
        async with supersoniq.connect(f"sqlite:///{tmp_path}/store.db") as broker:
            queue = broker.queue("q")
            app = create_app(broker)
            await publish(queue, 4)
            for living in (True, False):
                gc.collect()
                before = tracemalloc.get_traced_memory()[0]
                for _ in range(3):
                    reader = Reader(app)
                    reader.say(type="subscribe", id=1, queue="q", mode="work", credit=4)
                    receipts = [each["receipt"] for each in await reader.until("deliver", 4)]
                    reader.heard.clear()
                    if living:
                        settlements = [{"receipt": each, "outcome": "release"} for each in receipts]
                        await asyncio.sleep(0.01)
                        held = tracemalloc.get_traced_memory()[0] - before
                        assert held < 2 * len(LARGE), f"{held} bytes are kept"
                        reader.say(type="unsubscribe", id=2, subscription=1)
                        reader.say(type="settle", id=3, queue="q", settlements=settlements)
                        await settled(lambda r=reader: any(f.get("id") == 3 for f in r.heard))
                        assert all(each["ok"] for each in reader.heard[-1]["verdicts"])
                    await reader.vanish()
                    await settled_leases(queue)
                kept = tracemalloc.get_traced_memory()[0] - before
                assert kept < 2 * len(LARGE), f"{kept} bytes are left"

    async def settled_leases(queue: Queue) -> None:
        async with asyncio.timeout(10):
            while (await queue.stats()).leased:  # noqa: ASYNC110
                await asyncio.sleep(0.002)

    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        asyncio.run(main())
    finally:
        tracemalloc.stop()
        gc.enable()
