"""Keeping a WebSocket open beyond the token that it was opened with: ``renew`` in good time.

If that fails, it is tried again for as long as the connection lasts, which is until its token ends.
The server then closes it, what was leased over it is released, and the next call opens another with
whatever token there is by then.
"""

from __future__ import annotations

import asyncio
import logging

from supersoniq.backends.remote.bearer import SHORTEST, Bearer, Token
from supersoniq.backends.remote.socket import Socket
from supersoniq.core.errors import SupersoniqError, error_from_data

__all__ = ["Renewal"]

LONGEST = 16.0
"""Seconds between two tries at the most: at first it is ``SHORTEST``, and each time twice that."""
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
        self._tries = 0
        """In vain, since the last token was taken."""
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
        if self._tries:
            log.warning("a WebSocket has ended; its token was not renewed in %d tries", self._tries)

    async def _run(self) -> None:
        token = self._socket.token
        while token is not None and token.due is not None:
            await asyncio.sleep(max(token.due - self._loop.time(), 0))
            try:
                newer = await self._bearer.token()
                if newer is None or newer is token:
                    continue  # it could not be had, and is due again
                if newer.value != token.value:
                    await self._show(newer)
                token, self._tries = newer, 0
            except SupersoniqError as error:
                log.warning("a WebSocket's token cannot be renewed: %s", error)
                await asyncio.sleep(min(SHORTEST * 2**self._tries, LONGEST))
                self._tries += 1

    async def _show(self, token: Token) -> None:
        """Have the server take it.

        Raises:
            SupersoniqError: it does not.
        """
        heard = await self._socket.ask("renew", self._timeout, token=token.value)
        if heard.type != "ok":
            problem = heard.problem
            self._bearer.refused(token)
            raise error_from_data(problem.code, problem.data, problem.detail)
