"""What an operator wants to read of a broker: what was done to queues, and what ails the store.

``Narrator`` is told of every operation like any observer, and writes a line on the few that change
a queue as a whole, on batches that the store failed, and on those that took it long. ``Obituaries``
looks at the store's figures now and then, as messages die inside the store: by nacks, lapses and
expiry, of whichever process.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from supersoniq.api.observer import Observer
from supersoniq.core import ops
from supersoniq.core.errors import SupersoniqError
from supersoniq.core.ops import AnyOp, QueueStats
from supersoniq.observe.figures import Figures
from supersoniq.observe.logs import event
from supersoniq.observe.tally import error_code
from supersoniq.port import Result

__all__ = ["Narrator", "Obituaries"]

log = logging.getLogger("supersoniq.store")

SLOW = 1.0
"""Seconds of a batch in the store that are worth a line."""
MOST = 10_000
"""Queues whose names are remembered; with more, new ones are not told."""
LOOK = 10.0
"""Seconds between two looks for dead messages."""

Facts = Callable[[Any, Any], dict[str, Any]]
_DONE: dict[type[Any], tuple[str, str, Facts]] = {
    ops.Pause: ("queue-paused", "a queue was paused", lambda op, _: {}),
    ops.Resume: ("queue-resumed", "a queue goes on", lambda op, _: {}),
    ops.Purge: (
        "queue-purged",
        "messages were purged",
        lambda op, count: {"status": str(op.status or "any"), "messages": count},
    ),
    ops.Delete: ("queue-deleted", "a queue was deleted", lambda op, _: {}),
    ops.Redrive: (
        "queue-redriven",
        "messages were redriven",
        lambda op, count: {"messages": count},
    ),
}


class Narrator(Observer):
    """Writes lines on what is done.

    A queue is new if it was not there when the names were last asked for, which apps do at first.
    """

    def __init__(self) -> None:
        self._known: set[str] | None = None

    def batch(self, size: int, seconds: float) -> None:
        if seconds >= SLOW:
            facts = {"seconds": round(seconds, 3), "operations": size}
            event(log, logging.WARNING, "commit-slow", "the store took long", **facts)

    def failed(self, size: int, error: BaseException) -> None:
        facts = {"error": error_code(error), "detail": str(error), "operations": size}
        if not isinstance(error, SupersoniqError):
            facts["detail"] = type(error).__name__  # its text may be anything
        event(log, logging.ERROR, "store-failed", "the store failed a batch", **facts)

    def called(self, op: AnyOp, result: Result) -> None:
        kind = op.__class__
        if kind is ops.Publish or kind is ops.Import:
            self.published(op.queue)  # type: ignore[union-attr]
        elif kind is ops.Queues:
            self._known = set(result) if len(result) < MOST else None
        elif kind is ops.Configure:
            self._configured(op)  # type: ignore[arg-type]
        elif (told := _DONE.get(kind)) is not None:
            assert isinstance(op, ops.Op)
            name, text, facts = told
            if kind is ops.Delete and self._known is not None:
                self._known.discard(op.queue)
            event(log, logging.INFO, name, text, queue=op.queue, **facts(op, result))

    def published(self, queue: str) -> None:
        known = self._known
        if known is None or queue in known:
            return
        if len(known) >= MOST:
            self._known = None
            return
        known.add(queue)
        event(log, logging.INFO, "queue-new", "a queue is new here", queue=queue)

    def _configured(self, op: ops.Configure) -> None:
        self.published(op.queue)
        if op.changes:
            facts = {"queue": op.queue, "changes": sorted(op.changes)}
            event(log, logging.INFO, "queue-configured", "a policy was changed", **facts)


class Obituaries:
    """Writes a line for each queue in which messages have died.

    Args:
        figures: the store's.
        every: seconds between two looks.
    """

    def __init__(self, figures: Figures, *, every: float = LOOK) -> None:
        self._figures = figures
        self._every = every
        self._before: dict[str, int] | None = None

    async def run(self) -> None:
        """Look on and on, until it is cancelled."""
        while True:
            try:
                self.look(await self._figures.stats())
            except SupersoniqError as error:
                log.debug("no figures: %s", error)  # told by whoever needs the store
            await asyncio.sleep(self._every)

    def look(self, stats: Any) -> None:
        """Compare with the last look; the first is only to compare with."""
        now = {name: _died(each) for name, each in stats.items()}
        before, self._before = self._before, now
        if before is None:
            return
        for name, died in now.items():
            count = died - before.get(name, 0)
            if count > 0:
                facts = {"queue": name, "messages": count, "dead": stats[name].dead}
                event(log, logging.WARNING, "messages-dead", "messages have died", **facts)


def _died(stats: QueueStats) -> int:
    """How many have become dead so far, but for those that were then purged or cancelled."""
    return stats.dead + stats.redriven + stats.forgotten
