"""A WebSocket connection on which many requests are under way at the same time.

``websockets`` brings the protocol without I/O (RFC 6455), asyncio the bytes and TLS. Its client for
asyncio is not used: whether a frame was handed to the network when a send fails cannot be seen from
outside, and that is the one thing that must be known here.

**Cancellation.** A caller that gives up has its connection closed: what the server leases for an
answer that nobody reads would otherwise stay with this connection. The store above never does so.

**A server that stops** says goodbye, and of how many requests it has read it owes the answer. If it
owes none, all that was under way was certainly not done.

**A dead peer** is found by silence. If nothing has come for a while it is pinged; if then still
nothing comes, the connection is over, and all that was under way is of unknown outcome.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

import msgspec
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidMessage, InvalidStatus, WebSocketException
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI

from supersoniq.backends.remote.bearer import Token
from supersoniq.backends.remote.failures import Problem
from supersoniq.backends.remote.line import words
from supersoniq.core.errors import BackendUnavailable, OutcomeUnknown, SupersoniqError
from supersoniq.wire.answers import Answer

__all__ = ["Heard", "Refusal", "Socket"]

SUBPROTOCOL = Subprotocol("supersoniq.v1.msgpack")
LARGEST = (1 << 30) + (1 << 20)
"""Bytes of a message: one lease of the largest content that there can be."""
SILENCE = 10.0
"""Seconds without a word after which the server is pinged, and again after which it is gone."""
LINGER = 1.0
"""Seconds for the last words to leave."""

# Its loggers would tell of every connection that is lost, which is told here in other ways.
_log = logging.getLogger("supersoniq.websockets")
_log.setLevel(logging.CRITICAL)


class Heard(msgspec.Struct):
    """Any frame of the server. What is not known here is passed over."""

    type: str
    id: int | str | None = None
    at: int = 0
    results: list[Answer] | None = None
    subscription: int | None = None
    queues: list[str] = []
    problem: Problem = Problem()
    server: str = ""
    version: str = ""
    durability: str = ""
    limits: dict[str, Any] = {}
    code: int = 0
    unanswered: int = -1
    detail: str = ""


Follow = Callable[[Heard], None]
_heard = msgspec.msgpack.Decoder(Heard)
_pack = msgspec.msgpack.Encoder().encode


class Refusal(Exception):
    """The server, or somebody before it, answers the handshake, but not with a WebSocket.

    Args:
        status: of the answer; 101 if it looked like one at first.
        problem: in words.
        body: of the answer.
    """

    def __init__(self, status: int, problem: str, body: bytes = b"") -> None:
        super().__init__(problem)
        self.status = status
        self.body = body


class Socket(asyncio.Protocol):
    """One connection.

    Args:
        uri: of the door.
        token: with which to ask for it to be opened.
    """

    def __init__(self, uri: WebSocketURI, token: Token | None = None) -> None:
        self.token = token
        self._loop = asyncio.get_running_loop()
        self._protocol = ClientProtocol(
            uri, subprotocols=[SUBPROTOCOL], max_size=LARGEST, logger=_log
        )
        self._transport: asyncio.Transport | None = None
        self.welcome: asyncio.Future[Heard] = self._loop.create_future()
        """The server's first frame. Raises ``Refusal``, or ``BackendUnavailable``."""
        self.subscriptions: dict[int, Follow] = {}
        """Who is told of frames that come by themselves."""
        self._waiting: dict[int, tuple[asyncio.Future[Heard], Follow | None]] = {}
        self._numbers = 0
        self._parts: list[bytes] = []
        self._lost: SupersoniqError | None = None
        self._bye: Heard | None = None
        self._over: set[Callable[[], None]] = set()
        self._roomy = asyncio.Event()
        self._roomy.set()
        self._heard_at = self._loop.time()
        self._pinged = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def usable(self) -> bool:
        """Whether another request can be sent."""
        return self._lost is None and self._bye is None and self._protocol.state is State.OPEN

    async def ask(
        self, kind: str, timeout: float, follow: Follow | None = None, **fields: Any
    ) -> Heard:
        """Send a request and wait for its answer.

        Args:
            kind: its type.
            timeout: seconds to wait.
            follow: is given the frames of the subscription that the answer names.
            fields: what else is in it.

        Raises:
            BackendUnavailable: nothing was sent.
            OutcomeUnknown: no answer came.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._roomy.wait()
        except TimeoutError:
            self.close("it takes nothing more")
            raise BackendUnavailable(f"the server reads nothing for {timeout:g} s") from None
        if not self.usable:
            raise BackendUnavailable("the connection is closed")
        answer: asyncio.Future[Heard] = self._loop.create_future()
        number = self.tell(kind, **fields)
        self._waiting[number] = answer, follow
        try:
            async with asyncio.timeout(timeout):
                return await answer
        except TimeoutError:
            self.close("a request was not answered")
            raise OutcomeUnknown(f"no answer within {timeout:g} s") from None
        except asyncio.CancelledError:
            self.close("a caller gave up")
            raise
        finally:
            self._waiting.pop(number, None)

    def tell(self, kind: str, **fields: Any) -> int:
        """Send a request, on a usable connection, and wait for nothing. Gives its number."""
        self._numbers += 1
        self._protocol.send_binary(_pack({"type": kind, "id": self._numbers, **fields}))
        self._flush()
        return self._numbers

    def on_loss(self, callback: Callable[[], None]) -> None:
        """Have a function called when the connection is lost."""
        self._over.add(callback)
        if self._lost is not None:
            callback()

    def off_loss(self, callback: Callable[[], None]) -> None:
        """Do not, then."""
        self._over.discard(callback)

    @property
    def loss(self) -> SupersoniqError | None:
        """Why it is lost, if it is."""
        return self._lost

    def close(self, reason: str = "closed here") -> None:
        """End it at once. The server gets to know, and gives back what was leased."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(1000)
            self._flush()
        self._fail(ConnectionError(reason), linger=True)

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It stands: say what it is for."""
        transport = cast(asyncio.Transport, transport)  # uvloop has its own
        self._transport = transport
        request = self._protocol.connect()
        if self.token is not None:
            request.headers["Authorization"] = f"Bearer {self.token.value}"
        self._protocol.send_request(request)
        self._flush()
        self._timer = self._loop.call_later(SILENCE, self._tick)

    def data_received(self, data: bytes) -> None:
        """Something came."""
        self._heard_at, self._pinged = self._loop.time(), False
        self._protocol.receive_data(data)
        self._flush()
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._frame(event)
        if self._protocol.handshake_exc is not None:
            self._fail(self._protocol.handshake_exc)
        elif self._protocol.parser_exc is not None:
            self._fail(self._protocol.parser_exc)

    def eof_received(self) -> None:
        """The server sends nothing more."""
        self._protocol.receive_eof()
        if self._protocol.handshake_exc is not None:
            self._fail(self._protocol.handshake_exc)

    def connection_lost(self, error: Exception | None) -> None:
        """It has ended."""
        self._fail(error or ConnectionError("the server closed the connection"))

    def pause_writing(self) -> None:
        """The server does not read as fast as it is told."""
        self._roomy.clear()

    def resume_writing(self) -> None:
        """It does again."""
        self._roomy.set()

    # What comes of that.

    def _flush(self) -> None:
        assert self._transport is not None
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            elif self._transport.can_write_eof():
                self._transport.write_eof()
            else:
                self._transport.close()

    def _frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            told = self._protocol.close_rcvd
            self._fail(ConnectionError(f"the server closed the connection: {told}"), linger=True)
        elif frame.opcode in (Opcode.BINARY, Opcode.TEXT, Opcode.CONT):
            self._parts.append(bytes(frame.data))
            if frame.fin:
                raw = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
                self._parts.clear()
                self._message(raw)

    def _message(self, raw: bytes) -> None:
        try:
            heard = _heard.decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            self._fail(error)
            return
        if heard.type == "welcome":
            if not self.welcome.done():
                self.welcome.set_result(heard)
        elif heard.type == "bye":
            self._bye = heard
        elif heard.id is not None:
            answer, follow = self._waiting.get(heard.id, (None, None))  # type: ignore[arg-type]
            if heard.subscription is not None and follow is not None:
                self.subscriptions[heard.subscription] = (
                    follow  # its first frame may be here already
                )
            if answer is not None and not answer.done():
                answer.set_result(heard)
        elif heard.subscription is not None:
            tell = self.subscriptions.get(heard.subscription)
            if tell is not None:
                tell(heard)

    def _tick(self) -> None:
        """See whether anybody is still there."""
        silent = self._loop.time() - self._heard_at
        if silent < SILENCE:
            self._timer = self._loop.call_later(SILENCE - silent, self._tick)
        elif self._pinged:
            self._fail(ConnectionError(f"not a word for {silent:.0f} s"))
        else:
            self._pinged = True
            if self._protocol.state is State.OPEN:
                self._protocol.send_ping(b"")
                self._flush()
            self._timer = self._loop.call_later(SILENCE, self._tick)

    def _fail(self, error: BaseException, *, linger: bool = False) -> None:
        """It is over. Only the first time counts."""
        assert self._transport is not None
        if linger:
            self._transport.close()  # what was written shall arrive, but not be waited for long
            self._loop.call_later(LINGER, self._transport.abort)
        else:
            self._transport.abort()
        if self._lost is not None:
            return
        if self._timer is not None:
            self._timer.cancel()
        unread = self._bye is not None and self._bye.unanswered == 0
        told = self._bye.detail if self._bye is not None and self._bye.detail else words(error)
        self._lost = BackendUnavailable(told) if unread else OutcomeUnknown(told)
        self._roomy.set()
        if not self.welcome.done():
            self.welcome.set_exception(_refused(error))
            self.welcome.exception()  # whoever dialled may have gone
        for answer, _ in self._waiting.values():
            if not answer.done():
                answer.set_exception(type(self._lost)(told))
        for callback in list(self._over):
            callback()


def _refused(error: BaseException) -> Exception:
    """What a handshake that came to nothing means."""
    if isinstance(error, InvalidStatus):
        status = error.response.status_code
        body = bytes(error.response.body or b"")
        return Refusal(status, f"the handshake is answered with {status}", body)
    if isinstance(error, WebSocketException) and not isinstance(error, InvalidMessage):
        return Refusal(101, f"the handshake is answered with no WebSocket: {error}")
    return BackendUnavailable(f"no WebSocket: {words(error)}")
