"""One stream of a connection that carries many, as ASGI needs it: HTTP/2 and HTTP/3 share it.

Between an app and a peer that does not have to be friendly stand four promises.

**What arrives is bounded.** Received bytes wait in the stream's inbox, and the peer gets credit for
them (flow control) only when the app has taken them. So the inbox never holds more than one window,
whatever the app does. That window is the stream's own: a connection must not let its common
window depend on what one app has read, or one stream that nobody reads would stall all the others.

**What leaves is bounded.** ``write`` gives the carrier as much as it takes now and waits with the
rest, which stays where the app has put it: nothing is copied aside. The peer has to take a stride
(64 KiB, or what is left) within each ``send_timeout``. When it does not, the stream is reset.

**An end is told at once.** When the peer resets the stream, its connection is lost, or a deadline
has passed, everybody who waits in ``read`` or ``write`` is woken with ``StreamLost``.

**A fault stays here.** Nothing that an app or a peer does on one stream raises in a connection.
Carrier methods neither wait nor raise; methods of ``Stream`` that a connection calls neither.

A connection makes a ``Stream`` with a ``Carrier`` of its own, and then calls

- ``feed`` with what has arrived, ``feed_end`` when the peer has ended its side,
- ``writable`` when the carrier may take more than it took last,
- ``lose`` when the stream or the connection is over.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Sequence
from typing import Protocol

__all__ = ["Carrier", "Fields", "Reset", "Stream", "StreamLost"]

Fields = Sequence[tuple[bytes, bytes]]
"""A header block: names in lower case, pseudo fields first."""

PIECE = 65536
"""Bytes that one ``read`` gives at most."""

STRIDE = 65536
"""Bytes that a peer has to take within each send deadline."""


class Reset(enum.Enum):
    """Why a stream is cut off. Each protocol has its own numbers for these."""

    DONE = "the answer is complete, the rest of the request is not needed"
    CANCEL = "it is not wanted any more"
    REFUSED = "nothing was done; it can be tried again"
    MALFORMED = "the request is not HTTP"
    INTERNAL = "a bug in the app"
    SLOW = "the peer did not take its answer in time"


class StreamLost(OSError):
    """The stream is over: nothing more will arrive, and nothing more can be sent."""


class Carrier(Protocol):
    """What a connection does for one of its streams. Nothing here waits or raises."""

    def send_head(self, fields: Fields, end: bool) -> None:
        """Send a header block: an interim answer, the answer's head, or trailers."""

    def send_data(self, data: memoryview, end: bool) -> int:
        """Send as much as windows and output buffers allow now, and give the number of bytes.

        The end goes out with the last byte; without any bytes it needs no room, and goes out now.
        Having taken less than all, the carrier calls the stream's ``writable`` later.
        """

    def credit(self, size: int) -> None:
        """Let the peer send so many more bytes on this stream."""

    def send_reset(self, reason: Reset) -> None:
        """Cut the stream off, in both directions. Called once at most."""


