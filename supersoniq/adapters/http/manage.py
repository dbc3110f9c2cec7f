"""Queues: what they are, and what can be done to a whole one."""

from __future__ import annotations

from typing import Any

from supersoniq.adapters.http import decode
from supersoniq.adapters.http.described import Body, Gives, described
from supersoniq.adapters.http.exchange import Exchange, Reply, reply
from supersoniq.adapters.http.forms import (
    Description,
    PauseRequest,
    PauseShape,
    PauseState,
    PolicyChanges,
    Purged,
    PurgeRequest,
    Redriven,
    RedriveRequest,
)
from supersoniq.adapters.http.media import JSON
from supersoniq.api.queue import status_of
from supersoniq.auth.scopes import Verb
from supersoniq.core import checks
from supersoniq.core.errors import (
    IllegalMove,
    InvalidArgument,
    InvalidId,
    InvalidPolicy,
    MessageNotFound,
    QueueFull,
    QueueNotFound,
    TooManyQueues,
)
from supersoniq.core.ids import parse_id
from supersoniq.core.ops import (
    Configure,
    Delete,
    Describe,
    Pause,
    Purge,
    Queues,
    QueueStats,
    Redrive,
    Resume,
    Stats,
)
from supersoniq.core.policy import Policy, changed
from supersoniq.wire.bounds import QueueName

__all__ = [
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


@described(any_scope=True, gives={200: Gives.json("Their names.", list[QueueName])})
async def names(exchange: Exchange) -> Reply:
    """``GET /queues``: their names, sorted."""
    exchange.accepts(JSON)
    exchange.no_query()
    await exchange.service.begin()
    return reply(await exchange.call(Queues()))


@described(
    takes=[Verb.BROWSE, Verb.MANAGE],
    gives={200: Gives.json("It.", Description)},
    errors=[QueueNotFound],
)
async def describe(exchange: Exchange) -> Reply:
    """``GET /queues/{queue}``: policy and figures."""
    exchange.accepts(JSON)
    exchange.no_query()
    return await _described(exchange, exchange.queue())


@described(
    takes=[Verb.MANAGE],
    body=Body({JSON: PolicyChanges}, required=False),
    gives={
        200: Gives.json("It was there, and is changed.", Description),
        201: Gives.json("It is made.", Description, always=["Location"]),
    },
    errors=[InvalidPolicy, TooManyQueues],
    grows=True,
)
async def configure(exchange: Exchange) -> Reply:
    """``PUT /queues/{queue}``: make it, or change those fields of its policy that are given."""
    exchange.accepts(JSON)
    exchange.no_query()
    queue = exchange.queue()
    changes = _changes(await exchange.json({}))
    engine = exchange.engine
    try:
        await engine.call(Describe(queue))
        made = False
    except QueueNotFound:
        made = True
    await engine.call(Configure(queue, changes))
    return await _described(exchange, queue, 201 if made else 200)


@described(
    takes=[Verb.MANAGE], gives={204: Gives("It is gone.")}, errors=[QueueNotFound], picky=False
)
async def delete(exchange: Exchange) -> Reply:
    """``DELETE /queues/{queue}``: it and all it holds."""
    exchange.no_query()
    await exchange.call(Delete(exchange.queue()))
    exchange.engine.deletions += 1
    return Reply(204)


@described(
    takes=[Verb.METRICS, Verb.BROWSE, Verb.MANAGE],
    gives={200: Gives.json("Its figures.", QueueStats)},
    errors=[QueueNotFound],
)
async def stats(exchange: Exchange) -> Reply:
    """``GET /queues/{queue}/stats``."""
    exchange.accepts(JSON)
    exchange.no_query()
    return reply(await exchange.call(Stats(exchange.queue())))


@described(
    takes=[Verb.MANAGE],
    body=Body({JSON: PauseShape}, required=False),
    gives={200: Gives.json("Its state now.", PauseState)},
    errors=[QueueNotFound],
)
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
    await exchange.call(op)
    return await _pause_state(exchange, queue)


@described(
    takes=[Verb.MANAGE],
    body=Body({JSON: decode.Nothing}, required=False),
    gives={200: Gives.json("Its state now.", PauseState)},
    errors=[QueueNotFound],
)
async def resume(exchange: Exchange) -> Reply:
    """``POST .../resume``: give leases again."""
    queue = exchange.queue()
    await _asked(exchange, decode.Nothing)
    await exchange.call(Resume(queue))
    return await _pause_state(exchange, queue)


@described(
    takes=[Verb.MANAGE],
    body=Body({JSON: PurgeRequest}, required=False),
    gives={200: Gives.json("How many there were.", Purged)},
    errors=[QueueNotFound, IllegalMove],
)
async def purge(exchange: Exchange) -> Reply:
    """``POST .../purge``: drop every message of a status, or all that nobody holds or has done."""
    queue = exchange.queue()
    asked = await _asked(exchange, PurgeRequest)
    count: int = await exchange.call(Purge(queue, status_of(asked.status)))
    return reply(Purged(queue, count))


@described(
    takes=[Verb.MANAGE],
    body=Body({JSON: RedriveRequest}, required=False),
    gives={200: Gives.json("How many there were.", Redriven)},
    errors=[InvalidId, QueueNotFound, MessageNotFound, IllegalMove, QueueFull],
)
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
    count: int = await exchange.call(Redrive(queue, numbers, asked.limit))
    return reply(Redriven(queue, count))


def _changes(asked: object) -> dict[str, Any]:
    """Checked changes of a policy.

    Raises:
        InvalidPolicy: a field is unknown, of a wrong type or out of its range.
        InvalidArgument: it is no object.
    """
    try:
        changes = decode.convert(asked, PolicyChanges).given()
    except InvalidArgument as error:
        if not isinstance(asked, dict):
            raise
        raise InvalidPolicy(error.field, error.value, error.problem) from None
    changed(Policy(), changes)
    return changes


async def _asked(exchange: Exchange, kind: type[decode.T]) -> decode.T:
    exchange.accepts(JSON)
    exchange.no_query()
    return decode.convert(await exchange.json({}), kind)


async def _described(exchange: Exchange, queue: str, status: int = 200) -> Reply:
    policy: Policy = await exchange.call(Describe(queue))
    figures: QueueStats = await exchange.call(Stats(queue))
    fields: list[tuple[bytes, bytes]] = []
    if status == 201:
        fields.append((b"location", exchange.address(f"/queues/{queue}")))
    return reply(Description(queue, policy, figures), status, fields)


async def _pause_state(exchange: Exchange, queue: str) -> Reply:
    figures: QueueStats = await exchange.call(Stats(queue))
    return reply(PauseState(queue, figures.paused, figures.paused_until))
