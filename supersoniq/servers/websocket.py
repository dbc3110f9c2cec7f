"""A WebSocket on one stream (RFC 8441), between wsproto's frames and ASGI's messages.

Frames are read from the stream when the app asks for a message, not before: an app that does not
read makes its own client wait, and nobody else. Sending waits for the peer's window, so that a peer
that does not read makes the app wait, until the stream's deadline.

Of what has come, a bounded number of frames is worked on before all others have their turn, however
small the frames are. Pings and pongs, which make work and are of no use to an app, have a budget:
who sends more is shown out with 1008.

No extension is negotiated, so what arrives is as large as it says: with permessage-deflate, 151 KiB
would become 181 MiB. A message is counted while it arrives, each fragment as 64 bytes at least; and
with those of all other connections, in ``arriving``.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError

from supersoniq.servers.arriving import Arriving, HalfSent
from supersoniq.servers.budget import Budget
from supersoniq.servers.request import PATIENCE, App, Message, answer_fields
from supersoniq.servers.stream import Reset, Stream, StreamLost

__all__ = ["WebSocket"]

log = logging.getLogger("supersoniq.servers")

PIECE = 16384
"""Bytes that are taken from the stream at once: some 2,700 frames at most."""

TURN = 64
"""Frames that are worked on before others have their turn."""

PINGS, PINGS_RATE = 500, 50.0
"""Pings and pongs that a client may send at a stroke, and for how many more each second."""

FRAGMENT = 64
"""Bytes that a fragment counts for at least."""

PONGS = 16
"""Pings that may come together for each to be answered; of more, the last is: RFC 6455, 5.5.3."""

RESTART, LATER, NO_CODE, ABNORMAL = 1012, 1013, 1005, 1006
CROWDED = "too much of other messages is on its way, and this one has taken longest"


class WebSocket:
    """One WebSocket: what an app is given as ``receive`` and ``send``.

    Args:
        stream: carries it.
        scope: what the app is told.
        defaults: fields that every answer has.
        max_message: bytes that a message may have.
        arriving: what has come of all messages that are not whole.
        kept: bytes that much of one counts for besides.
    """

    __slots__ = (
        "_answer",
        "_defaults",
        "_frames",
        "_gone",
        "_half",
        "_ignored",
        "_messages",
        "_more",
        "_parts",
        "_pings",
        "_size",
        "_state",
        "max_message",
        "scope",
        "stream",
    )

    def __init__(
        self,
        stream: Stream,
        scope: Message,
        defaults: list[tuple[bytes, bytes]],
        max_message: int = 16 * 1024 * 1024,
        arriving: Arriving | None = None,
        kept: int = 0,
    ) -> None:
        self.stream = stream
        self.scope = scope
        self.max_message = max_message
        self._defaults = defaults
        self._frames = Connection(ConnectionType.SERVER)
        self._state = "new"  # connecting, open, denying, closed
        self._answer = 0
        self._messages: deque[Message] = deque()
        self._parts: list[str | bytes | bytearray] = []
        self._size = 0
        self._half = HalfSent(arriving or Arriving(), self._give_up, kept)
        self._gone: Message | None = None
        self._ignored = 0
        self._more = False
        self._pings = Budget(PINGS, PINGS_RATE)

    async def run(self, app: App) -> None:
        """Run the app. Nothing comes out of here but a cancellation."""
        name = f"WebSocket {self.scope['raw_path'][:200].decode('ascii')}"
        try:
            await app(self.scope, self.receive, self.send)
        except asyncio.CancelledError:
            self._farewell(RESTART)
            raise
        except StreamLost:
            pass
        except Exception as error:
            if self.stream.lost is not None or self._gone is not None:
                log.info("%s: %r, after its client had left", name, error)
            else:
                log.error("%s: the app failed", name, exc_info=error)
            self._farewell(1011)
        else:
            self._farewell(1000)
        finally:
            self._half.is_now(0)

    def shutdown(self) -> None:
        """The server stops: tell both sides."""
        if self._state == "open":
            self._farewell(RESTART)

    def _give_up(self) -> None:
        """Too much of other messages arrives, and what has come of this one is the oldest."""
        self._parts, self._size = [], 0
        if self._state == "open":
            self._gone = self._gone or _disconnect(LATER, CROWDED)
            self._farewell(LATER, CROWDED)

    def _farewell(self, code: int, reason: str = "") -> None:
        """Close it in whichever way is left, without waiting for anything."""
        stream = self.stream
        if stream.lost is None and not stream.ended:
            if self._state in ("new", "connecting"):
                status = b"503" if code == RESTART else b"500"
                stream.send_head([(b":status", status), *self._defaults], end=True)
            elif self._state != "open" or not stream.offer(self._close(code, reason), end=True):
                stream.reset(Reset.INTERNAL)
        self._state = "closed"
        if self._gone is None:
            self._gone = _disconnect(code, "")
        stream.hush()
        if stream.lost is None and not stream.received_end and stream.ended:
            stream.reset(Reset.DONE)

    # What arrives.

    async def receive(self) -> Message:
        """The next message; in the end, and from then on, that it is over."""
        if self._state == "new":
            self._state = "connecting"
            return {"type": "websocket.connect"}
        while not self._messages:
            if self._gone is not None:
                return self._gone
            if self._state == "open":
                await self._read()
                if self._more or self.stream.waiting or not self._messages:
                    await asyncio.sleep(0)  # what has come at once is not to be had at once
            else:
                await self.stream.wait_over()
                self._gone = _disconnect(ABNORMAL, "")
        return self._messages.popleft()

    async def _read(self) -> None:
        try:
            if not self._more:
                data = await self.stream.read(PIECE)
                if data is None:
                    self._gone = self._gone or _disconnect(NO_CODE, "")
                    await self._end(1000, "")
                    return
                self._frames.receive_data(data)
            await self._take()
        except StreamLost:
            self._gone = self._gone or _disconnect(ABNORMAL, "")
        self._half.is_now(self._size if self._gone is None else 0)

    async def _take(self) -> None:
        """Work on a turn's frames of those that were read."""
        pings: list[Ping] = []
        now = asyncio.get_running_loop().time()
        self._more = False
        for count, event in enumerate(self._frames.events(), 1):
            if isinstance(event, Ping | Pong) and not self._pings.take(now):
                await self._fail(CloseReason.POLICY_VIOLATION, "too many pings")
                return
            if isinstance(event, TextMessage | BytesMessage):
                data = event.data
                if isinstance(data, str) and (self._parts or not event.message_finished):
                    data = data.encode()  # it waits: as characters it may take four times as much
                self._size += max(len(data), FRAGMENT)
                if self._size > self.max_message:
                    self._parts = []
                    await self._fail(CloseReason.MESSAGE_TOO_BIG, "the message is too big")
                    return
                self._parts.append(data)
                if event.message_finished:
                    self._messages.append(self._whole(isinstance(event, TextMessage)))
            elif isinstance(event, Ping):
                pings.append(event)
            elif isinstance(event, CloseConnection):
                await self._closed(event)
                return
            if count == TURN:
                self._more = True  # or none; the next turn will see
                break
        if pings:
            if len(pings) > PONGS:
                del pings[:-1]
            await self.stream.write(b"".join(self._frames.send(each.response()) for each in pings))

    def _whole(self, text: bool) -> Message:
        parts, self._parts, self._size = self._parts, [], 0
        if isinstance(parts[0], str):  # a text that has come at once
            return {"type": "websocket.receive", "text": parts[0]}
        data = b"".join(part for part in parts if not isinstance(part, str))
        if text:
            return {"type": "websocket.receive", "text": data.decode()}
        return {"type": "websocket.receive", "bytes": data}

    async def _closed(self, event: CloseConnection) -> None:
        """The peer closes, or has broken the protocol, which wsproto tells in the same way."""
        code = int(event.code)
        self._gone = self._gone or _disconnect(code, event.reason or "")
        await self._end(1000 if code in (NO_CODE, ABNORMAL) else code, "")

    async def _fail(self, code: int, reason: str) -> None:
        self._gone = _disconnect(code, reason)
        await self._end(code, reason)

    # What leaves.

    async def send(self, message: Message) -> None:
        """Send a message, once there is room for it.

        Raises:
            RuntimeError: it is not what ASGI has at this place.
            StreamLost: there is nobody to take it.
        """
        kind = message["type"]
        if kind == "websocket.send" and self._state == "open":
            text = message.get("text")
            event = BytesMessage(bytes(message["bytes"])) if text is None else TextMessage(text)
            try:
                frame = self._frames.send(event)
            except LocalProtocolError as error:
                raise StreamLost("the WebSocket is closing") from error
            del message, text, event  # the frame may wait for long, and it is whole
            await self.stream.write(frame)
        elif self.stream.lost is not None or self._state == "closed":
            await self._ignore(kind)
        elif kind == "websocket.close" and self._state == "open":
            code, reason = message.get("code", 1000) or 1000, message.get("reason") or ""
            self._gone = self._gone or _disconnect(code, reason)
            await self._end(code, reason)
        elif self._state in ("new", "connecting"):
            self._reply(kind, message)
        elif kind == "websocket.http.response.body" and self._state == "denying":
            more = message.get("more_body", False)
            self._state = "denying" if more else "closed"
            await self.stream.write(message.get("body", b""), end=not more)
        else:
            raise RuntimeError(f"{kind!r} has no place here")

    def _reply(self, kind: str, message: Message) -> None:
        """Accept, or do not."""
        fields = list(message.get("headers", ()))
        if kind == "websocket.accept":
            if message.get("subprotocol"):
                fields.append((b"sec-websocket-protocol", message["subprotocol"].encode()))
            self._state = "open"
            self.stream.send_head(answer_fields(200, self._defaults, fields))
        elif kind == "websocket.close":
            self._state = "closed"
            self.stream.send_head(answer_fields(403, self._defaults, ()), end=True)
        elif kind == "websocket.http.response.start":
            self._state = "denying"
            self.stream.send_head(answer_fields(message["status"], self._defaults, fields))
        else:
            raise RuntimeError(f"{kind!r} has no place here")

    async def _ignore(self, kind: str) -> None:
        self._ignored += 1
        if kind == "websocket.send" or self._ignored > PATIENCE:
            raise StreamLost(self.stream.lost or "the WebSocket is closed")
        await asyncio.sleep(0)

    async def _end(self, code: int, reason: str) -> None:
        """Send the closing frame, once, and the end of the stream with it."""
        if self._state != "open" or self.stream.lost is not None or self.stream.ended:
            return
        self._state = "closed"
        frame = self._close(code, reason)
        self.stream.hush()
        try:
            await self.stream.write(frame, end=True)
        except StreamLost:
            pass

    def _close(self, code: int, reason: str) -> bytes:
        reason = reason.encode()[:120].decode(errors="ignore")
        try:
            return self._frames.send(CloseConnection(code, reason))
        except LocalProtocolError:  # it was closed on both sides before
            return b""


def _disconnect(code: int, reason: str) -> Message:
    return {"type": "websocket.disconnect", "code": code, "reason": reason}
