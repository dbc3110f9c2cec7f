"""Events as they happen, over server-sent events or as JSON lines.

The stream says first where it starts: an offset that a client can resume from even if nothing has
happened yet. When nothing happens for long, a sign of life is sent, so that both sides notice a
dead connection. Events wait in the store, never here: a client that reads slowly is told of a gap.

Where the client takes server push (HTTP/2), a new message is pushed after RFC 8030, section 6: as a
promised ``GET`` of the message itself, with the event's offset in ``last-event-id``. Where tokens
are asked for, it is answered as a ``GET`` with the stream's own token would be; so nothing is
pushed to those who may watch the queue and not browse it. What cannot be pushed, and what the
client has refused, is in the stream. With ``Prefer: wait=0`` the stream is not held: it has what
happened since, or without a ``since`` the messages that are ready, and ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import msgspec

from supersoniq.adapters.access import Guarded, uncounted
from supersoniq.adapters.http.described import Gives, described
from supersoniq.adapters.http.exchange import Exchange, Reply
from supersoniq.adapters.http.feed import CHUNK, Feed, size_of
from supersoniq.adapters.http.forms import EventsQuery, Line
from supersoniq.adapters.http.media import NDJSON, SSE
from supersoniq.adapters.http.problems import problem_of
from supersoniq.adapters.http.wire import Encoding, EventOut
from supersoniq.api.watch import event_kinds
from supersoniq.auth.rights import allows
from supersoniq.auth.scopes import Verb
from supersoniq.core import checks
from supersoniq.core.errors import Closed, InvalidArgument, QueueNotFound, SupersoniqError
from supersoniq.core.ids import parse_id
from supersoniq.core.messages import Event, EventKind, Message
from supersoniq.core.ops import Browse, Follow, Look
from supersoniq.core.states import Status
from supersoniq.wire.bounds import told

__all__ = ["events"]

LastEvent = Annotated[str, told("As `since`, which it overrides.", pattern="^[0-9]{0,18}$")]
RECONNECT = 1000
"""Milliseconds after which a browser comes back."""

FIRST_PAGE, PAGE = 4, 100
"""Messages that are looked at together: at first, and at most."""

MAX_UNSURE = 4 * 1024 * 1024
"""Bytes of contents that were pushed, and that the client may still refuse."""


@described(
    takes=[Verb.WATCH],
    query=EventsQuery,
    fields={"Last-Event-ID": LastEvent, "Prefer": str},
    gives={
        200: Gives(
            "Until the client leaves.", {SSE: Line, NDJSON: Line}, fields=["Preference-Applied"]
        )
    },
    errors=[QueueNotFound],
)
async def events(exchange: Exchange) -> Reply | None:
    """``GET .../events``: until the client leaves, the server stops or the queue is deleted."""
    kind = exchange.accepts(SSE, NDJSON)
    queue = exchange.queue()
    asked = exchange.query(EventsQuery)
    kinds = event_kinds(asked.kinds.split(","))
    since = _last_seen(exchange, asked.since)
    held = not _wants_no_wait(exchange)
    await exchange.call(Follow(queue))
    if exchange.method == "HEAD":
        return Reply(200, kind=kind)
    watch = Feed(uncounted(exchange.engine), queue, since, kinds, _ready)
    try:
        await watch.start()
        while await exchange.receive() is not None:
            pass  # a body means nothing here
        sse = kind == SSE
        resumed = since is not None or EventKind.PUBLISHED not in kinds
        stream = _Stream(exchange, watch, sse, asked.content, held, resumed)
        await exchange.while_present(stream.run)
        await exchange.piece(b"", last=True)
    finally:
        watch.stop()
    return None


class _Stream:
    """Sends a watch's events."""

    def __init__(
        self,
        exchange: Exchange,
        watch: Feed,
        sse: bool,
        encoding: Encoding,
        held: bool,
        resumed: bool,
    ) -> None:
        self._exchange = exchange
        self._watch = watch
        self._sse = sse
        self._encoding = encoding
        self._held = held
        self._pushable = exchange.caller is None or allows(exchange.caller, Look, exchange.queue())
        """Whether the promised GET of a message will be answered."""
        self._resumed = resumed
        self._unsure = 0
        self._unsure_bytes = 0
        self._refused: list[Event] = []
        self._settled = asyncio.Event()

    async def run(self) -> None:
        exchange, watch = self._exchange, self._watch
        answers = exchange.service.answers
        asked = watch.offset
        assert asked is not None
        offset = await watch.begin() if self._resumed else asked
        fields = [(b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]
        if not self._held:
            fields.append((b"preference-applied", b"wait=0"))
        await exchange.begin(SSE if self._sse else NDJSON, fields)
        # The id is what was asked: who is cut off before a gap is told comes back for it.
        first = self._frame("start", asked, {"offset": offset, "kind": "start"})
        await exchange.piece(b"retry: %d\n" % RECONNECT + first if self._sse else first)
        try:
            if not (self._held or self._resumed):
                await self._tell_ready(offset)
                await self._all_taken()
                return
            seen = asked
            while True:
                event = await watch.next(exchange.limits.keep_alive if self._held else 0)
                again = await self._tell_refused()
                if event is not None and not answers.fits(size := size_of(event)):
                    event = None
                    watch.rewind(seen)
                    await answers.vacancy(size)
                elif event is not None:
                    await self._tell(event, partial(watch.forget, event.offset))
                    seen = event.offset
                elif self._held and not again:
                    await exchange.piece(self._alive())
                elif not self._held:
                    await self._all_taken()
                    return
        except Closed:
            return
        except SupersoniqError as error:
            # Too late for a status: the stream itself has to say it.
            problem = msgspec.to_builtins(problem_of(error))
            seen = watch.offset or offset
            told_so = {"offset": seen, "kind": "error", "problem": problem}
            await exchange.piece(self._frame("error", seen, told_so))

    async def _tell(self, event: Event, waits: Callable[[], None] | None = None) -> None:
        exchange = self._exchange
        if self._pushable and event.kind is EventKind.PUBLISHED and event.message is not None:
            size = len(event.message.content)
            if not self._unsure or self._unsure_bytes + size <= MAX_UNSURE:
                path = f"{exchange.at_queue()}/messages/{event.message.id}"
                query = "" if self._encoding == "auto" else f"?content={self._encoding}"
                offset = (b"last-event-id", b"%d" % event.offset)
                if await exchange.push(path + query, [offset], partial(self._done, event, size)):
                    self._unsure += 1
                    self._unsure_bytes += size
                    return
        await self._say(event, waits)

    async def _say(self, event: Event, waits: Callable[[], None] | None = None) -> None:
        """Tell of an event in the stream itself."""
        told = EventOut.of(event, self._encoding)
        await self._exchange.piece(self._frame(told.kind, told.offset, told), waits=waits)

    def _done(self, event: Event, size: int, taken: bool) -> None:
        """What was pushed was taken, or not."""
        self._unsure -= 1
        self._unsure_bytes -= size
        self._settled.set()
        if not taken:
            self._refused.append(event)
            if self._held:
                self._watch.interrupt()

    async def _tell_refused(self) -> bool:
        """Tell of what was refused. Gives whether there was any.

        Raises:
            AuthenticationFailed: the token has expired since it was pushed.
        """
        refused, self._refused = self._refused, []
        engine = self._exchange.engine
        if refused and isinstance(engine, Guarded):
            engine.permitted(Follow(self._exchange.queue()))
        for event in refused:
            await self._say(event)
        return bool(refused)

    async def _all_taken(self) -> None:
        """Wait until the client has all that was pushed, or has been told of it.

        Raises:
            TimeoutError: the client does not say.
        """
        with self._exchange.service.send_deadline():
            while await self._tell_refused() or self._unsure:
                if not self._refused and self._unsure:
                    self._settled.clear()
                    await self._settled.wait()

    async def _tell_ready(self, offset: int) -> None:
        """Tell of the messages that nobody has taken, as if they were published now."""
        exchange, after, limit = self._exchange, None, FIRST_PAGE
        answers = exchange.service.answers
        while True:
            op = Browse(exchange.queue(), Status.READY, after, limit)
            page: list[Message] = await exchange.call(op)
            for message in page:
                event = Event(offset, EventKind.PUBLISHED, message.created_at, message)
                await answers.vacancy(size_of(event))
                await self._tell(event)
            if len(page) < limit:
                return
            after = parse_id(page[-1].id)
            # The next page is as large as a few frames, if messages are as large as on this one.
            average = max(sum(len(message.content) for message in page) // len(page), 1)
            limit = max(1, min(PAGE, 2 * limit, 4 * CHUNK // average))

    def _alive(self) -> bytes:
        if self._sse:
            return b": still here\n\n"
        return self._frame("alive", 0, {"offset": self._watch.offset, "kind": "alive"})

    def _frame(self, kind: str, offset: int, value: Any) -> bytes:
        data = msgspec.json.encode(value)
        if not self._sse:
            return data + b"\n"
        return b"event: %s\nid: %d\ndata: %s\n\n" % (kind.encode(), offset, data)


def _last_seen(exchange: Exchange, since: int | None) -> int | None:
    """Where to resume: a browser that reconnects says so in a header, and repeats its old query."""
    last = exchange.header(b"last-event-id")
    if last:
        if not (last.isascii() and last.isdecimal() and len(last) < 19):
            raise InvalidArgument("Last-Event-ID", last, "takes an event's offset")
        since = int(last)
    return None if since is None else checks.integer("since", since, 0, 2**63 - 1)


def _wants_no_wait(exchange: Exchange) -> bool:
    """Whether ``Prefer`` (RFC 7240) asks for what there is now."""
    for preference in (exchange.listed(b"prefer") or "").lower().split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip() == "wait":  # the first one counts
            return value.strip(' \t"') == "0"
    return False


async def _ready() -> None:
    """The queue has been looked for already."""
