"""TLS connections from the first byte of their handshake on.

asyncio's own servers tell of a connection once its handshake is done. Until then it costs as much
as one that is used: an open file, and some 40 KiB for TLS. Nobody would count it, and whoever opens
connections without a word could have as many as the system has files. So here they are accepted one
by one, and counted from then on. For whom there is no room is cut: before there is TLS, there is
nothing that could be said to it.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable

from supersoniq.servers.closing import reset
from supersoniq.servers.told import REFUSED

__all__ = ["TlsDoor"]

log = logging.getLogger("supersoniq.servers")

AT_ONCE = 100
"""Connections accepted in one turn of the loop."""
PAUSE = 1.0
"""Seconds without accepting anybody, when the system has no more files or memory."""
SCARCE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class TlsDoor:
    """A listening socket behind which TLS is spoken.

    Args:
        listener: bound; it is not closed here.
        factory: makes the protocol of one connection, told of it when the handshake is done.
        context: TLS's.
        timeout: seconds for a handshake.
        backlog: connections that the system keeps until they are accepted.
        has_room: told how many handshakes are under way, says whether one more may begin.
    """

    def __init__(
        self,
        listener: socket.socket,
        factory: Callable[[], asyncio.BaseProtocol],
        context: ssl.SSLContext,
        *,
        timeout: float,
        backlog: int,
        has_room: Callable[[int], bool],
    ) -> None:
        self._listener = listener
        self._factory = factory
        self._context = context
        self._timeout = timeout
        self._has_room = has_room
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._open = True
        self._new: set[socket.socket] = set()
        """Accepted in this turn of the loop: nobody else would close them."""
        self.handshakes: set[asyncio.Task[None]] = set()
        """Those under way."""
        listener.setblocking(False)
        listener.listen(backlog)
        self._loop.add_reader(listener, self._accept)

    def close(self) -> None:
        """Accept nobody any more, and cut those who have not said what they want."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._listener)
            if self._pause is not None:
                self._pause.cancel()
        for handshake in self.handshakes:
            handshake.cancel()
        while self._new:
            self._new.pop().close()

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                sock, _address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in SCARCE:
                    raise
                log.warning(
                    "no connection can be accepted for %g s: %s", PAUSE, error, extra=REFUSED
                )
                self._loop.remove_reader(self._listener)
                self._pause = self._loop.call_later(PAUSE, self._again)
                return
            if not self._has_room(len(self.handshakes)):
                reset(sock)
                continue
            sock.setblocking(False)
            self._new.add(sock)
            handshake = self._loop.create_task(self._shake_hands(sock))
            self.handshakes.add(handshake)
            handshake.add_done_callback(self.handshakes.discard)

    def _again(self) -> None:
        self._pause = None
        self._loop.add_reader(self._listener, self._accept)

    async def _shake_hands(self, sock: socket.socket) -> None:
        self._new.discard(sock)
        try:
            await self._loop.connect_accepted_socket(
                self._factory, sock, ssl=self._context, ssl_handshake_timeout=self._timeout
            )
        except OSError as error:  # TLS's own errors, and a handshake that takes too long
            log.debug("a TLS handshake came to nothing: %s", error)
