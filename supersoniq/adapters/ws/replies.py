"""The requests of one connection that are under way, and what is answered.

What is under way is bounded by number and size; ``room`` waits while it is too much.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from supersoniq.adapters.asgi import Scope
from supersoniq.adapters.http.problems import Problem, Refusal, problem_of
from supersoniq.adapters.http.service import Service
from supersoniq.adapters.ws.codec import Codec
from supersoniq.adapters.ws.frames import ErrorOut, Ok, Out
from supersoniq.adapters.ws.outbox import Outbox
from supersoniq.api.engine import Engine
from supersoniq.core.errors import SupersoniqError
from supersoniq.core.ops import AnyOp

__all__ = ["ITEM", "Replies"]

log = logging.getLogger("supersoniq.ws")

ITEM = 256
"""Bytes that each message or settlement of a request counts for at least: its answer's."""


class Replies:
    """What is asked and answered on one connection.

    Args:
        service: what all connections share; is told of what was refused.
        scope: ASGI's, of the connection.
        engine: carries out operations.
        codec: the connection's subprotocol.
        outbox: where frames leave.
    """

    def __init__(
        self, service: Service, scope: Scope, engine: Engine, codec: Codec, outbox: Outbox
    ) -> None:
        self._service = service
        self._scope = scope
        self._engine = engine
        self._codec = codec
        self._outbox = outbox
        self._limits = service.limits
        self._jobs: set[asyncio.Task[None]] = set()
        self.pending = 0
        """Requests under way."""
        self._size = 0
        self._less = asyncio.Event()

    # Requests.

    def call(
        self,
        id: int | str,
        op: AnyOp,
        size: int,
        answer: Callable[[Any], Ok],
        lost: Callable[[], None] | None = None,
    ) -> None:
        """Carry out an operation and answer the request.

        Args:
            id: the request's.
            op: the operation.
            size: of the request or of its answer, whichever is larger, in bytes.
            answer: makes the answer from the operation's result.
            lost: called if there is none.
        """
        direct = self._engine.direct
        if direct is not None:  # nothing is ever under way
            try:
                result = direct(op)
            except Exception as error:
                self._lost(id, error, lost)
            else:
                self._answer(id, answer, result)
            return
        self.pending += 1
        self._size += size

        def done(result: Any) -> None:
            self._finished(size)
            self._answer(id, answer, result)

        def failed(error: Exception) -> None:
            self._finished(size)
            self._lost(id, error, lost)

        self._engine.submit(op, done, failed)

    def _answer(self, id: int | str, answer: Callable[[Any], Ok], result: Any) -> None:
        try:
            self.put(answer(result))
        except Exception:
            self.failed(id)

    def _lost(self, id: int | str, error: Exception, lost: Callable[[], None] | None) -> None:
        if lost is not None:
            lost()
        if isinstance(error, SupersoniqError):
            self.refuse(error, id)
        else:
            self.failed(id, error)

    def work(self, id: int | str, size: int, job: Coroutine[Any, Any, None]) -> None:
        """Have a request answered by a job of its own, which may be cancelled at the end.

        Args:
            id: the request's.
            size: of the request or of its answer, whichever is larger, in bytes.
            job: puts the answer, or raises.
        """
        self.pending += 1
        self._size += size
        task = asyncio.get_running_loop().create_task(job)
        self._jobs.add(task)

        def done(task: asyncio.Task[None]) -> None:
            self._jobs.discard(task)
            self._finished(size)
            if task.cancelled() or (error := task.exception()) is None:
                return
            if isinstance(error, SupersoniqError):
                self.refuse(error, id)
            else:
                self.failed(id, error)

        task.add_done_callback(done)

    def _finished(self, size: int) -> None:
        self.pending -= 1
        self._size -= size
        self._less.set()

    async def room(self) -> None:
        """Wait until another request may come."""
        limits = self._limits
        while self.pending >= limits.max_requests or self._size >= limits.max_outbox:
            self._less.clear()
            await self._less.wait()

    async def given(self) -> None:
        """Wait until nothing is under way."""
        while self.pending:
            self._less.clear()
            await self._less.wait()

    def cancel(self) -> None:
        """Give up the jobs that are under way."""
        for job in self._jobs:
            job.cancel()

    # What leaves.

    def put(self, frame: Out) -> None:
        """Send a frame when its turn comes."""
        self._outbox.put(self._codec.write(frame))

    def refuse(self, error: SupersoniqError, id: int | str | None) -> None:
        """Answer a request with an error."""
        self._service.refused(error, self._scope)
        problem = problem_of(error)
        try:
            self.put(ErrorOut(id=id, problem=problem))
        except (TypeError, ValueError, msgspec.MsgspecError):
            # A client's own text within it cannot be sent.
            problem.detail, problem.data = problem.title, {}
            self.put(ErrorOut(id=id, problem=problem))

    def failed(self, id: int | str, error: BaseException | None = None) -> None:
        """Answer a request with our own fault."""
        log.error("a WebSocket request failed", exc_info=error or True)
        self.put(ErrorOut(id=id, problem=_bug()))

    def ended(self, subscription: int, error: SupersoniqError | None) -> None:
        """Say that a subscription cannot go on; ``None``: that is our own fault."""
        if error is None:
            problem = _bug()
        else:
            self._service.refused(error, self._scope)
            problem = problem_of(error)
        self.put(ErrorOut(subscription=subscription, problem=problem))


def _bug() -> Problem:
    return Refusal(500, "a bug; the server's log says more").problem
