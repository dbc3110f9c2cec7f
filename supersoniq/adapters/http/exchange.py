"""One request and its answer, over plain ASGI.

Starlette finds the route. From there on this module does what its ``Request`` and ``Response``
would, with the bounds that they lack: those of the body (``incoming.py``), an answer's deadline,
and a handler that takes long learns at once that its client has left.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl, quote

import msgspec

from supersoniq.adapters.asgi import Receive, Scope, Send
from supersoniq.adapters.http import decode
from supersoniq.adapters.http.incoming import Gone, Incoming
from supersoniq.adapters.http.media import JSON, liking
from supersoniq.adapters.http.presence import Presence
from supersoniq.adapters.http.problems import Refusal
from supersoniq.adapters.http.service import DEFAULT, Service
from supersoniq.api.engine import Engine
from supersoniq.auth.tokens import Caller
from supersoniq.core import checks
from supersoniq.core.errors import InvalidArgument
from supersoniq.core.ids import parse_id
from supersoniq.core.ops import AnyOp

__all__ = ["Exchange", "Gone", "Reply", "reply"]

Fields = Sequence[tuple[bytes, bytes]]
T = TypeVar("T")

PIECE = 64 * 1024
"""Bytes of an answer that a server is given at a time."""
MAX_QUERY_FIELDS = 100
encode = msgspec.json.Encoder().encode


class Reply(NamedTuple):
    """A whole answer."""

    status: int
    body: bytes = b""
    kind: str = JSON
    fields: Fields = ()


def reply(value: Any, status: int = 200, fields: Fields = ()) -> Reply:
    """A value as a JSON answer."""
    return Reply(status, encode(value), JSON, fields)


class Exchange(Incoming):
    """One request, and the way to answer it."""

    __slots__ = ("_engine", "_send", "caller", "started", "status")

    def __init__(self, service: Service, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(service, scope, receive)
        self.started = False
        """Whether the answer has begun."""
        self.status = 0
        """Of the answer, once it has begun."""
        self.caller: Caller | None = None
        """Who calls, where that is asked."""
        self._engine: Engine | None = None
        self._send = send

    # What it does.

    @property
    def engine(self) -> Engine:
        """What carries out its operations, as far as its caller may.

        Raises:
            Closed: the broker is not open.
        """
        if self._engine is None:
            service = self.service
            if self.promised:
                self._engine = service.engine_for(self.caller, counted=False)
            else:
                self._engine = service.request_engine(self.caller)
        return self._engine

    @property
    def promised(self) -> bool:
        """Whether no client has asked, but the server, to push the answer."""
        return "http.response.pushed" in self.scope.get("extensions", {})

    def known(self) -> Caller | None:
        """Who calls, if that is known by now; see ``Identity.known``."""
        fields = self._headers
        if len(fields) != len(self.scope["headers"]):  # one is there twice
            return None
        return self.service.identity.known(fields)

    async def call(self, op: AnyOp) -> Any:
        """Carry out an operation and give its result. The default queue is always there.

        Raises:
            SupersoniqError: as the operation says, or the caller may not do that.
        """
        return await self.service.call(self.engine, op)

    # The request.

    @property
    def method(self) -> str:
        """Its method; that of a HEAD request is ``HEAD``."""
        return str(self.scope["method"])

    @property
    def root(self) -> str:
        """The path under which the app is mounted, without a slash at its end."""
        return str(self.scope.get("root_path", "")).rstrip("/")

    def queue(self) -> str:
        """The queue in its path, or the default one.

        Raises:
            InvalidName: that cannot be a queue's name.
        """
        return checks.queue_name(self.scope["path_params"].get("queue", DEFAULT))

    def at_queue(self) -> str:
        """The path of its queue, as it was called: empty where none was named."""
        named = self.scope["path_params"].get("queue")
        return "" if named is None else f"/queues/{named}"

    def id(self) -> int:
        """The number of the message id in its path.

        Raises:
            InvalidId: it is none.
        """
        return parse_id(self.scope["path_params"]["id"])

    def listed(self, name: bytes) -> str | None:
        """A header field that is a list, which may come in several lines (RFC 9110, 5.3)."""
        fields = self.scope["headers"]
        if name not in self._headers or len(self._headers) == len(fields):
            return self.header(name)
        return ",".join(value.decode("latin-1") for each, value in fields if each == name)

    def media_type(self) -> str | None:
        """The media type of its body, in lower case, without parameters.

        Raises:
            Refusal: the body is compressed, which nobody here undoes.
        """
        coding = self.header(b"content-encoding")
        if coding is not None and coding.lower() != "identity":
            raise Refusal(415, f"a body cannot have the content encoding {coding[:40]!r}")
        kind = self.header(b"content-type")
        return None if kind is None else kind.partition(";")[0].strip().lower()

    def parameters(self) -> dict[str, str]:
        """Its query.

        Raises:
            InvalidArgument: a field is there twice, it is not UTF-8, or there are too many.
        """
        query = self.scope.get("query_string", b"")
        if not query:
            return {}
        try:
            pairs = parse_qsl(
                query.decode("latin-1"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=MAX_QUERY_FIELDS,
            )
        except ValueError as error:
            problem = f"cannot be read: {error}"
            raise InvalidArgument("query", query[:80].decode("latin-1"), problem) from None
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            double = next(name for name in names if names.count(name) > 1)
            raise InvalidArgument(double, found[double], "is there twice in the query")
        return found

    def query(self, kind: type[T]) -> T:
        """Its query as a typed value.

        Raises:
            InvalidArgument: an unknown field, or a value that does not fit.
        """
        return decode.convert(self.parameters(), kind, texts=True)

    def no_query(self) -> None:
        """Refuse a query where none means anything.

        Raises:
            InvalidArgument: there is one.
        """
        if self.scope.get("query_string"):
            for name, value in self.parameters().items():
                raise InvalidArgument(name, value, "has no place in the query of this request")

    def address(self, path: str) -> bytes:
        """A path of this app as a client has to write it."""
        root = self.root
        return (quote(root) + path if root else path).encode()

    async def json(self, default: Any = msgspec.UNSET) -> Any:
        """Its JSON body.

        Args:
            default: stands for no body at all.

        Raises:
            InvalidArgument: it is no JSON, or too deep.
            Refusal: it is of another media type, too large or too slow.
        """
        kind = self.media_type()
        raw = await self.body()
        self.leave_room()
        if not raw and default is not msgspec.UNSET:
            return default
        if kind not in (JSON, None):
            raise Refusal(415, f"takes {JSON}, not {kind}", takes=[JSON])
        return decode.loads(raw, self.limits.max_depth)

    def accepts(self, *offers: str) -> str:
        """The media type to answer with: of the offered ones, that which the client likes best.

        Raises:
            Refusal: it likes none of them.
        """
        wanted = self.listed(b"accept")
        if wanted is None or wanted in ("*/*", offers[0]):
            return offers[0]
        best = max(offers, key=lambda offer: liking(wanted, offer))
        if liking(wanted, best) <= 0:
            raise Refusal(406, f"can answer with {' or '.join(offers)}", offers=list(offers))
        return best

    # The answer.

    async def answer(self, reply: Reply) -> None:
        """Send a whole answer.

        Raises:
            TimeoutError: the client does not take it.
        """
        self.leave_room()
        status, body, kind, fields = reply
        head = list(fields)
        if status not in (204, 304):
            head.append((b"content-type", kind.encode("latin-1")))
            head.append((b"content-length", b"%d" % len(body)))
        if self.scope["method"] == "HEAD":
            body = b""
        self.started, self.status = True, status
        if len(body) <= PIECE:
            await self._waiting(len(body), self._say(status, head, body))
            return
        # A server may take whatever it is given at once, and only then wait: so it is given little.
        start = {"type": "http.response.start", "status": status, "headers": head}
        await self._waiting(len(body), self._send(start))
        await self._in_pieces(body, last=True)

    async def _in_pieces(
        self, body: bytes, *, last: bool, waits: Callable[[], None] | None = None
    ) -> None:
        answers, left = self.service.answers, len(body)
        answers.size += left
        try:
            view = memoryview(body)
            for at in range(0, len(body), PIECE):
                piece = bytes(view[at : at + PIECE])
                more = not last or at + PIECE < len(body)
                message = {"type": "http.response.body", "body": piece, "more_body": more}
                await self.service.send_deadline.within(self._send(message), waits)
                answers.taken(len(piece))
                left -= len(piece)
        finally:
            answers.taken(left)

    async def _say(self, status: int, head: Fields, body: bytes) -> None:
        await self._send({"type": "http.response.start", "status": status, "headers": head})
        await self._send({"type": "http.response.body", "body": body})

    async def _waiting(
        self, size: int, saying: Awaitable[None], waits: Callable[[], None] | None = None
    ) -> None:
        """Say so many bytes in time, and count them as long as they are not taken."""
        answers = self.service.answers
        answers.size += size
        try:
            await self.service.send_deadline.within(saying, waits)
        finally:
            answers.taken(size)

    async def begin(self, kind: str, fields: Fields) -> None:
        """Begin an answer that is sent in pieces."""
        self.leave_room()
        self.started, self.status = True, 200
        head = [(b"content-type", kind.encode("latin-1")), *fields]
        await self._send({"type": "http.response.start", "status": 200, "headers": head})

    async def piece(
        self, body: bytes, *, last: bool = False, waits: Callable[[], None] | None = None
    ) -> None:
        """Send one more piece.

        Args:
            body: it.
            last: whether it is the last one.
            waits: called if the client has no room for it now.

        Raises:
            TimeoutError: the client does not take it.
        """
        if len(body) > PIECE:
            await self._in_pieces(body, last=last, waits=waits)
            return
        message = {"type": "http.response.body", "body": body, "more_body": not last}
        await self._waiting(len(body), self._send(message), waits)

    async def while_present(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do something that may go on for ever, until the server stops.

        Raises:
            TooManyOpen: the caller holds as much open as it may; nothing was begun.
            Gone: the client left.
        """
        with self.service.place(self.caller), self.presence() as presence:
            task = asyncio.ensure_future(work())
            try:
                await asyncio.wait((task, presence.over), return_when=asyncio.FIRST_COMPLETED)
            finally:
                task.cancel()
                await asyncio.wait((task,))
                error = None if task.cancelled() else task.exception()  # or asyncio complains
            if presence.gone:
                raise Gone
            if error is not None:
                raise error

    async def push(self, path: str, fields: Fields, done: Callable[[bool], None]) -> bool:
        """Push the answer to a ``GET`` of a path of this app. Gives whether that is possible.

        If it is, ``done`` is called later with whether the client has taken it, and the ``GET`` has
        the caller of this request. See ``supersoniq.servers.h2.push``; other servers push nothing.
        """
        ready = self.scope.get("extensions", {}).get("http.response.push", {}).get("ready")
        if ready is None:
            return False
        meter = self.service.meter
        if not await ready():
            if meter is not None:
                meter.tally.pushes["streamed"] += 1
            return False
        if meter is not None:
            done = _counted(done, meter.tally.pushes)
        address = self.address(path).decode()
        await self._send(
            {
                "type": "http.response.push",
                "path": address,
                "headers": fields,
                "done": done,
                "grant": self.service.identity.grant(self.caller),
            }
        )
        return True

    def presence(self) -> Presence:
        """Watch whether the client stays; only after the whole body was read."""
        return Presence(self.service, self._receive, self.caller)


def _counted(done: Callable[[bool], None], pushes: Counter[str]) -> Callable[[bool], None]:
    """Count what becomes of a push."""

    def settled(taken: bool) -> None:
        pushes["taken" if taken else "refused"] += 1
        done(taken)

    return settled
