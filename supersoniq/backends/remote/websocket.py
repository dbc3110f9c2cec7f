"""Over a WebSocket: batches and stirs share one connection. ``docs/websocket.md`` has the frames.

The connection is made when it is needed, once for all who ask meanwhile, and again when it was
lost. What was leased over it is the connection's: when it ends, the server releases that.

**WebSocket for work, HTTP where there is none.** A batch that is too large for a frame is posted.
And if the handshake is answered, but with no WebSocket (by a proxy that knows none, a server that
has no such door), everything goes over HTTP to the same host from then on, until this is closed.
Whom the server does not let in (401), it would not let in over HTTP either: that is an error.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from websockets.uri import WebSocketURI

from supersoniq.backends.remote.address import place, seconds
from supersoniq.backends.remote.bearer import Bearer, Token, TokenSource
from supersoniq.backends.remote.dialing import dial_tcp
from supersoniq.backends.remote.failures import failure, problem_in
from supersoniq.backends.remote.http import HttpTransport
from supersoniq.backends.remote.line import words
from supersoniq.backends.remote.once import Once
from supersoniq.backends.remote.renewal import Renewal
from supersoniq.backends.remote.socket import Heard, Refusal, Socket
from supersoniq.backends.remote.transport import Greeting, Refused, Sizes, Transport
from supersoniq.core.errors import (
    AuthenticationFailed,
    BackendUnavailable,
    IncompatibleStore,
    InvalidSetting,
    OutcomeUnknown,
    SupersoniqError,
    error_from_data,
)
from supersoniq.core.messages import Durability
from supersoniq.wire.answers import Answers

__all__ = ["SocketTransport"]

log = logging.getLogger("supersoniq")

AROUND = 128
"""Bytes of a frame around the operations or queues in it."""
EACH = 5
"""Bytes around each of them."""
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses of a handshake that say nothing of whether there are WebSockets, but: not now."""


class Bounds(msgspec.Struct):
    """What ``welcome`` says of how much the server takes at once."""

    max_frame: int
    max_batch: int
    max_batch_body: int


class Welcome(msgspec.Struct):
    """The server's first frame, as far as it matters here."""

    server: str
    version: str
    durability: Durability
    limits: Bounds


