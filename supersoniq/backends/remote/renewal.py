"""Keeping a WebSocket open beyond the token that it was opened with: ``renew`` in good time.

If that fails, the connection goes on until its token ends. The server then closes it, what was
leased over it is released, and the next call opens another with whatever token there is by then.
"""

from __future__ import annotations

import asyncio
import logging

from supersoniq.backends.remote.bearer import SHORTEST, Bearer
from supersoniq.backends.remote.socket import Socket
from supersoniq.core.errors import SupersoniqError

__all__ = ["Renewal"]

log = logging.getLogger("supersoniq")


class Renewal:
    """Renews the token of one connection, for as long as that lasts.

    Args:
        bearer: where tokens come from.
        socket: the connection, which stands.
        timeout: seconds to wait for the server's answer.
    """

    def __init__(self, bearer: Bearer, socket: Socket, timeout: float) -> None:
        self._bearer, self._socket, self._timeout = bearer, socket, timeout
        self._task: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()

    def begin(self) -> None:
        """Do so, if there will be another token."""
        token = self._socket.token
        if token is not None and token.due is not None:
            self._task = self._loop.create_task(self._run())
            self._socket.on_loss(self._end)

    def _end(self) -> None:
        assert self._task is not None
        self._task.cancel()

    async def _run(self) -> None:
        token = self._socket.token
        while token is not None and token.due is not None:
            await asyncio.sleep(max(token.due - self._loop.time(), 0))
            try:
                newer = await self._bearer.token()
                if newer is None or newer is token:
                    continue  # it could not be had, and is due again
                if newer.value != token.value:
                    heard = await self._socket.ask("renew", self._timeout, token=newer.value)
                    if heard.type != "ok":
                        log.warning("a new token is not taken: %s", heard.problem.detail)
                token = newer
            except SupersoniqError as error:
                log.warning("a WebSocket's token cannot be renewed: %s", error)
                await asyncio.sleep(SHORTEST)
