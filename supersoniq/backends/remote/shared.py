"""One connection for many requests: what HTTP/2 and HTTP/3 have in common.

A request is a stream of the connection. A caller that gives up has its stream reset and hinders
nobody else. If a request is not answered in time and nothing at all has come meanwhile, it is the
connection that is dead, and it is given up as a whole; so it is if it stays silent after a ping.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from supersoniq.backends.remote.line import AHEAD, LARGEST, Answer, Line, Request, words
from supersoniq.backends.remote.once import Once
from supersoniq.core.errors import BackendUnavailable, OutcomeUnknown, SupersoniqError

__all__ = ["Link", "Reply", "SharedLine", "fields"]

SILENCE = 10.0
"""Seconds without a word after which the server is pinged, and again after which it is gone."""
STALE = 0.05
"""Seconds of idleness after which the connection may have ended without our having looked."""
TURNS = 3
"""Of the event loop, until what the system knows of a connection is known here."""


class Reply:
    """The answer to a request, as it comes.

    Args:
        streaming: whether the body is looked at piece by piece if the status is 200.
        taken: is told how many bytes of such a body were looked at.
    """

    def __init__(self, streaming: bool, taken: Callable[[int], None]) -> None:
        self._streaming = streaming
        self._taken = taken
        self._answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._status = 0
        self._body: list[bytes] = []
        self._size = 0
        self._more = asyncio.Event()
        self._error: SupersoniqError | None = None
        self.over = False
        """Whether nothing more will come."""

    # What the connection calls.

    @property
    def held(self) -> bool:
        """Whether the body waits to be looked at."""
        return self._streaming and self._status == 200

    def head(self, status: int) -> None:
        """The head is there."""
        if status >= 200 and not self._status:  # others only say that the answer is to come
            self._status = status
            if self.held:
                self._give(Answer(status, b""))

    def data(self, data: bytes) -> None:
        """More of the body is there."""
        self._body.append(data)
        self._size += len(data)
        self._more.set()
        if self._size > LARGEST or (self.held and self._size > 16 * AHEAD):
            self.fail(OutcomeUnknown("the answer grows too large"))

    def end(self) -> None:
        """All of it is there."""
        if not self._status:
            self.fail(OutcomeUnknown("the answer has no status"))
            return
        self.over = True
        self._more.set()
        self._give(Answer(self._status, b"" if self.held else b"".join(self._body)))

    def fail(self, error: SupersoniqError) -> None:
        """Nothing more comes. Only the first time counts."""
        if self.over:
            return
        self.over, self._error = True, error
        self._more.set()
        if not self._answer.done():
            self._answer.set_exception(type(error)(**error.data))
            self._answer.exception()  # whoever asked may have gone

    def _give(self, answer: Answer) -> None:
        if not self._answer.done():
            self._answer.set_result(answer)

    # What the caller calls.

    async def answer(self) -> Answer:
        """The whole of it, or its head."""
        return await self._answer

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body, as it comes."""
        while True:
            self._more.clear()
            if self._body:
                piece, self._body, size, self._size = b"".join(self._body), [], self._size, 0
                self._taken(size)
                yield piece
            elif self._error is not None:
                raise OutcomeUnknown(str(self._error))
            elif self.over:
                return
            else:
                await self._more.wait()


