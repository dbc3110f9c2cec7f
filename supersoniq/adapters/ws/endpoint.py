"""The beginning of a connection: who may connect, in which subprotocol, and how many there are."""

from __future__ import annotations

import asyncio
import contextlib

from supersoniq.adapters.asgi import Receive, Scope, Send
from supersoniq.adapters.http.endpoint import problem_reply
from supersoniq.adapters.http.exchange import Exchange, Reply
from supersoniq.adapters.http.problems import Problem, Refusal, problem_of
from supersoniq.adapters.http.service import Service
from supersoniq.adapters.ws.codec import CODECS
from supersoniq.adapters.ws.farewell import TOO_MANY
from supersoniq.adapters.ws.requests import HANDLERS
from supersoniq.adapters.ws.session import PATIENCE, Session
from supersoniq.core.errors import Closed, InvalidArgument, SupersoniqError
from supersoniq.observe.logs import within

__all__ = ["Sockets", "upgrade"]


class Sockets:
    """All WebSockets of an app.

    Args:
        service: what they share.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._open: set[Session] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        with within(scope):
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        with contextlib.ExitStack() as place:
            try:
                self._service.origins.answer_to(scope)
                self._service.origins.admit(scope)
                name = _subprotocol(scope)
                caller = await self._service.identity.of(scope)
                if self._service.draining:
                    raise Closed("the server")
                codec = CODECS[name](self._service.limits.max_depth)
                place.enter_context(self._service.place(caller))
                session = Session(self._service, codec, HANDLERS, scope, receive, send, caller)
            except SupersoniqError as error:
                self._service.refused(error, scope)
                await _refuse(problem_of(error), scope, receive, send)
                return
            await send({"type": "websocket.accept", "subprotocol": name})
            await self._run(session, scope)

    async def _run(self, session: Session, scope: Scope) -> None:
        """Serve one that was accepted until it ends."""
        many = len(self._open) >= self._service.limits.max_sockets
        if many:
            session.end(TOO_MANY.because(f"{len(self._open)} connections are open"))
        self._open.add(session)
        try:
            with self._service.holding(scope):
                await session.run()
        finally:
            self._open.discard(session)

    def __len__(self) -> int:
        return len(self._open)

    async def ended(self, patience: float = 3 * PATIENCE) -> None:
        """Wait until all have ended, after they were sent home; not for ever."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while self._open:
                    await next(iter(self._open)).ended()
                    await asyncio.sleep(0)


async def upgrade(_exchange: Exchange) -> Reply:
    """``GET /ws`` of a client that speaks just HTTP."""
    raise Refusal(426, f"is a WebSocket; subprotocols: {', '.join(CODECS)}")


def _subprotocol(scope: Scope) -> str:
    """The first that the client offers and that is known here.

    Many browsers cannot offer any on WebTransport: what comes there without one is JSON.

    Raises:
        InvalidArgument: there is none.
    """
    if not scope.get("subprotocols") and "webtransport" in scope.get("extensions", {}):
        return next(iter(CODECS))
    for offered in scope.get("subprotocols", ()):
        if offered in CODECS:
            return str(offered)
    given = ", ".join(scope.get("subprotocols", ()))
    raise InvalidArgument("Sec-WebSocket-Protocol", given, f"takes one of: {', '.join(CODECS)}")


async def _refuse(problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer the handshake with an error."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close"})  # a bare 403
        return
    answer = problem_reply(problem)
    fields = [
        (b"content-type", answer.kind.encode()),
        (b"content-length", b"%d" % len(answer.body)),
    ]
    await send(
        {
            "type": "websocket.http.response.start",
            "status": answer.status,
            "headers": [*fields, *answer.fields],
        }
    )
    await send({"type": "websocket.http.response.body", "body": answer.body})
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            # uvicorn takes the handshake for unanswered until it has seen the connection end.
            await receive()
            await receive()