class SocketTransport(Transport):
    """A SupersoniQ server's app, wherever it is mounted.

    Args:
        url: of the app's front page, as ``wss://host/prefix``.
        connect_timeout: seconds to reach the server, its welcome included.
        timeout: seconds to wait for its answer to a batch, from when it was sent.
        ca: a file of certificates to trust, instead of the system's, for a server's own.
        token: what to call with: a token, or a function, async or not, that gives one, and is asked
            again before it expires; the connection then goes on with the new one.
        clear_text: whether the token may be sent without TLS to another machine.

    Raises:
        InvalidSetting: one of them cannot be.
    """

    def __init__(
        self,
        url: str,
        *,
        connect_timeout: float = 5.0,
        timeout: float = 30.0,
        ca: str | os.PathLike[str] | None = None,
        token: TokenSource | None = None,
        clear_text: bool = False,
        **unknown: Any,
    ) -> None:
        for name, value in unknown.items():
            known = "patience, connect_timeout, timeout, ca, token, clear_text"
            raise InvalidSetting(name, value, f"no such option; ws has: {known}")
        self.url = url
        there = place(url, {"ws": False, "wss": True}, ca, ["http/1.1"])
        self._address = there.address
        host, port, trust = there.address
        self._uri = WebSocketURI(trust is not None, host, port, f"{there.prefix}/ws", "")
        self._connect_timeout = seconds("connect_timeout", connect_timeout)
        self._timeout = seconds("timeout", timeout)
        self._bearer = Bearer(token, there, clear_text=clear_text)
        self._http = HttpTransport(
            "http" + url[2:],
            connect_timeout=connect_timeout,
            timeout=timeout,
            ca=ca,
            token=self._bearer,
        )
        self._http_open: asyncio.Task[Greeting] | None = None
        self._sockets: Once[Socket] | None = None
        self._max_frame = 0

    async def open(self) -> Greeting:
        """Reach the server and see who it is."""
        self._sockets, self.leases_stay = Once(self._dial), False
        try:
            try:
                socket = await self._once().get()
            except Refusal as refusal:
                return await self._fall_back(refusal)
        except BaseException:
            await self.close()
            raise
        welcome = _welcome(self.url, socket.welcome.result())
        sizes = Sizes(welcome.limits.max_batch_body, welcome.limits.max_batch)
        return Greeting(welcome.server, welcome.version, welcome.durability, sizes)

    async def close(self) -> None:
        """Say goodbye."""
        if self._sockets is not None:
            self._sockets.close()
        if self._http_open is not None:
            self._http_open.cancel()
        self._sockets, self._http_open = None, None
        await self._http.close()

    async def send(self, operations: Sequence[bytes]) -> Answers:
        """Send a batch in a frame."""
        socket = await self._way()
        size = AROUND + sum(map(len, operations)) + EACH * len(operations)
        if socket is None or size > self._max_frame:
            await self._posting()
            return await self._http.send(operations)
        raw = [msgspec.Raw(each) for each in operations]
        heard = await socket.ask("operations", self._timeout, operations=raw)
        if heard.type == "ok" and heard.results is not None:
            return Answers(heard.at, heard.results)
        raise _failure(heard, size)

    @asynccontextmanager
    async def stirs(self, queues: Collection[str]) -> AsyncIterator[AsyncIterator[Collection[str]]]:
        """Have the server tell of them, between its answers."""
        socket = await self._way()
        size = AROUND + sum(map(len, queues)) + EACH * len(queues)
        if socket is None or size > self._max_frame:
            await self._posting()
            async with self._http.stirs(queues) as stream:
                yield stream
            return
        ear = _Ear()
        socket.on_loss(ear.wake)
        heard = await socket.ask("listen", self._timeout, follow=ear.hear, queues=sorted(queues))
        if heard.type != "ok" or heard.subscription is None:
            raise _failure(heard, size)
        try:
            yield ear.told(socket)
        finally:
            socket.subscriptions.pop(heard.subscription, None)
            socket.off_loss(ear.wake)
            if socket.usable:
                socket.tell("unsubscribe", subscription=heard.subscription)

    # Getting there.

    async def _way(self) -> Socket | None:
        """The connection; ``None``: it has to be HTTP."""
        if self.leases_stay:
            return None
        try:
            return await self._once().get()
        except Refusal as refusal:
            await self._posting()
            await self._fall_back(refusal)
            return None
        except BackendUnavailable:
            raise
        except SupersoniqError as error:
            raise Refused(error) from error

    def _once(self) -> Once[Socket]:
        if self._sockets is None:
            raise BackendUnavailable("the connection is closed")
        return self._sockets

    async def _dial(self) -> Socket:
        token = await self._bearer.token()
        try:
            socket = await self._dial_with(token)
        except Refusal as refusal:
            if refusal.status != 401:
                raise
            if not self._bearer.refused(token):
                raise _unknown_caller(refusal) from None
            token = await self._bearer.token()
            try:
                socket = await self._dial_with(token)
            except Refusal as again:
                if again.status != 401:
                    raise
                raise _unknown_caller(again) from None
        Renewal(self._bearer, socket, self._timeout).begin()
        return socket

    async def _dial_with(self, token: Token | None) -> Socket:
        host, port, _ = self._address
        socket = None
        try:
            async with asyncio.timeout(self._connect_timeout):
                _, socket = await dial_tcp(lambda: Socket(self._uri, token), self._address)
                welcome = await socket.welcome
            self._max_frame = _welcome(self.url, welcome).limits.max_frame
        except BaseException as error:
            if socket is not None:
                socket.close()
            if isinstance(error, TimeoutError):
                problem = f"no WebSocket to {host}:{port} within {self._connect_timeout:g} s"
                raise BackendUnavailable(problem) from None
            if isinstance(error, OSError) and not isinstance(error, SupersoniqError):
                problem = f"no connection to {host}:{port}: {words(error)}"
                raise BackendUnavailable(problem) from error
            if isinstance(error, Refusal) and error.status in PASSING:
                why = problem_in(error.body).detail
                raise BackendUnavailable(f"{error}: {why}" if why else str(error)) from error
            raise
        return socket

    async def _fall_back(self, refusal: Refusal) -> Greeting:
        """Go on over HTTP, if that is spoken there."""
        greeting = await self._http_opened()
        if not self.leases_stay:
            self.leases_stay = True
            log.warning("no WebSocket at %s: %s; going on over HTTP", self.url, refusal)
        return greeting

    async def _posting(self) -> None:
        """Have HTTP ready for a batch or a stream.

        Raises:
            BackendUnavailable: the server cannot be reached so.
            Refused: it can, but will not have it.
        """
        try:
            await self._http_opened()
        except BackendUnavailable:
            raise
        except SupersoniqError as error:
            raise Refused(error) from error

    async def _http_opened(self) -> Greeting:
        """Have HTTP ready too."""
        if self._http_open is None:
            self._http_open = asyncio.get_running_loop().create_task(self._http.open())
        task = self._http_open
        try:
            return await asyncio.shield(task)
        except SupersoniqError:
            if self._http_open is task:
                self._http_open = None
            raise


class _Ear:
    """The queues that stirred since this was last asked: never more than are listened to."""

    def __init__(self) -> None:
        self._stirred: set[str] = set()
        self._ended = False
        self._something = asyncio.Event()

    def hear(self, heard: Heard) -> None:
        """A frame of the subscription came."""
        self._stirred.update(heard.queues)
        self._ended |= heard.type == "error"
        self._something.set()

    def wake(self) -> None:
        """The connection is lost."""
        self._something.set()

    async def told(self, socket: Socket) -> AsyncIterator[Collection[str]]:
        """What is heard, as it is; at first nothing, which says that it is listened."""
        yield set()
        while not self._ended:
            await self._something.wait()
            self._something.clear()
            if self._stirred:
                stirred, self._stirred = self._stirred, set()
                yield stirred
            elif socket.loss is not None:
                raise OutcomeUnknown(str(socket.loss))


def _unknown_caller(refusal: Refusal) -> AuthenticationFailed:
    """Why the server opens no connection. HTTP is no way around that."""
    problem = problem_in(refusal.body)
    error = error_from_data(problem.code, problem.data, problem.detail)
    if isinstance(error, AuthenticationFailed):
        return error
    return AuthenticationFailed("the server answers 401 Unauthorized")


def _failure(heard: Heard, size: int) -> Exception:
    """What an answer means that is none."""
    if heard.type != "error":
        return OutcomeUnknown(f"the answer cannot be understood: {heard.type!r}")
    return failure(heard.problem.status or 500, heard.problem, size)


def _welcome(url: str, heard: Heard) -> Welcome:
    """Who is there.

    Raises:
        IncompatibleStore: somebody else.
    """
    try:
        welcome = msgspec.convert(msgspec.to_builtins(heard), Welcome)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        welcome = None
    if welcome is None or welcome.server != "supersoniq":
        raise IncompatibleStore(f"there is no SupersoniQ server of this version at {url}")
    return welcome
