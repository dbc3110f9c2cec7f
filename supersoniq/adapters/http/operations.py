"""The port itself over HTTP: batches of operations, and when to look again.

What the Python client speaks. A batch travels as one request, so that a hundred calls cost one
round trip and, behind it, one transaction; every operation in it stands and fails by itself. And
instead of a long poll for each consumer that waits, one stream tells in which queues something
stirred.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated, Any

import msgspec

from supersoniq.adapters.http import decode
from supersoniq.adapters.http.batches import CONTENTS, GAP, Batch, Ear, Step, checked
from supersoniq.adapters.http.described import Body, Gives, described
from supersoniq.adapters.http.exchange import Exchange, Gone, Reply, encode
from supersoniq.adapters.http.forms import StirsLine, StirsRequest
from supersoniq.adapters.http.limits import limit
from supersoniq.adapters.http.media import JSON, MSGPACK, NDJSON
from supersoniq.adapters.http.problems import Refusal
from supersoniq.core import checks
from supersoniq.core.errors import InvalidArgument, InvalidName
from supersoniq.wire.answers import Answers
from supersoniq.wire.bounds import told
from supersoniq.wire.operations import AnyOpIn

__all__ = ["operations", "stirs"]

TURNS = 3
"""Of the event loop, from a hang-up that the system knows of until a ``Presence`` does."""

_packed = msgspec.msgpack.Decoder(list[AnyOpIn])
_pack = msgspec.msgpack.Encoder().encode
Operations = Annotated[
    list[AnyOpIn],
    told(
        "Each is carried out, and fails, by itself. In MessagePack contents are bytes, not base64.",
        maxItems=limit("max_batch"),
    ),
]


@described(
    any_scope=True,
    body=Body({JSON: Operations, MSGPACK: Operations}, limit="max_batch_body"),
    gives={200: Gives("What each gave, in their order.", {JSON: Answers, MSGPACK: Answers})},
    refusals=(503,),
    picky=False,
)
async def operations(exchange: Exchange) -> None:
    """``POST /operations``: carry out a batch; an answer each, in their order."""
    exchange.no_query()
    kind = exchange.media_type() or JSON
    if kind not in (JSON, MSGPACK):
        raise Refusal(415, f"takes {MSGPACK} or {JSON}, not {kind}", takes=[MSGPACK, JSON])
    raw = await exchange.body(exchange.limits.max_batch_body)
    steps = [checked(each) for each in _asked(exchange, kind, raw)]
    put = _pack if kind == MSGPACK else encode
    service = exchange.service
    room = service.answers.room(exchange.limits.max_answer)
    work = Batch(exchange.engine, put, room, partial(service.refused, scope=exchange.scope))
    try:
        if work.engine.direct is not None:
            await work.carry_out(steps)  # at once: nobody can leave meanwhile
        else:
            await _watched(exchange, work, steps)
        reply = Reply(200, put(work.answers), kind)
        gives = all(isinstance(step, CONTENTS) for step in steps)
        del raw
        steps.clear()  # what they hold is not needed for as long as the answer takes
        if gives:
            # Nothing has changed that does not change back. What others did must be told.
            exchange.service.answers.admit(len(reply.body))
        await exchange.answer(reply)
    except BaseException:
        work.abandon()
        raise


def _asked(exchange: Exchange, kind: str, raw: bytes) -> list[Any]:
    try:
        if kind == MSGPACK:
            asked = _packed.decode(raw)
        else:
            asked = msgspec.convert(decode.loads(raw, exchange.limits.max_depth), list[AnyOpIn])
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise InvalidArgument("body", None, f"is no batch of operations: {error}") from None
    if len(asked) > exchange.limits.max_batch:
        rule = f"takes at most {exchange.limits.max_batch} operations at once"
        raise InvalidArgument("body", len(asked), rule)
    return asked


async def _watched(exchange: Exchange, work: Batch, steps: list[Step]) -> None:
    """Carry them out; if the client leaves meanwhile, what was leased for it is released.

    Raises:
        Gone: it has left. What it asked for is done all the same.
    """
    with exchange.presence() as presence:
        await work.carry_out(steps)
        for _ in range(TURNS if work.leased else 0):
            await asyncio.sleep(0)
        if presence.gone:
            raise Gone


@described(
    any_scope=True,
    body=Body({JSON: StirsRequest}),
    gives={200: Gives("Until the client leaves.", {NDJSON: StirsLine})},
    errors=[InvalidName],
    store=False,
    picky=False,
)
async def stirs(exchange: Exchange) -> None:
    """``POST /stirs``: a line whenever something in one of these queues may be ready or told.

    Until the client leaves or the server stops.
    """
    exchange.no_query()
    asked = decode.convert(await exchange.json(), StirsRequest)
    if not 0 < len(asked.queues) <= exchange.limits.max_batch:
        rule = f"takes 1 to {exchange.limits.max_batch} queues"
        raise InvalidArgument("queues", len(asked.queues), rule)
    names = {checks.queue_name(name) for name in asked.queues}
    engine = exchange.engine
    ear = Ear()
    stop = ear.attend(engine, names)
    try:
        await exchange.while_present(partial(_tell, exchange, ear))
        await exchange.piece(b"", last=True)
    finally:
        stop()


async def _tell(exchange: Exchange, ear: Ear) -> None:
    fields = [(b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]
    await exchange.begin(NDJSON, fields)
    pause = exchange.limits.keep_alive
    await exchange.piece(encode({"kind": "listening", "keep_alive": pause}) + b"\n")
    while True:
        stirred = await ear.listen(pause)
        if not stirred:
            await exchange.piece(b'{"kind":"alive"}\n')
            continue
        await exchange.piece(encode({"kind": "stirred", "queues": stirred}) + b"\n")
        await asyncio.sleep(GAP)  # a busy queue is told of now and then, not at every message