class Stream:
    """One stream.

    Args:
        carrier: its connection's side.
        send_timeout: seconds within which the peer has to make room for the next stride.
        expected: bytes that the peer has announced; more or fewer of them break the stream.
    """

    __slots__ = (
        "_carrier",
        "_deaf",
        "_expected",
        "_inbox",
        "_readers",
        "_send_timeout",
        "_turn",
        "_writers",
        "_writing",
        "ended",
        "head_sent",
        "lost",
        "received_end",
    )

    def __init__(
        self, carrier: Carrier, *, send_timeout: float = 30.0, expected: int | None = None
    ) -> None:
        self.received_end = False
        """Whether the peer has ended its side; some of it may still be in the inbox."""
        self.head_sent = False
        """Whether a header block was sent, other than an interim one."""
        self.ended = False
        """Whether this side has ended: everything was sent."""
        self.lost: str | None = None
        """Why the stream is over in both directions, if it is."""
        self._carrier = carrier
        self._send_timeout = send_timeout
        self._expected = expected
        self._deaf = False
        self._inbox = bytearray()
        self._readers = _Bell()
        self._writers = _Bell()
        self._turn: asyncio.Lock | None = None
        self._writing = 0

    # For the connection.

    def feed(self, data: bytes) -> None:
        """Bytes have arrived. The peer's window bounds them."""
        if self.lost is not None:
            return
        if self._expected is not None:
            self._expected -= len(data)
            if self._expected < 0:
                self.reset(Reset.MALFORMED)
                return
        if self._deaf:
            self._carrier.credit(len(data))
            return
        self._inbox += data
        self._readers.ring()

    def feed_end(self) -> None:
        """The peer has ended its side."""
        if self._expected:
            self.reset(Reset.MALFORMED)
        self.received_end = True
        self._readers.ring()

    def writable(self) -> None:
        """The carrier may take more now."""
        self._writers.ring()

    def lose(self, why: str) -> None:
        """The stream is over: what it holds is dropped, and whoever waits is told."""
        if self.lost is None:
            self.lost = why
            self._inbox = bytearray()
            self._readers.ring()
            self._writers.ring()

    # For the app's side.

    @property
    def waiting(self) -> int:
        """Bytes in the inbox."""
        return len(self._inbox)

    async def read(self, limit: int = PIECE) -> bytes | None:
        """The next bytes, as soon as there are any; ``None`` after the last.

        Raises:
            StreamLost: it is over before its end.
        """
        while not self._inbox:
            if self.lost is not None:
                raise StreamLost(self.lost)
            if self.received_end or self._deaf:
                return None
            await self._readers.wait(None)
        if len(self._inbox) <= limit:
            piece = bytes(self._inbox)
            self._inbox.clear()
        else:
            piece = bytes(memoryview(self._inbox)[:limit])
            del self._inbox[:limit]
        if not self.received_end:
            self._carrier.credit(len(piece))
        return piece

    def hush(self) -> None:
        """Hear nothing more: ``read`` comes to the end now, and what still arrives is dropped."""
        self._deaf = True
        if not self.received_end and self.lost is None:
            self._carrier.credit(len(self._inbox))
        self._inbox = bytearray()
        self._readers.ring()

    async def wait_lost(self) -> None:
        """Until the stream is over in both directions."""
        while self.lost is None:
            await self._readers.wait(None)

    async def wait_over(self) -> None:
        """Until nothing more can be sent: all was, or the stream is lost."""
        while self.lost is None and not self.ended:
            await self._readers.wait(None)

    def send_head(self, fields: Fields, *, end: bool = False) -> None:
        """Send a header block, now: it needs no window.

        Raises:
            StreamLost: it is over.
        """
        self._check()
        self.head_sent = True
        self._carrier.send_head(fields, end)
        if end:
            self._end()

    def interim(self, fields: Fields) -> None:
        """Send the head of an interim answer, if there is still somebody to hear it."""
        if self.lost is None and not self.ended:
            self._carrier.send_head(fields, False)

    def offer(self, data: bytes, *, end: bool = False) -> bool:
        """Send a few bytes now or not at all, without waiting. Gives whether they were sent whole.

        Sent in part, the stream is reset.
        """
        if self.lost is not None or self.ended or self._writing:
            return False
        sent = self._send(memoryview(data), end)
        if 0 < sent < len(data):
            self.reset(Reset.INTERNAL)
        return sent == len(data)

    async def write(self, data: bytes | bytearray | memoryview, *, end: bool = False) -> None:
        """Send bytes, as the peer makes room for them. Several at once take turns.

        Cancelled halfway, the stream is reset: its peer would take what comes next for the rest.

        Raises:
            StreamLost: it is over, or the peer did not make room in time.
        """
        self._check()
        view = memoryview(data)
        sent = 0
        if not self._writing:
            sent = self._send(view, end)
            if sent == len(view):
                return
        if self._turn is None:
            self._turn = asyncio.Lock()
        self._writing += 1  # from here on nobody overtakes
        try:
            async with self._turn:
                await self._write_rest(view, sent, end)
        finally:
            self._writing -= 1

    async def _write_rest(self, view: memoryview, sent: int, end: bool) -> None:
        loop = asyncio.get_running_loop()
        deadline, goal = 0.0, sent
        try:
            while True:
                self._check()
                sent += self._send(view[sent:], end)
                if sent == len(view):
                    return
                now = loop.time()
                if sent >= goal:
                    deadline = now + self._send_timeout
                    goal = sent + min(STRIDE, len(view) - sent)
                elif now >= deadline:
                    self.reset(Reset.SLOW)
                    raise StreamLost(Reset.SLOW.value)
                await self._writers.wait(deadline - now)
        except asyncio.CancelledError:
            if sent:
                self.reset(Reset.INTERNAL)
            raise

    def reset(self, reason: Reset) -> None:
        """Cut it off. Whoever waits is told."""
        if self.lost is None:
            self._carrier.send_reset(reason)
            self.lose(reason.value)

    def _check(self) -> None:
        if self.lost is not None:
            raise StreamLost(self.lost)
        if self.ended:
            raise StreamLost("this side has ended already")

    def _send(self, view: memoryview, end: bool) -> int:
        sent = self._carrier.send_data(view, end)
        if end and sent == len(view):
            self._end()
        return sent

    def _end(self) -> None:
        self.ended = True
        self._readers.ring()


class _Bell:
    """Wakes all who wait. Each has a future of its own: one that is cancelled wakes nobody else."""

    __slots__ = ("_waiters",)

    def __init__(self) -> None:
        self._waiters: list[asyncio.Future[None]] = []

    def ring(self) -> None:
        if self._waiters:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    async def wait(self, timeout: float | None) -> None:
        """Until it rings, or so many seconds have passed."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiters.append(waiter)
        timer = None if timeout is None else loop.call_later(timeout, _wake, waiter)
        try:
            await waiter
        finally:
            if timer is not None:
                timer.cancel()
            if waiter in self._waiters:
                self._waiters.remove(waiter)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
