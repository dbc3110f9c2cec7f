"""The coalescer: many concurrent calls, one batch.

While one batch is in flight the next one collects. A lone caller thus waits for nobody, and a
hundred callers share one transaction, one round trip, one frame: the busier, the cheaper each call.

A caller that gives up while its call is still collecting takes it out: it was certainly not done.
Once it is in flight, giving up cannot stop it: its outcome is then unknown to that caller.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import Any

from supersoniq.api.observer import Execute
from supersoniq.core.errors import Closed, SupersoniqError
from supersoniq.core.ops import AnyOp

__all__ = ["Coalescer"]


class Coalescer:
    """Makes batches.

    Args:
        execute: carries out a batch; see ``Backend.execute``.
        limit: most operations in a batch.
    """

    def __init__(self, execute: Execute, *, limit: int = 1000) -> None:
        self.execute = execute
        """May be replaced, from the next batch on."""
        self._limit = limit
        self._waiting: list[tuple[AnyOp, asyncio.Future[Any]]] = []
        self._runner: asyncio.Task[None] | None = None
        self._closed = False
        self._context = Context()

    def submit(self, op: AnyOp) -> asyncio.Future[Any]:
        """Have an operation carried out. The future gives its result or raises its error.

        Raises:
            Closed: after ``close``.
        """
        if self._closed:
            raise Closed("the broker")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._waiting.append((op, future))
        if self._runner is None:
            # In a context of its own: a batch belongs to no single one of its callers.
            self._runner = loop.create_task(self._run(), context=self._context)
        return future

    async def drain(self) -> None:
        """Wait until all that was submitted has its answer."""
        while self._runner is not None:
            await asyncio.shield(self._runner)

    async def close(self) -> None:
        """Take no more, and wait until all that was submitted has its answer."""
        self._closed = True
        await self.drain()

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch = [pair for pair in self._waiting[: self._limit] if not pair[1].done()]
                del self._waiting[: self._limit]
                if batch:
                    await self._carry_out(batch)
                    # Whoever was just answered gets a turn: most will ask again at once, and are
                    # then in the next batch, not in the one after it.
                    await asyncio.sleep(0)
        finally:
            self._runner = None

    async def _carry_out(self, batch: list[tuple[AnyOp, asyncio.Future[Any]]]) -> None:
        try:
            results = await self.execute([op for op, _ in batch])
        except BaseException as error:
            # Not even a bug of the backend may leave a caller waiting for ever.
            for _, future in batch:
                if not future.done():
                    future.set_exception(_own(error))
            if not isinstance(error, Exception):
                raise
            return
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():
                continue
            if isinstance(result, SupersoniqError):
                future.set_exception(result)
            else:
                future.set_result(result)


def _own(error: BaseException) -> BaseException:
    """An error object of one's own: a shared one would collect every caller's traceback."""
    if isinstance(error, SupersoniqError):
        return type(error)(**error.data)
    return error if isinstance(error, Exception) else Closed("the event loop")
