"""Whether somebody who is kept waiting is still there."""

from __future__ import annotations

import asyncio

from supersoniq.adapters.asgi import Receive
from supersoniq.adapters.http.service import Service
from supersoniq.auth.tokens import Caller

__all__ = ["Presence"]


class Presence:
    """Until when somebody who waits shall be kept waiting.

    ``over`` is done when the client has left (``gone``), its token has expired, or the server wants
    to stop.
    """

    def __init__(self, service: Service, receive: Receive, caller: Caller | None) -> None:
        loop = asyncio.get_running_loop()
        self.gone = False
        self.over: asyncio.Future[None] = loop.create_future()
        self._forget = service.stay(self._end, caller)
        self._watcher = loop.create_task(self._watch(receive))

    def __enter__(self) -> Presence:
        return self

    def __exit__(self, *_error: object) -> None:
        self._forget()
        self._watcher.cancel()

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        self._end()

    def _end(self) -> None:
        if not self.over.done():
            self.over.set_result(None)
