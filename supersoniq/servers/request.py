"""An ASGI app's one request on one stream, the same over HTTP/2 and HTTP/3.

Where ASGI leaves a choice:

- **An app that sends to a client who has left** is not told at first, as with uvicorn: ``receive``
  tells it. Should it go on and on, ``send`` raises ``StreamLost``, an ``OSError``.
- **An answer before the whole body has come** (413) is sent whole. When the app has returned as
  well, the rest of the body is declined, which is no error: RFC 9113, section 8.1.
- **A client that waits for ``100 Continue``** hears it when the app first asks for the body.
- **An app that gives up sending**, since its client does not take what it has, is no fault of its
  own: the stream is reset.
- **An app that fails** is logged, and answered for with 500 if it has not begun; else the stream is
  reset, so that nobody takes half an answer for a whole one.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from supersoniq.servers.head import HOP_BY_HOP, Head
from supersoniq.servers.stream import Reset, Stream, StreamLost

__all__ = ["App", "Message", "Request", "answer_fields", "plain"]

log = logging.getLogger("supersoniq.servers")

Message = MutableMapping[str, Any]
App = Callable[
    [Any, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[Any]
]
Push = Callable[[Message], None]

BODILESS = frozenset((204, 304))
PATIENCE = 100
"""Messages that an app may send to nobody before it is told the hard way."""

is_bad_value = re.compile(rb"[\x00\r\n]").search


class Request:
    """One request: what an app is given as ``receive`` and ``send``.

    Args:
        stream: carries it.
        head: its head.
        scope: what the app is told.
        defaults: fields that every answer has.
        push: makes a pushed response of an ``http.response.push`` message, where that can be.
    """

    __slots__ = (
        "_body_read",
        "_defaults",
        "_ends_at_head",
        "_gave_up",
        "_head",
        "_ignored",
        "_left",
        "_push",
        "_trailers",
        "_waits",
        "complete",
        "scope",
        "started",
        "status",
        "stream",
    )

    def __init__(
        self,
        stream: Stream,
        head: Head,
        scope: Message,
        defaults: list[tuple[bytes, bytes]],
        push: Push | None = None,
    ) -> None:
        self.stream = stream
        self.scope = scope
        self.started = False
        """Whether the answer's head was sent."""
        self.status = 0
        """The answer's, once it was."""
        self.complete = False
        """Whether the app has said all."""
        self._head = head
        self._defaults = defaults
        self._push = push
        self._waits = head.waits
        self._body_read = False
        self._ends_at_head = False
        self._trailers = False
        self._left: int | None = None
        self._ignored = 0
        self._gave_up = False

    async def run(self, app: App) -> None:
        """Run the app. Nothing comes out of here but a cancellation."""
        name = f"{self._head.method} {self._head.path[:200].decode('ascii')}"
        try:
            await app(self.scope, self.receive, self.send)
        except asyncio.CancelledError:
            self.stream.reset(Reset.CANCEL)
            raise
        except StreamLost:
            pass
        except Exception as error:
            if self.stream.lost is not None:
                log.info("%s: %r, after its client had left", name, error)
            else:
                log.error("%s: the app failed", name, exc_info=error)
        else:
            if not self.stream.ended and self.stream.lost is None:
                if self._gave_up:
                    log.info("%s: cut, since the client does not take its answer", name)
                    self.stream.reset(Reset.SLOW)
                elif not self.complete:
                    log.error("%s: the app returned without a whole answer", name)
        self._finish()

    def _finish(self) -> None:
        stream = self.stream
        if stream.lost is not None:
            return
        if not self.started:
            self.complete = True
            for message in plain(500, "Internal Server Error"):
                self._send_now(message)
        if not stream.ended:
            stream.reset(Reset.INTERNAL)
        elif not stream.received_end:
            stream.reset(Reset.DONE)

    def _send_now(self, message: Message) -> None:
        """Send what is small enough to need no waiting; a peer without a window goes without."""
        if message["type"] == "http.response.start":
            self._start(message)
        elif not self._ends_at_head:
            self.stream.offer(message["body"], end=True)

    async def receive(self) -> Message:
        """The next piece of the body; then, as soon as it is true, that the client has left."""
        stream = self.stream
        if self._body_read:
            await stream.wait_over()
            return {"type": "http.disconnect"}
        if self._waits:
            self._waits = False
            if not self.started and not stream.waiting and not stream.received_end:
                stream.interim([(b":status", b"100")])
        try:
            piece = await stream.read()
        except StreamLost:
            return {"type": "http.disconnect"}
        more = piece is not None and not (stream.received_end and not stream.waiting)
        self._body_read = not more
        return {"type": "http.request", "body": piece or b"", "more_body": more}

    async def send(self, message: Message) -> None:
        """Send a part of the answer.

        Raises:
            RuntimeError: it is not what ASGI has at this place.
            StreamLost: the client has left, and the app was patiently ignored for long.
        """
        kind = message["type"]
        if self.stream.lost is not None:
            self._ignored += 1
            if self._ignored > PATIENCE:
                raise StreamLost(self.stream.lost)
            await asyncio.sleep(0)
            return
        try:
            if kind == "http.response.body" and self.started and not self.complete:
                await self._send_body(message.get("body", b""), message.get("more_body", False))
            elif kind == "http.response.start" and not self.started:
                self._start(message)
            elif kind == "http.response.push" and self._push is not None and not self.complete:
                self._push(message)
            elif kind == "http.response.trailers" and self._trailers:
                self._send_trailers(message)
            else:
                raise RuntimeError(f"{kind!r} has no place here")
        except StreamLost:
            pass  # receive tells
        except asyncio.CancelledError:
            self._gave_up = True
            raise

    def _start(self, message: Message) -> None:
        status = message["status"]
        fields = answer_fields(status, self._defaults, message.get("headers", ()))
        self.started = True
        self.status = status
        self._waits = False
        self._trailers = bool(message.get("trailers", False))
        bodiless = self.scope["method"] == "HEAD" or status in BODILESS
        if not bodiless:
            for name, value in fields:
                if name == b"content-length":
                    self._left = int(value)
        self._ends_at_head = bodiless and not self._trailers
        self.stream.send_head(fields, end=self._ends_at_head)

    async def _send_body(self, body: bytes, more: bool) -> None:
        bodiless = self._ends_at_head or self.scope["method"] == "HEAD"
        if self._left is not None and not bodiless:
            self._left -= len(body)
            if self._left < 0 or (self._left and not more):
                raise RuntimeError("the body does not have its content-length")
        self.complete = not more and not self._trailers
        if bodiless:
            return
        if body or self.complete:
            await self.stream.write(body, end=self.complete)

    def _send_trailers(self, message: Message) -> None:
        more = message.get("more_trailers", False)
        fields = answer_fields(None, (), message.get("headers", ()))
        if more:
            raise RuntimeError("trailers come in one message here")
        self.complete = True
        self._trailers = False
        self.stream.send_head(fields, end=True)


def answer_fields(
    status: int | None,
    defaults: Iterable[tuple[bytes, bytes]],
    fields: Iterable[tuple[bytes, bytes]],
) -> list[tuple[bytes, bytes]]:
    """An answer's header block; without a status, its trailers.

    Raises:
        RuntimeError: a field cannot be sent.
    """
    block = [] if status is None else [(b":status", b"%d" % status)]
    block += defaults
    for name, value in fields:
        name = bytes(name).lower()
        if is_bad_value(value) or is_bad_value(name) or name[:1] in (b":", b""):
            raise RuntimeError(f"no such field can be sent: {name!r}")
        if name not in HOP_BY_HOP:
            block.append((name, bytes(value)))
    return block


def plain(status: int, text: str) -> list[Message]:
    """A short answer in words."""
    body = text.encode() + b"\n"
    fields = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
    ]
    return [
        {"type": "http.response.start", "status": status, "headers": fields},
        {"type": "http.response.body", "body": body, "more_body": False},
    ]
