"""How it goes, in figures: for people and scripts as JSON, for Prometheus and its like as text.

What a caller's scope does not let it see is left out. Figures that are of no queue (requests,
connections, the store's times) and those of all queues together need ``metrics:*``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import msgspec

from supersoniq.adapters.http.described import Gives, described
from supersoniq.adapters.http.exchange import Exchange, Reply, reply
from supersoniq.adapters.http.media import JSON
from supersoniq.adapters.http.problems import Refusal
from supersoniq.auth.scopes import Verb
from supersoniq.core.errors import PermissionDenied, QueueNotFound
from supersoniq.core.ops import Queues, QueueStats, Stats
from supersoniq.observe.families import OPENMETRICS, PLAIN, families, text
from supersoniq.observe.figures import Kept, oldest_ready
from supersoniq.observe.meter import Meter, Process, Times
from supersoniq.wire.bounds import QueueName

__all__ = ["all_stats", "metrics", "process"]

Sees = Callable[[str], bool]


class Figures(QueueStats, frozen=True, kw_only=True):
    """A queue at one moment, and how long its oldest message waits."""

    oldest_ready: int | None
    """Since when the oldest ready message has been ready; ``None`` if there is none."""


class Seen(msgspec.Struct):
    """What this process has counted since it began."""

    queues: dict[str, Times]
    """By name; ``_other`` is all that have no figures of their own."""
    process: Process | None
    """Everything else; ``null`` without ``metrics:*``."""


@described(any_scope=True, gives={200: Gives.json("By name.", dict[QueueName, Figures])})
async def all_stats(exchange: Exchange) -> Reply:
    """``GET /stats``: the figures of every queue, by name, as the store has them now."""
    exchange.accepts(JSON)
    exchange.no_query()
    await exchange.service.begin()
    found: dict[str, Figures] = {}
    for name in await exchange.call(Queues()):
        try:
            stats: QueueStats = await exchange.call(Stats(name))
        except (QueueNotFound, PermissionDenied):
            continue  # deleted meanwhile, or no more than its name may be known
        # By the store's own engine: whoever may see figures need not be one who may browse.
        since = await oldest_ready(exchange.service.broker.engine, stats)
        found[name] = Figures(**msgspec.structs.asdict(stats), oldest_ready=since)
    return reply(found)


@described(
    takes=[Verb.METRICS],
    gives={200: Gives.json("They.", Seen)},
    refusals=(404,),
    store=False,
)
async def process(exchange: Exchange) -> Reply:
    """``GET /stats/process``: what this process has counted since it began."""
    exchange.accepts(JSON)
    exchange.no_query()
    meter, sees = _asked(exchange)
    return reply(Seen(meter.times(sees), meter.process() if sees is None else None))


@described(
    takes=[Verb.METRICS],
    gives={200: Gives("They.", {OPENMETRICS: str, PLAIN: str})},
    refusals=(404,),
)
async def metrics(exchange: Exchange) -> Reply:
    """``GET /metrics``: all figures, of the store and of this process, in OpenMetrics."""
    kind = exchange.accepts(OPENMETRICS, PLAIN)
    exchange.no_query()
    meter, sees = _asked(exchange)
    await exchange.service.begin()
    if sees is not None:
        return await _written(meter, sees, kind)
    # All who scrape within a second get the same: writing it takes milliseconds.
    kept = exchange.service.written.get(kind)
    if kept is None:
        kept = exchange.service.written[kind] = Kept(partial(_written, meter, None, kind), 20)
    written: Reply = await kept.get()
    return written


async def _written(meter: Meter, sees: Sees | None, kind: str) -> Reply:
    """The text, written in a thread so that nobody has to wait for it."""
    measured = await meter.measured(sees)
    body, whole = await asyncio.to_thread(lambda: text(families(measured), kind))
    return Reply(200, body, whole)


def _asked(exchange: Exchange) -> tuple[Meter, Sees | None]:
    """The meter, and which queues the caller may see figures of; ``None``: of everything.

    Raises:
        Refusal: nothing is counted here.
        PermissionDenied: the caller may see no figures at all.
    """
    meter = exchange.service.meter
    if meter is None:
        raise Refusal(404, "metrics are switched off here")
    caller = exchange.caller
    if caller is None or caller.scopes.everywhere(Verb.METRICS):
        return meter, None
    if not caller.scopes.anywhere(Verb.METRICS):
        raise PermissionDenied(f"that takes the scope {Verb.METRICS}:*")
    return meter, lambda queue: caller.scopes.allow(Verb.METRICS, queue)
