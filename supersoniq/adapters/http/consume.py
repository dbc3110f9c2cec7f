"""Leasing and settling."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Annotated, Any

import msgspec

from supersoniq.adapters.access import uncounted
from supersoniq.adapters.http import decode
from supersoniq.adapters.http.described import Body, Gives, described
from supersoniq.adapters.http.exchange import Exchange, Gone, Reply, reply
from supersoniq.adapters.http.forms import LeaseRequest
from supersoniq.adapters.http.limits import limit
from supersoniq.adapters.http.media import JSON
from supersoniq.adapters.http.problems import problem_of
from supersoniq.adapters.http.wire import LeaseOut, Verdict
from supersoniq.api.engine import Engine
from supersoniq.api.waiting import Batch
from supersoniq.auth.scopes import Verb
from supersoniq.core import checks
from supersoniq.core.errors import InvalidArgument, QueueNotFound, SupersoniqError
from supersoniq.core.messages import Lease
from supersoniq.core.ops import Settle, Settlement
from supersoniq.core.policy import MAX_LEASE, MIN_LEASE
from supersoniq.wire.bounds import told
from supersoniq.wire.parts import SettlementIn, SettlementShape

Settlements = Annotated[
    list[SettlementShape],
    told("One that cannot be has a verdict of its own.", maxItems=limit("max_batch")),
]
__all__ = ["lease", "settle"]

TURNS = 3
"""Of the event loop, from a hang-up that the system knows of until a ``Presence`` does."""


@described(
    takes=[Verb.CONSUME],
    body=Body({JSON: LeaseRequest}, required=False),
    gives={200: Gives.json("Those leased; none if there was none in time.", list[LeaseOut])},
    refusals=(503,),
)
async def lease(exchange: Exchange) -> None:
    """``POST .../leases``: messages as soon as there are any, or none after ``wait``.

    A client that leaves while it waits takes nothing, and what cannot be sent to it is released
    at once, uncounted.
    """
    exchange.accepts(JSON)
    exchange.no_query()
    queue = exchange.queue()
    asked = decode.convert(await exchange.json({}), LeaseRequest)
    limits = exchange.limits
    checks.integer("limit", asked.limit, 1, limits.max_batch)
    wait = checks.duration("wait", asked.wait, 0, limits.max_wait) / 1000
    if asked.recipient is not None:
        checks.label("recipient", asked.recipient, checks.MAX_SUBJECT)
    length = None
    if asked.lease is not None:
        length = checks.duration("lease", asked.lease, MIN_LEASE, MAX_LEASE)

    engine = exchange.engine
    answers = exchange.service.answers

    def take(engine: Engine, seconds: float) -> Coroutine[Any, Any, Batch]:
        return engine.take(
            queue,
            asked.limit,
            recipient=asked.recipient,
            duration=length,
            wait=seconds,
            max_bytes=answers.room(limits.max_answer),
        )

    held: Sequence[Lease] = ()
    try:
        with exchange.service.place(exchange.caller if wait else None):
            direct = engine.backend.direct is not None
            if direct:
                held = (await take(engine, 0)).leases  # at once: nobody can leave meanwhile
            if not held and (wait or not direct):
                taking = take(uncounted(engine) if direct else engine, wait)
                held = await _patiently(exchange, taking)
        held, surplus = _fitting(held, answers.room(limits.max_answer))
        engine.release_soon(surplus)
        answers.admit(sum(len(each.record.content) for each in held))
        answer = [LeaseOut.of_lease(each, asked.content) for each in held]
        await exchange.answer(reply(answer))
    except BaseException:
        engine.release_soon(held)
        raise


async def _patiently(exchange: Exchange, taking: Coroutine[Any, Any, Batch]) -> Sequence[Lease]:
    """What a take gives; nothing if the server stops meanwhile.

    Raises:
        Gone: the client left meanwhile; what it should have got is released.
    """
    engine = exchange.engine
    held: Sequence[Lease] = ()
    with exchange.presence() as presence:
        task = asyncio.ensure_future(taking)
        try:
            await asyncio.wait((task, presence.over), return_when=asyncio.FIRST_COMPLETED)
            held = await _ended(task)
            for _ in range(TURNS if held else 0):
                # Whoever has hung up by now is noticed before the answer goes into the void.
                await asyncio.sleep(0)
            if presence.gone:
                raise Gone
        except BaseException:
            engine.release_soon(held or await _ended(task))
            raise
    return held


async def _ended(task: asyncio.Task[Batch]) -> Sequence[Lease]:
    """What a take has got, ending it if it still waits."""
    if not task.done():
        task.cancel()  # it releases what it gets from now on
        await asyncio.wait((task,))
    return () if task.cancelled() else task.result().leases


def _fitting(held: Sequence[Lease], size: int) -> tuple[Sequence[Lease], Sequence[Lease]]:
    """As many as fit into one answer, at least one, and the others."""
    for count, each in enumerate(held):
        size -= len(each.record.content)
        if size < 0:
            return held[: count or 1], held[count or 1 :]
    return held, ()


@described(
    takes=[Verb.CONSUME],
    body=Body({JSON: Settlements}),
    gives={200: Gives.json("A verdict on each, in their order.", list[Verdict])},
    errors=[QueueNotFound],
)
async def settle(exchange: Exchange) -> Reply:
    """``POST .../settlements``: end or extend leases; a verdict for each, in their order."""
    exchange.accepts(JSON)
    exchange.no_query()
    queue = exchange.queue()
    asked = await exchange.json()
    if not isinstance(asked, list):
        raise InvalidArgument("body", asked, "takes an array of settlements")
    if len(asked) > exchange.limits.max_batch:
        rule = f"takes at most {exchange.limits.max_batch} settlements at once"
        raise InvalidArgument("body", len(asked), rule)
    answers: list[Verdict | None] = []
    settlements: list[Settlement] = []
    for number, each in enumerate(asked):
        try:
            settlements.append(decode.convert(each, SettlementIn).settlement())
            answers.append(None)
        except InvalidArgument as error:
            answers.append(_verdict(decode.within(error, f"[{number}]")))
    if settlements:
        results = iter(await exchange.engine.call(Settle(queue, settlements)))
        answers = [_verdict(next(results)) if each is None else each for each in answers]
    return reply(answers)


def _verdict(result: int | SupersoniqError | None) -> Verdict:
    if isinstance(result, SupersoniqError):
        return Verdict(False, problem=msgspec.to_builtins(problem_of(result)))
    return Verdict(True, result)
