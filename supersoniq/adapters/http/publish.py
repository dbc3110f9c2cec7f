"""Publishing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from supersoniq.adapters.http import decode
from supersoniq.adapters.http.described import Body, Gives, described
from supersoniq.adapters.http.endpoint import problem_reply
from supersoniq.adapters.http.exchange import Exchange, Reply, reply, too_large, too_slow
from supersoniq.adapters.http.forms import Progress
from supersoniq.adapters.http.limits import limit
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
    errors=[KeyConflict, ContentTooLarge, QueueFull],
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
    """Publish each full batch of lines, all or nothing, before more is read."""
    exchange.no_query()
    progress = Progress()
    batch: list[Entry] = []
    size = 0

    async def flush() -> None:
        progress.add(await exchange.call(Publish(queue, batch)))
        batch.clear()

    limits = exchange.limits
    try:
        async for number, line in _read_lines(exchange):
            try:
                batch.append(_entry(exchange, line))
            except InvalidArgument as error:
                raise decode.within(error, f"line {number}") from None
            size += len(line)
            if len(batch) >= min(limits.line_batch, limits.max_batch) or size >= limits.max_body:
                await flush()
                size = 0
        if batch:
            await flush()
    except (SupersoniqError, Refusal) as error:
        problem = error.problem if isinstance(error, Refusal) else problem_of(error)
        problem.published = progress
        return problem_reply(problem)
    return reply(progress, 201 if progress.lines > progress.duplicates else 200)


async def _read_lines(exchange: Exchange) -> AsyncIterator[tuple[int, bytes]]:
    """The lines of a body that are not empty, with their numbers, as they arrive."""
    limits = exchange.limits
    rest = bytearray()
    number = 0
    while True:
        try:
            service = exchange.service
            with service.body_deadline(), service.arriving(len(rest)) as arrival:
                chunk = await exchange.receive()
                # What is only part of a line gives no new time.
                while chunk is not None and b"\n" not in chunk and len(rest) <= limits.max_body:
                    rest += chunk
                    arrival.grow(len(chunk))
                    chunk = await exchange.receive()
        except TimeoutError:
            raise too_slow(limits.body_timeout) from None
        rest += chunk or b""
        *lines, tail = rest.split(b"\n")
        if chunk is None and tail:
            lines, tail = [*lines, tail], bytearray()
        rest = tail
        for line in lines:
            number += 1
            if len(line) > limits.max_body:
                raise too_large(limits.max_body)
            if line := line.strip():
                yield number, bytes(line)
        if len(rest) > limits.max_body:
            raise too_large(limits.max_body)
        if chunk is None:
            return


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
