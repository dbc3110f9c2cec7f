"""One connection, from ``welcome`` to ``bye``.

**Reading.** Each frame is seen to as it arrives: a request becomes an operation, which the engine
gets at once, in order, and whose answer is sent when it comes. So requests of one connection run
side by side, and a hundred of them make one batch. What is under way is bounded by number and size;
beyond that nothing more is read, and the client's sends wait.

**Ending.** However it ends (the client closes or vanishes, breaks the protocol, does not read; the
server stops, the broker is closed, the task is cancelled), what the client held is released before
anything else is waited for. A client that is still there is told why in ``bye``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import supersoniq
from supersoniq.adapters.access import Guarded, uncounted
from supersoniq.adapters.asgi import Receive, Scope, Send
from supersoniq.adapters.http.service import Service
from supersoniq.adapters.http.turns import NOBODY, Client
from supersoniq.adapters.ws.codec import BadFrame, Codec, Unreadable
from supersoniq.adapters.ws.farewell import (
    BAD_FRAME,
    BUG,
    EXPIRED,
    GOING_AWAY,
    NO_HELLO,
    SLOW_READER,
    TOO_BIG,
    Farewell,
)
from supersoniq.adapters.ws.frames import Bye, Request, Welcome
from supersoniq.adapters.ws.held import Held
from supersoniq.adapters.ws.outbox import Outbox
from supersoniq.adapters.ws.replies import Replies
from supersoniq.adapters.ws.subscriptions import Subscriptions
from supersoniq.adapters.ws.terms import Terms
from supersoniq.auth.tokens import Caller
from supersoniq.core.errors import InvalidArgument, PermissionDenied, SupersoniqError
from supersoniq.core.ops import AnyOp
from supersoniq.observe.logs import event

__all__ = ["Session"]

log = logging.getLogger("supersoniq.ws")

PATIENCE = 1.0
"""Seconds for what is under way to be finished, and again for the farewell to be taken."""
Handler = Callable[["Session", Any, int], None]


class Session:
    """One connection, once it is accepted.

    Args:
        service: what all connections share.
        codec: its subprotocol.
        handlers: what sees to each type of request; is given the session, the request, its size.
        scope, receive, send: ASGI's.
        caller: whose it is, where that is asked.
    """

    def __init__(
        self,
        service: Service,
        codec: Codec,
        handlers: dict[type[Request], Handler],
        scope: Scope,
        receive: Receive,
        send: Send,
        caller: Caller | None = None,
    ) -> None:
        self.service = service
        self.scope = scope
        self.client: Client = (scope.get("client") or NOBODY)[0], self
        self.engine = service.engine_for(caller)
        self.own = uncounted(self.engine)
        """The engine for what subscriptions do."""
        self._caller = caller
        self.limits = service.limits
        self.codec = codec
        self.outbox = Outbox(
            send,
            codec.text,
            self.limits.max_outbox,
            service.send_deadline,
            service.backlog,
            self._hurry,
        )
        self.held = Held(self.engine)
        self.terms = Terms(self.engine)
        self.replies = Replies(service, scope, self.engine, codec, self.outbox)
        most = self.limits.max_subscriptions
        self.subscriptions = Subscriptions(self.replies, self.end, most)
        self._handlers = handlers
        self._receive = receive
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._expiry: Callable[[], None] = lambda: None
        self._over: asyncio.Future[Farewell | None] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()

    # Its life.

    async def run(self) -> None:
        """Serve it until it ends."""
        away = self.service.stay(lambda: self.end(GOING_AWAY))
        self._until_expiry()
        closed = self.engine.on_close(self._closing)
        self.replies.put(
            Welcome(
                server="supersoniq",
                version=supersoniq.__version__,
                durability=self.service.broker.backend.capabilities.durability,
                limits=self._told_limits(),
            )
        )
        reader = self._loop.create_task(self._read())
        writer = self._loop.create_task(self.outbox.run())
        reader.add_done_callback(self._stopped_reading)
        writer.add_done_callback(self._stopped_writing)
        farewell: Farewell | None = None
        try:
            farewell = await asyncio.shield(self._over)
        finally:
            away()
            self._expiry()
            closed()
            # Those who lease are stopped first, then comes what was leased: nothing slips between.
            self.end(None)
            reader.cancel()
            tasks = [reader, *self.subscriptions.cancel()]
            self.held.release()
            self.terms.release()
            try:
                await asyncio.wait(tasks)
                if farewell is not None:
                    await self._say(farewell, writer)
            finally:
                self.replies.cancel()
                writer.cancel()
                self._ended.set_result(None)
                await asyncio.wait((writer,))
                self.outbox.close()

    def end(self, farewell: Farewell | None) -> None:
        """Have it end; ``None``: there is nobody to be told. Only the first time counts."""
        if not self._over.done():
            self._over.set_result(farewell)
            if farewell is not None and farewell.code != GOING_AWAY.code:
                # Its detail may be in the client's own words.
                facts = {"code": farewell.code, "reason": farewell.reason}
                event(log, logging.INFO, "connection-cut", "a WebSocket is ended", **facts)
            # At once: when all connections end together, none must lease what another releases.
            self.subscriptions.cancel()

    def permit(self, op: AnyOp) -> None:
        """Say now whether the caller may do something, which will be done later.

        Raises:
            AuthenticationFailed, PermissionDenied, RateLimited: it may not.
        """
        if isinstance(self.engine, Guarded):
            self.engine.admitted(op)

    async def renew(self, token: str) -> float:
        """Go on with a newer token of the same caller's; gives until when.

        Raises:
            InvalidArgument: nobody asks for tokens here.
            AuthenticationFailed, RateLimited: it does not hold.
            PermissionDenied: it is somebody else's.
        """
        if self._caller is None or not isinstance(self.engine, Guarded):
            raise InvalidArgument("token", "(hidden)", "means nothing: this server asks for none")
        caller = await self.service.identity.check(token, self.scope)
        if caller.subject != self._caller.subject:
            raise PermissionDenied("the token is of another sub; open another connection for it")
        self._caller = self.engine.caller = caller
        self._expiry()
        self._until_expiry()
        return caller.expires

    def _until_expiry(self) -> None:
        """End when the token does."""
        verifier = self.service.verifier
        if self._caller is not None and verifier is not None:
            left = max(self._caller.expires - verifier.now(), 0)
            self._expiry = self._loop.call_later(left, self.end, EXPIRED).cancel

    async def ended(self) -> None:
        """Wait until it has ended."""
        await asyncio.shield(self._ended)

    def _hurry(self) -> None:
        patience = self.service.backlog.patience
        self.end(SLOW_READER.because(f"nothing was taken for {patience:g} s, and others wait"))

    def _closing(self) -> asyncio.Future[None]:
        self.end(GOING_AWAY.because("the broker is closed"))
        return self._ended

    async def _say(self, farewell: Farewell, writer: asyncio.Task[None]) -> None:
        """Tell the client why, and close."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self.replies.given()
        except TimeoutError:
            log.info("a connection ends with %d requests under way", self.replies.pending)
        bye = self.codec.write(
            Bye(
                code=farewell.code,
                reason=farewell.reason,
                detail=farewell.detail or farewell.reason,
                retry=farewell.retry_after is not None,
                retry_after=farewell.retry_after or 0,
                # If it does not read, answers that wait for it are dropped.
                unanswered=self.replies.pending or int(writer.done()),
            )
        )
        try:
            async with asyncio.timeout(PATIENCE):
                if writer.done():
                    await self.outbox.send(bye)  # all else that waits is dropped
                else:
                    self.outbox.put(bye)
                    await self.outbox.flushed()
                close = {"type": "websocket.close", "code": farewell.code}
                await self._send({**close, "reason": farewell.reason})
        except Exception as error:
            # It has left meanwhile, or does not read: the connection is cut.
            log.debug("a client could not be told %s: %r", farewell.reason, error)

    def _stopped_reading(self, task: asyncio.Task[Farewell | None]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            log.error("reading a WebSocket failed", exc_info=error)
        self.end(BUG if error is not None else task.result())

    def _stopped_writing(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, TimeoutError):
            detail = f"a frame was not taken within {self.limits.send_timeout:g} s"
            self.end(SLOW_READER.because(detail))
        else:
            log.debug("a WebSocket is gone: %r", error)
            self.end(None)

    # What arrives.

    async def _read(self) -> Farewell | None:
        """Read frames and see to them; gives how it ended."""
        try:
            async with asyncio.timeout(self.limits.hello_timeout):
                message = await self._receive()
        except TimeoutError:
            return NO_HELLO.because(f"no frame within {self.limits.hello_timeout:g} s")
        while message["type"] == "websocket.receive":
            text = message.get("text")
            if (text is not None) is not self.codec.text:
                kind = "text" if self.codec.text else "binary"
                return BAD_FRAME.because(f"frames of {self.codec.name} are {kind}")
            raw = text.encode() if text is not None else message["bytes"]
            if len(raw) > self.limits.max_body:
                return TOO_BIG.because(f"a frame may have {self.limits.max_body} bytes")
            try:
                self._see_to(raw)
            except Unreadable as error:
                return BAD_FRAME.because(f"a frame {error}")
            await self.replies.room()
            await self.outbox.room()
            message = await self._receive()
        return None

    def _see_to(self, raw: bytes) -> None:
        try:
            request = self.codec.read(raw)
        except BadFrame as bad:
            self.replies.refuse(bad.error, bad.id)
            return
        try:
            self._handlers[type(request)](self, request, len(raw))
        except SupersoniqError as error:
            self.replies.refuse(error, request.id)
        except Exception:
            self.replies.failed(request.id)

    def _told_limits(self) -> dict[str, int | float]:
        limits = self.limits
        return {
            "max_frame": limits.max_body,
            "max_depth": limits.max_depth,
            "max_batch": limits.max_batch,
            "max_batch_body": limits.max_batch_body,
            "max_credit": limits.max_credit,
            "max_subscriptions": limits.max_subscriptions,
            "hello_timeout": limits.hello_timeout,
            "send_timeout": limits.send_timeout,
        }
