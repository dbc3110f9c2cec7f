"""What all handlers of one app share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cache
from typing import Any

from supersoniq.adapters.access import Guarded, Identity, Origins
from supersoniq.adapters.asgi import Scope, protocol_of
from supersoniq.adapters.http.admission import Admission
from supersoniq.adapters.http.answers import Answers
from supersoniq.adapters.http.arriving import Arriving
from supersoniq.adapters.http.backlog import Backlog
from supersoniq.adapters.http.deadlines import Deadlines
from supersoniq.adapters.http.limits import Limits
from supersoniq.api.broker import Broker
from supersoniq.api.engine import Engine
from supersoniq.auth.tokens import Caller, Verifier
from supersoniq.core.errors import (
    Closed,
    QueueNotFound,
    RateLimited,
    SupersoniqError,
    TooManyQueues,
)
from supersoniq.core.ops import AnyOp, Configure, Queues
from supersoniq.observe import Meter
from supersoniq.observe.figures import Kept
from supersoniq.observe.logs import event

__all__ = ["DEFAULT", "Service"]

log = logging.getLogger("supersoniq.access")
Document = Callable[[], dict[str, Any]]

DEFAULT = "default"
MOST_CALLERS = 1000
"""Callers whose engines are kept for their next request."""


class Service:
    """The broker, the limits, and those to be sent home when the server stops.

    Args:
        broker: open, or to be opened by whoever runs the app before the first request.
        limits: the app's bounds.
        document: makes the OpenAPI document, when it is first asked for.
        verifier: establishes who is calling; ``None``: everybody may do everything.
        origins: which web pages may call.
        meter: counts what is done; ``None``: nobody does.
        console: whether there is a page for people.
    """

    def __init__(
        self,
        broker: Broker,
        limits: Limits,
        document: Document,
        verifier: Verifier | None = None,
        origins: Origins | None = None,
        meter: Meter | None = None,
        *,
        console: bool = True,
    ) -> None:
        self.broker = broker
        self.console = console
        self.verifier = verifier
        self.identity = Identity(verifier, limits.failures)
        self.quota = limits.quota
        self.holds = limits.holds
        self.origins = origins or Origins()
        self.meter = meter
        self.written: dict[str, Kept[Any]] = {}
        """The last answer to those who may see all metrics, by its media type."""
        self.limits = limits
        self.document = cache(document)
        self.body_deadline = Deadlines(limits.body_timeout)
        self.send_deadline = Deadlines(limits.send_timeout)
        self.arriving = Arriving(limits.max_arriving)
        """What half-sent bodies take together, and half-sent messages of WebSockets."""
        self.admission = Admission(self.arriving, limits.body_timeout)
        """Who may send a larger body now."""
        self.answers = Answers(limits.max_answers)
        """What large answers take together."""
        self.backlog = Backlog(limits.max_answers, limits.send_timeout / 3)
        """What waits for all WebSockets together."""
        self.draining = False
        """Whether nobody shall be kept waiting any more."""
        self._guarded: dict[int, Guarded] = {}
        """By the identity of its caller, which it holds."""
        self._staying: set[Callable[[], None]] = set()

    def engine_for(self, caller: Caller | None, *, counted: bool = True) -> Engine:
        """What carries out a caller's operations.

        Args:
            caller: ``None``: nobody has to say who it is.
            counted: whether they count against the caller's quota.

        Raises:
            Closed: the broker is not open.
        """
        engine = self.broker.engine
        if self.verifier is None:
            return engine
        assert caller is not None
        return Guarded(engine, caller, self.verifier.now, self.quota if counted else None)

    def request_engine(self, caller: Caller | None) -> Engine:
        """What carries out a request's operations: the same for all requests with one token.

        Raises:
            Closed: the broker is not open.
        """
        engine = self.broker.engine
        if self.verifier is None:
            return engine
        found = self._guarded.get(id(caller))
        if found is not None and found.caller is caller and found.is_of(engine):
            return found
        made = self.engine_for(caller)
        assert isinstance(made, Guarded)
        if len(self._guarded) >= MOST_CALLERS:
            self._guarded.clear()
        self._guarded[id(caller)] = made
        return made

    def refused(self, error: SupersoniqError, scope: Scope) -> None:
        """Take notice of an error that a caller gets.

        Args:
            error: the error.
            scope: the ASGI scope of the call.
        """
        if not isinstance(error, PermissionError | RateLimited | TooManyQueues):
            return
        if self.meter is not None:
            self.meter.tally.refused[error.code] += 1
        client = scope.get("client")
        facts = {
            "error": error.code,
            "detail": str(error),
            "client": client[0] if client else "",
            "protocol": protocol_of(scope),
        }
        event(log, logging.WARNING, "call-refused", "a call was refused", **facts)

    def place(self, caller: Caller | None) -> AbstractContextManager[None]:
        """Hold one of the places that a caller has for what stays open, until this is left.

        Args:
            caller: whose; ``None``: it does not matter.

        Raises:
            TooManyOpen: when it is entered; the caller holds as many as it may.
        """
        if self.holds is None or caller is None:
            return nullcontext()
        return self.holds.place(caller)

    @contextmanager
    def holding(self, scope: Scope) -> Iterator[None]:
        """Count a WebSocket as long as it is open."""
        if self.meter is None:
            yield
            return
        open_now, protocol = self.meter.tally.websockets, protocol_of(scope)
        open_now[protocol] += 1
        try:
            yield
        finally:
            open_now[protocol] -= 1

    def is_open(self) -> bool:
        """Whether the broker is open."""
        try:
            return not self.broker.engine.closing
        except Closed:
            return False

    async def call(self, engine: Engine, op: AnyOp) -> Any:
        """Carry out an operation and give its result. The default queue is there for all of them.

        Args:
            engine: the caller's.
            op: what it asks for.

        Raises:
            SupersoniqError: as the operation says.
        """
        try:
            return await engine.call(op)
        except QueueNotFound as error:
            if error.queue != DEFAULT:
                raise
        await self.begin()
        return await engine.call(op)

    async def begin(self) -> None:
        """Have the default queue there, unless there are as many as may be."""
        engine = self.broker.engine
        if DEFAULT not in await engine.call(Queues()):
            with suppress(TooManyQueues):
                await engine.call(Configure(DEFAULT))

    def stay(self, leave: Callable[[], None], caller: Caller | None = None) -> Callable[[], None]:
        """Have a function called when waiting must end; gives what takes that back.

        Args:
            leave: called when the server wants to stop, or the caller's token expires.
            caller: who waits, where that is known.
        """
        loop = asyncio.get_running_loop()
        if self.draining:
            loop.call_soon(leave)
        self._staying.add(leave)
        if self.verifier is None or caller is None:
            return lambda: self._staying.discard(leave)
        timer = loop.call_later(max(caller.expires - self.verifier.now(), 0), leave)

        def forget() -> None:
            timer.cancel()
            self._staying.discard(leave)

        return forget

    def drain(self) -> None:
        """End every long poll, with nothing, and every event stream, now and from now on."""
        self.draining = True
        for leave in list(self._staying):
            leave()
