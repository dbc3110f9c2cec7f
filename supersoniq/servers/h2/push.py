"""Server push, as an app sees it: the ASGI extension ``http.response.push``, and one thing more.

ASGI's extension lets an app promise a response while it answers a request:

    await send({"type": "http.response.push", "path": "/messages/17", "headers": []})

The server tells the client so, and calls the same app with ``GET /messages/17``, whose answer goes
out on a stream of its own. In ASGI a push is a hint, which a server may drop. That is enough for a
style sheet and too little for a message that has to arrive. So here

- **the extension is in the scope only if the client allows push now**: its ``ENABLE_PUSH`` is 1
  (curl and browsers set 0), the request is not a pushed one itself, and no ``root_path`` says that
  the client is behind a proxy, whose paths are others than ours;
- **``scope["extensions"]["http.response.push"]["ready"]`` is an async function that gives whether a
  push would be taken.** If it gives true, the next push of the same task, sent before it awaits
  anything else, is promised to the client. If it gives false, the app has to say what it has to
  say in its answer. A false is for now: the next call may give true.
- **a push may have a ``done``**, a function that is called once with whether the client has taken
  the answer. It is called with false when the client resets the promised stream, or does not take
  the bytes, or when the answer is another one than 200, such as 404: what was promised was not
  there any more. The app may then say it in its answer. It is not called when the connection ends;
- **a push may have a ``grant``**, any object at all, which the promised request finds as
  ``scope["extensions"]["http.response.pushed"]["grant"]``. A promised request has no field of the
  client's, so no credentials either; the app that promises it knows for whom, and tells itself by
  this. It is never on the wire, and no request that a client makes has that extension: whoever
  finds a grant of its own there has made it.

A client may refuse what it has room for by our count: Node has not closed a stream before its
program has read it, and refuses one more, which a server may have answered in full by then. So a
client has an answer when it has answered a PING that was sent after it, and then a second one:
acknowledgements of PINGs may overtake resets that were sent before them, by one round.

A push is not taken when the client has left, or has reset a pushed stream (it does not want them),
or has gone back on ``ENABLE_PUSH``, or when as many pushed responses are open as its
``MAX_CONCURRENT_STREAMS`` allows. Promised ones count: RFC 9113 would let us promise more, but a
client that says 10 means 10. So do its own requests, which Node counts with them, although RFC 9113
does not: Node refuses what is too much, and that would be lost.

``ready`` waits a moment for one of them to end, so that a burst is pushed as fast as the client
takes it. When that was in vain, it does not wait again until one has ended, so that a client that
takes nothing costs its stream one moment, not one for each message.

What was promised can still be lost with its connection, as any answer can. The client has the path
then, and can ask for it.

An app reads ``ready`` once from the extension; there is nothing to read in other servers, so:

    ready = scope["extensions"].get("http.response.push", {}).get("ready")
    if ready is not None and await ready(): ...
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol
from urllib.parse import quote

from h2.exceptions import NoAvailableStreamIDError, ProtocolError

from supersoniq.servers.h2.streams import Lane, Road
from supersoniq.servers.head import BadHead, Endpoints, Head, read_head
from supersoniq.servers.request import Message

__all__ = ["Pusher"]

Done = Callable[[bool], None]

TAKEN = b"pushed??"
"""What the PINGs say that ask whether answers were taken."""
SAFE = "/!$&'()*+,;=:@%?-._~"


class Promiser(Road, Protocol):
    """What pushing needs of a connection."""

    ends: Endpoints
    asked: int
    """Requests of the client whose apps have not ended."""
    over: bool
    draining: bool

    def start(self, lane: Lane, head: Head, grant: object = None) -> None:
        """Begin an app's task for a promised request."""

    def ping(self, data: bytes) -> None:
        """Ask for a sign of life, of eight bytes."""