class Link(ABC):
    """One connection."""

    def __init__(self) -> None:
        self._clock = asyncio.get_running_loop()
        self._heard = self._clock.time()
        self._pinged = False
        self._timer: asyncio.TimerHandle | None = None
        self._problem: str | None = None
        self._replies: dict[int, Reply] = {}
        self._leaving = False
        """Whether the server takes no more requests."""

    def standing(self) -> None:
        """It stands: see to it that the server does not fall silent. Before, patience ends."""
        self.heard()
        self._timer = self._clock.call_later(self._quiet, self._tick)

    @property
    def _quiet(self) -> float:
        """Seconds of silence after which the server is pinged."""
        return SILENCE

    @property
    def usable(self) -> bool:
        """Whether another request can be sent."""
        return self._problem is None and not self._leaving

    @property
    def silent(self) -> float:
        """Seconds since anything came."""
        return self._clock.time() - self._heard

    def begin(self, request: Request, streaming: bool) -> Reply:
        """Send a request.

        Raises:
            BackendUnavailable: it cannot be sent.
        """
        if not self.usable:
            raise BackendUnavailable(f"the connection is closed: {self._problem or 'it is ending'}")
        stream = self._number()
        reply = self._replies[stream] = Reply(streaming, lambda size: self._taken(stream, size))
        self._send(stream, request)
        return reply

    def cancel(self, reply: Reply) -> None:
        """Nobody waits for that answer any more."""
        reply.fail(OutcomeUnknown("the caller gave up"))
        stream = next((each for each, mine in self._replies.items() if mine is reply), None)
        if stream is not None:
            self._done(stream)
            if self._problem is None:
                self._reset(stream)

    def lose(self, problem: str) -> None:
        """It has ended. Only the first time counts."""
        if self._problem is not None:
            return
        self._problem = problem
        if self._timer is not None:
            self._timer.cancel()
        for reply in self._replies.values():
            reply.fail(OutcomeUnknown(problem))
        self._replies.clear()
        self._hang_up()

    def close(self) -> None:
        """End it, whatever is under way."""
        self.lose("closed here")

    def heard(self) -> None:
        """Something came."""
        self._heard, self._pinged = self._clock.time(), False

    def _done(self, stream: int) -> Reply | None:
        """That request is over."""
        reply = self._replies.pop(stream, None)
        if self._leaving and not self._replies and self._problem is None:
            self._clock.call_soon(self.lose, "the server is going away")
        return reply

    def _refused(self, stream: int, problem: str) -> None:
        """The server says that it did not look at a request."""
        reply = self._done(stream)
        if reply is not None:
            reply.fail(BackendUnavailable(problem))

    def _tick(self) -> None:
        silent, quiet = self.silent, self._quiet
        if silent < quiet:
            self._timer = self._clock.call_later(quiet - silent, self._tick)
        elif self._pinged:
            self.lose(f"not a word for {silent:.0f} s")
        else:
            self._pinged = True
            self._timer = self._clock.call_later(SILENCE, self._tick)
            self._ping()

    @abstractmethod
    def _number(self) -> int:
        """The number of a new stream."""

    @abstractmethod
    def _send(self, stream: int, request: Request) -> None:
        """Send a request on it."""

    @abstractmethod
    def _taken(self, stream: int, size: int) -> None:
        """So many bytes of a body were looked at."""

    @abstractmethod
    def _reset(self, stream: int) -> None:
        """Have the server stop."""

    @abstractmethod
    def _ping(self) -> None:
        """Have the server say something."""

    @abstractmethod
    def _hang_up(self) -> None:
        """Close the connection."""


class SharedLine(Line):
    """One connection to a server, and another when that is lost.

    Args:
        dial: makes one; raises ``OSError`` or ``BackendUnavailable``.
        where: the server's address in words.
        patience: seconds for a connection to stand.
        most: requests at the same time.
    """

    def __init__(
        self, dial: Callable[[], Awaitable[Link]], where: str, *, patience: float, most: int = 64
    ) -> None:
        self._dial = dial
        self._where = where
        self._patience = patience
        self._room = asyncio.Semaphore(most)
        self._once: Once[Link] = Once(self._dialled)

    async def request(self, request: Request, timeout: float) -> Answer:
        try:
            async with asyncio.timeout(self._patience):
                await self._room.acquire()
        except TimeoutError:
            raise BackendUnavailable("too many requests are under way") from None
        try:
            return (await self._asked(await self._link(), request, timeout, False))[0]
        finally:
            self._room.release()

    @asynccontextmanager
    async def stream(
        self, request: Request, timeout: float
    ) -> AsyncIterator[tuple[Answer, AsyncIterator[bytes]]]:
        link = await self._link()
        answer, reply = await self._asked(link, request, timeout, True)
        try:
            yield answer, reply.pieces()
        finally:
            link.cancel(reply)

    def close(self) -> None:
        self._once.close()

    async def _asked(
        self, link: Link, request: Request, timeout: float, streaming: bool
    ) -> tuple[Answer, Reply]:
        reply = link.begin(request, streaming)
        try:
            async with asyncio.timeout(timeout):
                return await reply.answer(), reply
        except TimeoutError:
            if link.silent >= timeout:
                link.close()
            raise OutcomeUnknown(f"no answer within {timeout:g} s") from None
        finally:
            if not streaming or not reply.held:
                link.cancel(reply)

    async def _link(self) -> Link:
        link = await self._once.get()
        if link.silent > STALE:
            for _ in range(TURNS):
                await asyncio.sleep(0)
            link = await self._once.get()
        return link

    async def _dialled(self) -> Link:
        try:
            async with asyncio.timeout(self._patience):
                return await self._dial()
        except TimeoutError:
            problem = f"no connection to {self._where} within {self._patience:g} s"
            raise BackendUnavailable(problem) from None
        except SupersoniqError:
            raise
        except OSError as error:  # refused, no such host, a certificate that is not trusted
            problem = f"no connection to {self._where}: {words(error)}"
            raise BackendUnavailable(problem) from error


def fields(request: Request, scheme: str, host: str) -> list[tuple[bytes, bytes]]:
    """The header fields of a request."""
    told = [
        (":method", request.method),
        (":scheme", scheme),
        (":authority", host),
        (":path", request.path),
        ("user-agent", "supersoniq"),
    ]
    if request.token is not None:
        # It may be indexed: nobody else's fields share this connection's table (RFC 7541, 7.1.3).
        told.append(("authorization", f"Bearer {request.token.value}"))
    if request.kind:
        told += [("content-type", request.kind), ("content-length", str(len(request.body)))]
    return [(name.encode(), value.encode()) for name, value in told]
