"""The Redis backend as the event loop sees it.

A batch becomes calls of scripts (``work``), one for each kind of operation and queue, which go
out in rounds (``exchange``) until all of them are done.
"""

from __future__ import annotations

import asyncio
import os
import warnings
from collections.abc import Callable, Sequence

from msgspec.structs import replace
from redis.asyncio import Connection
from redis.exceptions import RedisError

from supersoniq.backends.redis import scripts
from supersoniq.backends.redis.exchange import Exchange
from supersoniq.backends.redis.flow import Publishing, Settling, Taking
from supersoniq.backends.redis.managing import MANAGING
from supersoniq.backends.redis.nodes import Nodes
from supersoniq.backends.redis.server import LEVELS, inspect
from supersoniq.backends.redis.store import Store
from supersoniq.backends.redis.wake import Ears
from supersoniq.backends.redis.work import Work
from supersoniq.clock import Clock
from supersoniq.core import ops
from supersoniq.core.errors import BackendUnavailable, Closed, SupersoniqError
from supersoniq.core.ops import AnyOp
from supersoniq.core.policy import Policy, changed
from supersoniq.port import Backend, Capabilities, Result, Stir

__all__ = ["PATIENCE", "RedisBackend"]

PATIENCE = 10.0
"""Seconds to wait for a server, unless asked otherwise."""


class RedisBackend(Backend):
    """Queues in a Redis or Valkey server, shared by any number of processes.

    Args:
        nodes: where the servers are. ``connect`` makes them from a URL.
        name: of the server, for errors; without passwords.
        prefix: what all keys begin with: a store of its own for each.
        patience: seconds to wait for a connection, and for an answer.
        min_replicas: how many replicas must have a change before it counts as done; takes do not
            wait for them.
        replica_patience: seconds to wait for them; then the outcome is unknown.
        noeviction: vouches for the server's ``maxmemory-policy`` where it cannot be asked.
        clock: instead of the server's own; for tests.
    """

    capabilities = Capabilities(durability="memory", lasting=True, shared=True, bounds_queues=True)

    def __init__(
        self,
        nodes: Nodes,
        name: str,
        *,
        prefix: str = "supersoniq",
        patience: float = PATIENCE,
        min_replicas: int = 0,
        replica_patience: float = 1.0,
        noeviction: bool = False,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self._nodes = nodes
        self._prefix = prefix
        self._patience = patience
        self._min_replicas = min_replicas
        self._noeviction = noeviction
        self._clock = clock
        self._store = Store(
            nodes,
            name,
            prefix,
            min_replicas=min_replicas,
            replica_patience=replica_patience,
            max_queues=lambda: self.max_queues,
        )
        self._ears = Ears(self._listener, lambda queue: scripts.channel_of(prefix, queue))
        self._exchange = Exchange(
            nodes,
            self._store,
            self._ears,
            min_replicas=min_replicas,
            replica_patience=replica_patience,
            clock=clock,
        )
        self._running: set[asyncio.Task[list[Result]]] = set()
        self._open = False
        self._pid = 0
        self._unsubscribe: Callable[[], None] = lambda: None

    # Opening and closing.

    async def open(self) -> None:
        """Connect, and look whether the server and what stands in it will do.

        Opening twice is fine.
        """
        if self._open:
            return
        try:
            found = [
                await inspect(link, noeviction=self._noeviction, min_replicas=self._min_replicas)
                for link in await self._nodes.all()
            ]
            await self._store.read()
        except BaseException:
            await self._nodes.close()
            raise
        durability = min(found, key=LEVELS.index)
        self._store.facts.durability = durability
        self.capabilities = replace(self.capabilities, durability=durability)
        self._open, self._pid = True, os.getpid()
        if self._clock is not None:
            self._unsubscribe = self._clock.subscribe(self._ears.hear_all)

    async def close(self) -> None:
        """Finish what is in flight and disconnect. Closing twice is fine."""
        if not self._open:
            return
        self._open = False
        self._unsubscribe()
        if self._pid != os.getpid():
            return
        while self._running:
            await asyncio.wait(self._running)
        await self._ears.close()
        await self._nodes.close()

    def __del__(self) -> None:
        if self.__dict__.get("_open") and self._pid == os.getpid():
            warnings.warn(f"{self!r} was not closed", ResourceWarning, source=self, stacklevel=2)

    def __repr__(self) -> str:
        return f"RedisBackend({self.name!r})"

    def _check(self) -> None:
        if not self._open:
            raise Closed(f"the store {self.name}")
        if self._pid != os.getpid():
            raise BackendUnavailable(
                "the store was opened before this process was forked; open it anew in the child"
            )

    # Executing.

    async def execute(self, batch: Sequence[AnyOp]) -> list[Result]:
        """Execute operations, all of them in one exchange if nothing is out of the ordinary."""
        self._check()
        task = asyncio.ensure_future(self._execute(batch))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def _execute(self, batch: Sequence[AnyOp]) -> list[Result]:
        results: list[Result] = [None] * len(batch)
        works = self._plan(batch, results)
        while works:
            works = await self._exchange.send(works)
        for place, op in enumerate(batch):
            if isinstance(op, ops.Queues):
                try:
                    results[place] = await self._store.queues()
                except SupersoniqError as error:
                    results[place] = error
        return results

    def _plan(self, batch: Sequence[AnyOp], results: list[Result]) -> list[Work]:
        """Settlements of a queue first, so that what they free is there to be taken."""
        facts = self._store.facts
        flows: dict[str, tuple[Settling | None, Publishing | None, Taking | None]] = {}
        alone: list[Work] = []
        for place, op in enumerate(batch):
            if isinstance(op, ops.Queues):
                continue
            settling, publishing, taking = flows.get(op.queue, (None, None, None))
            if isinstance(op, ops.Publish):
                publishing = publishing or Publishing(op.queue, results, facts)
                publishing.add(place, op)
            elif isinstance(op, ops.Take):
                taking = taking or Taking(op.queue, results, facts)
                taking.add(place, op)
            elif isinstance(op, ops.Settle):
                settling = settling or Settling(op.queue, results, facts)
                settling.add(place, op)
            else:
                try:
                    if isinstance(op, ops.Configure):
                        changed(Policy(), op.changes)
                    elif isinstance(op, ops.Import):
                        changed(Policy(), op.policy)
                except SupersoniqError as error:
                    results[place] = error
                else:
                    alone.append(MANAGING[type(op)](op.queue, results, facts, place, op))
                continue
            flows[op.queue] = (settling, publishing, taking)
        together = [work for flow in flows.values() for work in flow if work is not None]
        return [work for work in [*together, *alone] if work.places]

    # Listening.

    def listen(self, queue: str, stir: Stir) -> Callable[[], None]:
        """Have ``stir`` called when something in the queue may have become ready."""
        self._check()
        return self._ears.listen(queue, stir)

    async def _listener(self) -> Connection:
        link = await self._nodes.link_of(scripts.store_key(self._prefix))
        try:
            async with asyncio.timeout(self._patience):
                return await link.another()
        except (RedisError, OSError, TimeoutError):
            self._nodes.doubt(link)
            raise
