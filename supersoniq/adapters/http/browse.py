"""Looking at messages, and taking them back."""

from __future__ import annotations

from urllib.parse import urlencode

from msgspec import UNSET

from supersoniq.adapters.http.described import Gives, described
from supersoniq.adapters.http.exchange import Exchange, Reply, reply
from supersoniq.adapters.http.forms import BrowseQuery, Explanation, LookQuery
from supersoniq.adapters.http.media import JSON
from supersoniq.adapters.http.wire import MessageOut
from supersoniq.api.queue import status_of
from supersoniq.auth.scopes import Verb
from supersoniq.core import checks
from supersoniq.core.errors import (
    IllegalMove,
    InvalidId,
    MessageLeased,
    MessageNotFound,
    QueueNotFound,
)
from supersoniq.core.ids import format_id, parse_id
from supersoniq.core.messages import Message
from supersoniq.core.ops import Browse, Cancel, Explain, Look

__all__ = ["browse", "cancel", "explain", "look"]

PAGE = 100
"""Messages on a page, unless asked otherwise."""
FIRST_STEP, LAST_STEP = 4, 64
"""Messages that are read from a store at a time: at first, and at most."""


@described(
    takes=[Verb.BROWSE],
    query=BrowseQuery,
    gives={200: Gives.json("A page, in publish order.", list[MessageOut], fields=["Link"])},
    errors=[InvalidId, QueueNotFound, MessageNotFound],
    refusals=(503,),
)
async def browse(exchange: Exchange) -> Reply:
    """``GET .../messages``: in publish order, a page with a ``Link`` to the next one."""
    exchange.accepts(JSON)
    queue = exchange.queue()
    asked = exchange.query(BrowseQuery)
    most = exchange.limits.max_batch
    limit = min(PAGE, most) if asked.limit is UNSET else asked.limit
    checks.integer("limit", limit, 1, most)
    after = None if asked.after is None else _cursor(asked.after)
    op = Browse(queue, status_of(asked.status), after, limit)
    answers = exchange.service.answers
    async with answers.reading():
        room = answers.room(exchange.limits.max_answer)
        found, more = await _read(exchange, op, room)
        answers.admit(sum(len(message.content) for message in found))
        page = [MessageOut.of(message, asked.content) for message in found]
        links: list[tuple[bytes, bytes]] = []
        if more:
            query = {**exchange.parameters(), "after": page[-1].id}
            address = exchange.address(f"{exchange.at_queue()}/messages")
            links.append((b"link", b'<%s?%s>; rel="next"' % (address, urlencode(query).encode())))
        return reply(page, 200, links)


async def _read(exchange: Exchange, op: Browse, room: int) -> tuple[list[Message], bool]:
    """A page of as many bytes as there is room for, and whether there may be more after it.

    A store that copies what it gives (all but memory do) is asked for a few at a time: only what it
    has given tells how large they are.
    """
    direct = exchange.engine.backend.direct is not None
    found: list[Message] = []
    step = op.limit if direct else FIRST_STEP
    while True:
        after = parse_id(found[-1].id) if found else op.after
        part = Browse(op.queue, op.status, after, min(step, op.limit - len(found)))
        got: list[Message] = await exchange.call(part)
        for message in got:
            room -= len(message.content)
            if room < 0 and found:
                return found, True
            found.append(message)
        if len(got) < part.limit:
            return found, False
        if len(found) == op.limit:
            return found, True
        step = min(2 * step, LAST_STEP)


@described(
    takes=[Verb.BROWSE],
    query=LookQuery,
    gives={200: Gives.json("It.", MessageOut)},
    refusals=(503,),
    errors=[QueueNotFound, MessageNotFound],
)
async def look(exchange: Exchange) -> Reply:
    """``GET .../messages/{id}``."""
    exchange.accepts(JSON)
    queue, number = exchange.queue(), exchange.id()
    encoding = exchange.query(LookQuery).content
    message: Message = await exchange.call(Look(queue, number))
    exchange.service.answers.admit(len(message.content))
    # A promised request has no Authorization, by which a cache would know that it is not for all.
    fields = [] if exchange.caller is None else [(b"cache-control", b"no-store")]
    if exchange.promised:  # to where it was published, as RFC 8030 has it (section 6)
        address = exchange.address(f"{exchange.at_queue()}/messages")
        fields.append((b"link", b'<%s>; rel="urn:ietf:params:push"' % address))
    return reply(MessageOut.of(message, encoding), 200, fields)


@described(
    takes=[Verb.MANAGE],
    gives={204: Gives("It is gone.")},
    errors=[QueueNotFound, MessageNotFound, IllegalMove, MessageLeased],
    picky=False,
)
async def cancel(exchange: Exchange) -> Reply:
    """``DELETE .../messages/{id}``."""
    queue, number = exchange.queue(), exchange.id()
    exchange.no_query()
    await exchange.call(Cancel(queue, number))
    return Reply(204)


@described(
    takes=[Verb.BROWSE],
    gives={200: Gives.json("Why, in a sentence.", Explanation)},
    errors=[QueueNotFound, MessageNotFound],
)
async def explain(exchange: Exchange) -> Reply:
    """``GET .../messages/{id}/explanation``: why it is not being delivered."""
    exchange.accepts(JSON)
    queue, number = exchange.queue(), exchange.id()
    exchange.no_query()
    sentence: str = await exchange.call(Explain(queue, number))
    return reply(Explanation(format_id(number), queue, sentence))


def _cursor(after: str) -> int:
    """The number of the message id in a query.

    Raises:
        InvalidId: it is none.
    """
    try:
        return parse_id(after)
    except InvalidId as error:
        raise InvalidId("after", after, error.problem) from None
