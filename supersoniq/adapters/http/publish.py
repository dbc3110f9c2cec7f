"""Publishing."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from supersoniq.adapters.http import decode
from supersoniq.adapters.http.described import Body, Gives, described
from supersoniq.adapters.http.endpoint import problem_reply
from supersoniq.adapters.http.exchange import Exchange, Reply, reply
from supersoniq.adapters.http.forms import Progress
from supersoniq.adapters.http.limits import limit
from supersoniq.adapters.http.lines import Lines
from supersoniq.adapters.http.media import JSON, NDJSON
from supersoniq.adapters.http.problems import Refusal, problem_of
from supersoniq.adapters.http.wire import Envelope, EnvelopeShape, PublishedOut, PublishQuery
from supersoniq.auth.scopes import Verb
from supersoniq.core.errors import (
    ContentTooLarge,
    InvalidArgument,
    KeyConflict,
    QueueFull,
    SupersoniqError,
    TooManyQueues,
)
from supersoniq.core.messages import Entry, Published, prepare
from supersoniq.core.ops import Publish
from supersoniq.wire.bounds import Headers, told

__all__ = ["publish"]

Envelopes = Annotated[
    list[EnvelopeShape],
    told("Stored as a whole or not at all.", maxItems=limit("max_batch")),
]
Stored = (PublishedOut, list[PublishedOut], Progress)
HEADER = "headers."


@described(
    takes=[Verb.PUBLISH],
    query=PublishQuery,
    free=(HEADER, Headers),
    body=Body(
        {JSON: (EnvelopeShape, Envelopes), NDJSON: EnvelopeShape, "*/*": None}, required=False
    ),
    gives={
        200: Gives.json("All were duplicates.", Stored, fields=["Location"]),
        201: Gives.json("Stored at that durability.", Stored, fields=["Location"], found=True),
    },
    errors=[KeyConflict, ContentTooLarge, QueueFull, TooManyQueues],
    grows=True,
)
async def publish(exchange: Exchange) -> Reply:
    """``POST /messages``: one envelope, an array, lines, or the content itself."""
    exchange.accepts(JSON)
    queue = exchange.queue()
    kind = exchange.media_type()
    if kind == JSON:
        return await _envelopes(exchange, queue)
    if kind == NDJSON:
        return await _lines(exchange, queue)
    content = await exchange.body()
    return await _one(exchange, queue, _as_it_is(exchange, content))


async def _envelopes(exchange: Exchange, queue: str) -> Reply:
    exchange.no_query()
    raw = await exchange.body()
    if raw.lstrip(b" \t\r\n")[:1] != b"[":
        return await _one(exchange, queue, _entry(exchange, raw))
    items = decode.items(raw)
    if len(items) > exchange.limits.max_batch:
        rule = f"takes at most {exchange.limits.max_batch} messages at once"
        raise InvalidArgument("body", len(items), rule)
    entries: list[Entry] = []
    for number, item in enumerate(items):
        try:
            entries.append(_entry(exchange, bytes(item)))
        except InvalidArgument as error:
            raise decode.within(error, f"[{number}]") from None
    if not entries:
        return reply([])
    stored: list[Published] = await exchange.call(Publish(queue, entries))
    fresh = not all(each.duplicate for each in stored)
    return reply([_told(each) for each in stored], 201 if fresh else 200)


async def _one(exchange: Exchange, queue: str, entry: Entry) -> Reply:
    direct = exchange.engine.direct
    if direct is not None:  # at once: a coroutine in between costs as much as the work
        stored: Published = direct.publish(queue, entry)
    else:
        (stored,) = await exchange.call(Publish(queue, (entry,)))
    told = _told(stored)
    location = (b"location", exchange.address(f"{exchange.at_queue()}/messages/{told.id}"))
    return reply(told, 200 if told.duplicate else 201, [location])


async def _lines(exchange: Exchange, queue: str) -> Reply:
    exchange.no_query()

    async def store(batch: list[Entry]) -> list[Published]:
        stored: list[Published] = await exchange.call(Publish(queue, batch))
        return stored

    lines = Lines(exchange, partial(_entry, exchange), store)
    progress = lines.progress
    try:
        await lines.publish()
    except (SupersoniqError, Refusal) as error:
        if isinstance(error, Refusal):
            problem = error.problem
        else:
            problem = problem_of(error)
            exchange.service.refused(error, exchange.scope)
        problem.published = progress
        return problem_reply(problem)
    return reply(progress, 201 if progress.lines > progress.duplicates else 200)


def _entry(exchange: Exchange, raw: bytes) -> Entry:
    value = decode.loads(raw, exchange.limits.max_depth)
    return decode.convert(value, Envelope).entry()


def _as_it_is(exchange: Exchange, content: bytes) -> Entry:
    headers: dict[str, str] = {}
    fields: dict[str, str] = {}
    for name, value in exchange.parameters().items():
        if name.startswith(HEADER):
            headers[name.removeprefix(HEADER)] = value
        else:
            fields[name] = value
    options: PublishQuery = decode.convert(fields, PublishQuery, texts=True)
    return prepare(
        content,
        options.priority,
        options.delay,
        options.ttl,
        options.key,
        options.sender,
        options.recipient,
        headers or None,
        exchange.header(b"content-type"),
    )


def _told(stored: Published) -> PublishedOut:
    return PublishedOut(stored.id, stored.duplicate, stored.durability)
