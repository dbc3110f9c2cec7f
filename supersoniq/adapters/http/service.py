"""What all handlers of one app share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from functools import cache
from typing import Any

from supersoniq.adapters.http.answers import Answers
from supersoniq.adapters.http.deadlines import Deadlines
from supersoniq.adapters.http.limits import Limits
from supersoniq.api.broker import Broker
from supersoniq.api.engine import Engine
from supersoniq.core.errors import Closed, QueueNotFound
from supersoniq.core.ops import AnyOp, Configure, Queues

__all__ = ["DEFAULT", "Receive", "Scope", "Send", "Service"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

Document = Callable[[], dict[str, Any]]

DEFAULT = "default"


class Service:
    """The broker, the limits, and those to be sent home when the server stops.

    Args:
        broker: open, or to be opened by whoever runs the app before the first request.
        limits: the app's bounds.
        document: makes the OpenAPI document, when it is first asked for.
    """

    def __init__(self, broker: Broker, limits: Limits, document: Document) -> None:
        self.broker = broker
        self.limits = limits
        self.document = cache(document)
        self.body_deadline = Deadlines(limits.body_timeout)
        self.send_deadline = Deadlines(limits.send_timeout)
        self.answers = Answers(limits.max_answers)
        """What large answers take together."""
        self.draining = False
        """Whether nobody shall be kept waiting any more."""
        self._staying: set[Callable[[], None]] = set()

    @property
    def engine(self) -> Engine:
        """What carries out operations.

        Raises:
            Closed: the broker is not open.
        """
        return self.broker.engine

    def is_open(self) -> bool:
        """Whether the broker is open."""
        try:
            return not self.broker.engine.closing
        except Closed:
            return False

    async def call(self, op: AnyOp) -> Any:
        """Carry out an operation and give its result. The default queue is there for all of them.

        Raises:
            SupersoniqError: as the operation says.
        """
        engine = self.broker.engine
        try:
            return await engine.call(op)
        except QueueNotFound as error:
            if error.queue != DEFAULT:
                raise
        await engine.call(Configure(DEFAULT))
        return await engine.call(op)

    async def names(self) -> list[str]:
        """The names of all queues, sorted; the default one is always among them."""
        names: list[str] = await self.call(Queues())
        if DEFAULT not in names:
            await self.call(Configure(DEFAULT))
            names = await self.call(Queues())
        return names

    def stay(self, leave: Callable[[], None]) -> Callable[[], None]:
        """Have a function called when waiting must end; gives what takes that back."""
        if self.draining:
            asyncio.get_running_loop().call_soon(leave)
        self._staying.add(leave)
        return lambda: self._staying.discard(leave)

    def drain(self) -> None:
        """End every long poll, with nothing, and every event stream, now and from now on."""
        self.draining = True
        for leave in list(self._staying):
            leave()
