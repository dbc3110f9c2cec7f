"""What waits for WebSockets that nobody reads is bounded for all of them together."""

from __future__ import annotations

import asyncio
from typing import Any

from supersoniq.adapters.http.answers import SMALL
from supersoniq.adapters.http.backlog import Backlog
from supersoniq.adapters.http.deadlines import Deadlines
from supersoniq.adapters.ws.outbox import Outbox

MIB = 1024 * 1024
FRAME = bytes(SMALL)


def nobody() -> None:
    raise AssertionError("nobody is to be cut")


def test_many_have_less_each_and_get_it_all_once_they_read() -> None:
    async def main() -> None:
        go, sent = asyncio.Event(), 0

        async def send(message: Any) -> None:
            nonlocal sent
            await go.wait()
            sent += len(message["bytes"])

        backlog = Backlog(4 * MIB, 10)
        boxes = [Outbox(send, False, 2 * MIB, Deadlines(60), backlog, nobody) for _ in range(30)]

        async def fill(box: Outbox) -> None:
            for _ in range(40):
                await box.room()
                box.put(FRAME)

        writers = [asyncio.ensure_future(box.run()) for box in boxes]
        makers = [asyncio.ensure_future(fill(box)) for box in boxes]
        for _ in range(100):
            await asyncio.sleep(0)
        assert 2 * MIB <= backlog.size <= 4 * MIB + 30 * SMALL
        assert all(box.full for box in boxes)
        go.set()
        await asyncio.wait_for(asyncio.gather(*makers), 20)
        await asyncio.gather(*(box.flushed() for box in boxes))
        assert sent == 30 * 40 * SMALL
        assert backlog.size == 0
        for writer in writers:
            writer.cancel()
        await asyncio.wait(writers)

    asyncio.run(main())


def test_one_that_ends_gives_back_what_waited() -> None:
    async def main() -> None:
        async def send(_message: Any) -> None:
            await asyncio.Event().wait()

        backlog = Backlog(4 * MIB, 10)
        for begun in (False, True):
            box = Outbox(send, True, 2 * MIB, Deadlines(60), backlog, nobody)
            box.put(b"x" * 100)
            writer = asyncio.ensure_future(box.run())
            if begun:
                await asyncio.sleep(0)
            writer.cancel()
            await asyncio.wait((writer,))
            box.close()
            box.put(b"too late")
            assert backlog.size == 0

    asyncio.run(main())
