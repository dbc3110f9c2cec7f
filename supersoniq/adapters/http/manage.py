"""Queues: what they are, and what can be done to a whole one."""

from __future__ import annotations

from typing import Any

from supersoniq.adapters.http import decode
from supersoniq.adapters.http.exchange import Exchange, Reply, reply
from supersoniq.adapters.http.media import JSON
from supersoniq.adapters.http.wire import Description, PauseRequest, PurgeRequest, RedriveRequest
from supersoniq.api.queue import status_of
from supersoniq.core import checks
from supersoniq.core.errors import InvalidArgument, QueueNotFound
from supersoniq.core.ids import parse_id
from supersoniq.core.ops import (
    Configure,
    Describe,
    Pause,
    Purge,
    QueueStats,
    Redrive,
    Resume,
    Stats,
)
from supersoniq.core.policy import Policy, changed

__all__ = [
    "all_stats",
    "configure",
    "delete",
    "describe",
    "names",
    "pause",
    "purge",
    "redrive",
    "resume",
    "stats",
]


async def names(exchange: Exchange) -> Reply:
    """``GET /queues``: their names, sorted."""
    exchange.accepts(JSON)
    exchange.no_query()
    return reply(await exchange.service.names())


async def describe(exchange: Exchange) -> Reply:
    """``GET /queues/{queue}``: policy and figures."""
    exchange.accepts(JSON)
    exchange.no_query()
    return await _described(exchange, exchange.queue())


async def configure(exchange: Exchange) -> Reply:
    """``PUT /queues/{queue}``: make it, or change those fields of its policy that are given."""
    exchange.accepts(JSON)
    exchange.no_query()
    queue = exchange.queue()
    changes = await exchange.json({})
    if not isinstance(changes, dict):
        raise InvalidArgument("body", changes, "takes an object of policy fields")
    changed(Policy(), changes)
    engine = exchange.service.engine
    try:
        await engine.call(Describe(queue))
        made = False
    except QueueNotFound:
        made = True
    await engine.call(Configure(queue, changes))
    return await _described(exchange, queue, 201 if made else 200)


async def delete(exchange: Exchange) -> Reply:
    """``DELETE /queues/{queue}``: it and all it holds."""
    exchange.no_query()
    await exchange.service.broker.delete_queue(exchange.queue())
    return Reply(204)


async def stats(exchange: Exchange) -> Reply:
    """``GET /queues/{queue}/stats``."""
    exchange.accepts(JSON)
    exchange.no_query()
    return reply(await exchange.service.call(Stats(exchange.queue())))


async def all_stats(exchange: Exchange) -> Reply:
    """``GET /stats``: the figures of every queue, by name."""
    exchange.accepts(JSON)
    exchange.no_query()
    await exchange.service.names()
    return reply(await exchange.service.broker.stats())


async def pause(exchange: Exchange) -> Reply:
    """``POST .../pause``: give no more leases."""
    queue = exchange.queue()
    asked = await _asked(exchange, PauseRequest)
    if asked.duration is not None and asked.until is not None:
        raise InvalidArgument("until", asked.until, "is there beside duration")
    op = Pause(
        queue,
        None if asked.until is None else checks.instant("until", asked.until),
        None if asked.duration is None else checks.duration("duration", asked.duration),
    )
    await exchange.service.call(op)
    return await _pause_state(exchange, queue)


async def resume(exchange: Exchange) -> Reply:
    """``POST .../resume``: give leases again."""
    queue = exchange.queue()
    await _asked(exchange, decode.Nothing)
    await exchange.service.call(Resume(queue))
    return await _pause_state(exchange, queue)


async def purge(exchange: Exchange) -> Reply:
    """``POST .../purge``: drop every message of a status, or all that nobody holds or has done."""
    queue = exchange.queue()
    asked = await _asked(exchange, PurgeRequest)
    count: int = await exchange.service.call(Purge(queue, status_of(asked.status)))
    return reply({"queue": queue, "purged": count})


async def redrive(exchange: Exchange) -> Reply:
    """``POST .../redrive``: make dead messages ready again."""
    queue = exchange.queue()
    asked = await _asked(exchange, RedriveRequest)
    if asked.limit is not None:
        checks.integer("limit", asked.limit, 1, 2**40)
    numbers = None
    if asked.ids is not None:
        if not 0 < len(asked.ids) <= exchange.limits.max_batch:
            rule = f"takes 1 to {exchange.limits.max_batch} ids; leave it out to mean any"
            raise InvalidArgument("ids", len(asked.ids), rule)
        numbers = [parse_id(text) for text in asked.ids]
    count: int = await exchange.service.call(Redrive(queue, numbers, asked.limit))
    return reply({"queue": queue, "redriven": count})


async def _asked(exchange: Exchange, kind: type[decode.T]) -> decode.T:
    exchange.accepts(JSON)
    exchange.no_query()
    return decode.convert(await exchange.json({}), kind)


async def _described(exchange: Exchange, queue: str, status: int = 200) -> Reply:
    policy: Policy = await exchange.service.call(Describe(queue))
    figures: QueueStats = await exchange.service.call(Stats(queue))
    fields: list[tuple[bytes, bytes]] = []
    if status == 201:
        fields.append((b"location", exchange.address(f"/queues/{queue}")))
    return reply(Description(queue, policy, figures), status, fields)


async def _pause_state(exchange: Exchange, queue: str) -> Reply:
    figures: QueueStats = await exchange.service.call(Stats(queue))
    state: dict[str, Any] = {
        "queue": queue,
        "paused": figures.paused,
        "paused_until": figures.paused_until,
    }
    return reply(state)
