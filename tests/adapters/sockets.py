"""Real clients of a real server's WebSocket, for the tests of it."""

from __future__ import annotations

import asyncio
import json
import socket
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from supersoniq.adapters import create_app
from supersoniq.adapters.http.app import App
from supersoniq.adapters.http.native import Server
from supersoniq.api.broker import Broker

Frame = dict[str, Any]
PATIENCE = 20


class Client:
    """One connection. Frames that were not asked for yet wait in ``frames``."""

    def __init__(self, socket: ClientConnection, text: bool) -> None:
        self.socket = socket
        self.text = text
        self.frames: deque[Frame] = deque()
        self._id = 0

    async def send(self, **frame: Any) -> None:
        """Send a frame, whatever is in it."""
        raw: Any = json.dumps(frame) if self.text else msgspec.msgpack.encode(frame)
        await self.socket.send(raw)

    async def ask(self, type: str, **fields: Any) -> Frame:
        """Send a request and give its answer."""
        self._id += 1
        id = self._id
        await self.send(type=type, id=id, **fields)
        return await self.answer(id)

    async def done(self, type: str, **fields: Any) -> Frame:
        """Send a request that succeeds."""
        answer = await self.ask(type, **fields)
        assert answer["type"] == "ok", answer
        return answer

    async def refused(self, type: str, **fields: Any) -> Frame:
        """Send a request that does not; gives the problem."""
        answer = await self.ask(type, **fields)
        assert answer["type"] == "error", answer
        problem: Frame = answer["problem"]
        return problem

    async def answer(self, id: Any) -> Frame:
        """The answer to the request of that id."""
        return await self._find(lambda frame: frame.get("id") == id)

    async def next(self, *types: str) -> Frame:
        """The next frame of those types."""
        return await self._find(lambda frame: frame["type"] in types)

    async def hear(self) -> Frame:
        """The next frame from the network."""
        async with asyncio.timeout(PATIENCE):
            raw = await self.socket.recv()
        assert isinstance(raw, str) is self.text
        frame: Frame = json.loads(raw) if isinstance(raw, str) else msgspec.msgpack.decode(raw)
        return frame

    async def _find(self, wanted: Any) -> Frame:
        for frame in self.frames:
            if wanted(frame):
                self.frames.remove(frame)
                return frame
        while True:
            frame = await self.hear()
            if wanted(frame):
                return frame
            self.frames.append(frame)

    async def quiet(self, seconds: float = 0.1) -> bool:
        """Whether nothing comes for a while."""
        if self.frames:
            return False
        try:
            async with asyncio.timeout(seconds):
                raw = await self.socket.recv()
        except TimeoutError:
            return True
        raise AssertionError(f"it was not quiet: {raw!r}")

    async def closed(self) -> tuple[Frame | None, int]:
        """The ``bye``, if there is one, and the close code."""
        bye = None
        try:
            while True:
                frame = await self.hear()
                if frame["type"] == "bye":
                    bye = frame
        except ConnectionClosed as error:
            return bye, 1006 if error.rcvd is None else error.rcvd.code

    def content(self, message: Frame) -> Any:
        """A message's content: text, JSON value or bytes as they are in JSON; decoded here."""
        if self.text:
            return message["content"]
        raw = message["content"]
        return json.loads(raw) if message["content_type"] == "application/json" else raw.decode()

    async def take(self, count: int) -> list[Frame]:
        """So many messages, from as many ``deliver`` frames as it takes."""
        found: list[Frame] = []
        while len(found) < count:
            found += (await self.next("deliver"))["messages"]
        assert len(found) == count
        return found

    async def settle(self, messages: list[Frame], outcome: str = "ack", **more: Any) -> list[Frame]:
        """Settle messages; gives the verdicts."""
        queue = more.pop("queue", "default")
        settlements = [
            {"receipt": each["receipt"], "outcome": outcome, **more} for each in messages
        ]
        answer = await self.done("settle", queue=queue, settlements=settlements)
        verdicts: list[Frame] = answer["verdicts"]
        return verdicts

    def cut(self) -> None:
        """Vanish without a word."""
        self.socket.transport.abort()


class Prompt(Server):
    """A server that stops when it is asked to, and not within the next tenth of a second."""

    def __init__(self, app: App, *, grace: float) -> None:
        super().__init__(app, grace=grace)
        self._asked = asyncio.Event()

    def stop(self) -> None:
        super().stop()
        self._asked.set()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self._asked.wait()


@asynccontextmanager
async def served(broker: Broker, **options: Any) -> AsyncIterator[str]:
    """An app on a real server; gives the address of its WebSocket."""
    async with serving(broker, **options) as (address, _):
        yield address


@asynccontextmanager
async def serving(broker: Broker, **options: Any) -> AsyncIterator[tuple[str, Server]]:
    """The same, and the server."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server = Prompt(create_app(broker, **options), grace=3)
    started = asyncio.Event()
    server.on_started = started.set
    task = asyncio.ensure_future(server.serve([listener]))
    try:
        await started.wait()
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}/ws", server
    finally:
        server.stop()
        await asyncio.wait_for(task, 15)
        listener.close()


@asynccontextmanager
async def dial(address: str, protocol: str = "json", **options: Any) -> AsyncIterator[Client]:
    """A client that was welcomed."""
    names = [Subprotocol(f"supersoniq.v1.{protocol}")]
    async with connect(
        address, subprotocols=names, compression=None, close_timeout=1, **options
    ) as one:
        client = Client(one, protocol == "json")
        assert (await client.hear())["type"] == "welcome"
        yield client


async def until(holds: Any) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(PATIENCE):
        while not await holds():  # noqa: ASYNC110  # there is nothing to wait for
            await asyncio.sleep(0.01)