class Pusher:
    """The pushed responses of one connection.

    Args:
        connection: the connection.
    """

    def __init__(self, connection: Promiser) -> None:
        self._connection = connection
        self._open: set[int] = set()
        self._unwanted = False
        self._in_vain = False
        self._waiters: list[asyncio.Future[None]] = []
        self._unsure: dict[int, Done] = {}
        """Those whose apps want to know, and do not yet."""
        self._sent: list[int] = []
        """Of these, whose answers were sent and are not asked about yet."""
        self._asked: list[int] | None = None
        """Those about which the PING asks that is under way."""
        self._once: list[int] = []
        """Those about which one PING was answered."""

    def allowed(self) -> bool:
        """Whether the client takes any at all."""
        connection = self._connection
        return not (
            self._unwanted
            or connection.ends.root_path
            or connection.over
            or connection.draining
            or not connection.engine.remote_settings.enable_push
            or not connection.engine.remote_settings.max_concurrent_streams
        )

    def _room(self) -> bool:
        connection = self._connection
        most = connection.engine.remote_settings.max_concurrent_streams
        if len(self._unsure) >= connection.limits.unsure_pushes:
            return False
        return len(self._open) < min(most - connection.asked, connection.limits.pushes)

    def extension(self, lane: Lane, head: Head) -> tuple[dict[str, Any], Callable[[Message], None]]:
        """What an app finds in its scope, and what takes its pushes."""

        def ready() -> Awaitable[bool]:
            return self._ready(lane)

        def push(message: Message) -> None:
            if self._can(lane):
                self._push(lane, head, message)

        return {"ready": ready}, push

    def _can(self, lane: Lane) -> bool:
        stream = lane.stream
        return self.allowed() and stream.lost is None and not stream.ended and self._room()

    async def _ready(self, lane: Lane) -> bool:
        if self._can(lane):
            return True
        if self._in_vain or not self.allowed():
            return False
        loop = asyncio.get_running_loop()
        until = loop.time() + self._connection.limits.push_patience
        while not self._can(lane):
            left = until - loop.time()
            if left <= 0 or not self.allowed() or lane.stream.lost is not None:
                self._in_vain = not self._room()
                return False
            waiter: asyncio.Future[None] = loop.create_future()
            self._waiters.append(waiter)
            timer = loop.call_later(left, _wake, waiter)
            try:
                await waiter
            finally:
                timer.cancel()
        return True

    def _push(self, lane: Lane, head: Head, message: Message) -> None:
        connection, engine = self._connection, self._connection.engine
        fields = [
            (b":method", b"GET"),
            (b":scheme", head.scheme.encode()),
            (b":authority", head.authority),
            (b":path", quote(message["path"], safe=SAFE).encode()),
        ]
        for name, value in message.get("headers", ()):
            fields.append((bytes(name).lower(), bytes(value)))
        try:
            promised_head = read_head(fields, connection.limits.header_list)
        except BadHead as bad:
            raise RuntimeError(f"no such request can be pushed: {bad}") from None
        # h2 forgets streams that are over when it counts those that are not.
        _ = engine.open_outbound_streams
        try:
            promised = engine.get_next_available_stream_id()
            engine.push_stream(lane.number, promised, fields)
        except (NoAvailableStreamIDError, ProtocolError):
            self._unwanted = True
            return
        self._open.add(promised)
        if (done := message.get("done")) is not None:
            self._unsure[promised] = done
        connection.start(Lane(connection, promised), promised_head, message.get("grant"))

    def ended(self, number: int, whole: bool) -> None:
        """A pushed response is over: the whole of what was promised was sent, or not."""
        self._open.discard(number)
        self._in_vain = False
        if not whole:
            self._settle(number, False)
        elif number in self._unsure:
            self._sent.append(number)
            self._ask()
        self.changed()

    def refused(self, number: int) -> None:
        """The client has reset a pushed stream: there shall be no more."""
        self._unwanted = True
        self._settle(number, False)
        self.changed()

    def answered(self, data: bytes) -> None:
        """The client has answered a PING."""
        if data != TAKEN or self._asked is None:
            return
        for number in self._once:
            self._settle(number, True)
        self._once, self._asked = self._asked, None
        self._ask()
        self.changed()

    def _ask(self) -> None:
        if self._asked is None and (self._sent or self._once):
            self._asked, self._sent = self._sent, []
            self._connection.ping(TAKEN)

    def _settle(self, number: int, taken: bool) -> None:
        done = self._unsure.pop(number, None)
        if done is not None and not self._connection.over:
            done(taken)

    def changed(self) -> None:
        """Those who wait shall look again."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            _wake(waiter)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
