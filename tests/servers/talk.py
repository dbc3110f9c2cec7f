"""Frames of the WebSocket protocol, both ways, however its bytes travel."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

from websockets.exceptions import ConnectionClosed
from wsproto import events as ws
from wsproto.connection import Connection, ConnectionType

__all__ = ["PATIENCE", "Frame", "Talk", "either"]

PATIENCE = 30
"""Seconds for anything that is waited for."""

Frame = dict[str, Any]


class Talk:
    """Frames of a WebSocket, both ways."""

    def __init__(self, send: Any, receive: Any) -> None:
        self._send, self._receive = send, receive
        self._id = 0
        self.heard: list[Frame] = []

    @classmethod
    def framed(cls, body: bytearray, news: asyncio.Event, over: asyncio.Event, put: Any) -> Talk:
        """One whose bytes are read by somebody else."""
        frames = Connection(ConnectionType.CLIENT)
        texts: list[str] = []
        part = ""

        async def send(text: str) -> None:
            put(frames.send(ws.TextMessage(text)))

        async def receive() -> str:
            nonlocal part
            while not texts:
                news.clear()
                if body:
                    frames.receive_data(bytes(body))
                    body.clear()
                    for event in frames.events():
                        if isinstance(event, ws.TextMessage):
                            part += event.data
                            if event.message_finished:
                                texts.append(part)
                                part = ""
                        elif isinstance(event, ws.CloseConnection):
                            texts.append("")
                elif over.is_set():
                    texts.append("")
                else:
                    await either(news, over)
            if not texts[0]:
                raise EOFError
            return texts.pop(0)

        return cls(send, receive)

    async def ask(self, type: str, **fields: Any) -> Frame:
        """Send a request and give its answer."""
        self._id += 1
        id = self._id
        await self._send(json.dumps({"type": type, "id": id, **fields}))
        while True:
            frame = await self.hear()
            if frame.get("id") == id:
                return frame

    async def next(self, type: str) -> Frame:
        """The next frame of that type."""
        while True:
            frame = await self.hear()
            if frame["type"] == type:
                return frame

    async def hear(self) -> Frame:
        async with asyncio.timeout(PATIENCE):
            frame: Frame = json.loads(await self._receive())
        self.heard.append(frame)
        return frame

    async def end(self) -> list[Frame]:
        """All frames that were heard from the first to the last."""
        with suppress(EOFError, ConnectionClosed):
            while True:
                await self.hear()
        return self.heard


async def either(first: asyncio.Event, second: asyncio.Event) -> None:
    """Wait for one of them."""
    tasks = [asyncio.ensure_future(each.wait()) for each in (first, second)]
    try:
        await asyncio.wait_for(asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED), PATIENCE)
    finally:
        for task in tasks:
            task.cancel()
