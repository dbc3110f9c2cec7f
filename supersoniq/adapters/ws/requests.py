"""What each type of request does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from supersoniq.adapters.http import decode
from supersoniq.adapters.http.feed import Feed
from supersoniq.adapters.http.problems import problem_of
from supersoniq.adapters.http.wire import Verdict
from supersoniq.adapters.ws.broadcast import Broadcast
from supersoniq.adapters.ws.frames import (
    Credit,
    Listen,
    Ok,
    Operations,
    Ping,
    Publish,
    Renew,
    Request,
    Settle,
    Subscribe,
    Unsubscribe,
)
from supersoniq.adapters.ws.operations import listen, operations
from supersoniq.adapters.ws.replies import ITEM
from supersoniq.adapters.ws.session import Handler, Session
from supersoniq.adapters.ws.subscriptions import Subscription
from supersoniq.adapters.ws.work import Work
from supersoniq.api.watch import event_kinds
from supersoniq.core import checks, ops
from supersoniq.core.errors import InvalidArgument, RateLimited, SupersoniqError
from supersoniq.core.messages import Entry, EventKind, Published
from supersoniq.core.policy import MAX_LEASE, MIN_LEASE
from supersoniq.wire.answers import PublishedOut

__all__ = ["HANDLERS"]


def publish(session: Session, asked: Publish, size: int) -> None:
    """``publish``: all or none."""
    queue = checks.queue_name(asked.queue)
    _count(session, "messages", asked.messages)
    entries: list[Entry] = []
    for number, message in enumerate(asked.messages):
        try:
            entries.append(message.entry())
        except InvalidArgument as error:
            raise decode.within(error, f"messages[{number}]") from None

    def answer(stored: list[Published]) -> Ok:
        told = [PublishedOut(each.id, each.duplicate, each.durability) for each in stored]
        return Ok(id=asked.id, published=told)

    direct = session.engine.direct
    if not entries:
        session.replies.put(answer([]))
    elif len(entries) == 1 and direct is not None:  # the short way, as over HTTP
        session.replies.put(answer([direct.publish(queue, entries[0])]))
    else:
        size = max(size, ITEM * len(entries))
        session.replies.call(asked.id, ops.Publish(queue, entries), size, answer)


def settle(session: Session, asked: Settle, size: int) -> None:
    """``settle``: a verdict each."""
    queue = checks.queue_name(asked.queue)
    _count(session, "settlements", asked.settlements)
    held = session.held
    given: list[ops.Settlement] = []
    wrong: dict[int, SupersoniqError] = {}
    for number, each in enumerate(asked.settlements):
        try:
            given.append(each.settlement())
        except InvalidArgument as error:
            wrong[number] = decode.within(error, f"settlements[{number}]")
    settlements = [held.begin(queue, each) for each in given]

    def answer(verdicts: Sequence[ops.Verdict]) -> Ok:
        held.end(given, settlements, verdicts)
        told = list(map(_verdict, verdicts))
        for number, error in wrong.items():
            told.insert(number, _verdict(error))
        return Ok(id=asked.id, verdicts=told)

    if not settlements:
        session.replies.put(answer([]))
        return
    size = max(size, ITEM * len(asked.settlements))
    op = ops.Settle(queue, settlements)
    session.replies.call(asked.id, op, size, answer, lambda: held.end(given, settlements, None))


def subscribe(session: Session, asked: Subscribe, _size: int) -> None:
    """``subscribe``, in either mode."""
    queue = checks.queue_name(asked.queue)
    foreign = ("since", "kinds") if asked.mode == "work" else ("credit", "lease", "recipient")
    for field in foreign:
        if (value := getattr(asked, field)) is not None:
            raise InvalidArgument(field, value, f"means nothing with the mode {asked.mode}")
    if session.subscriptions.crowded:
        raise RateLimited(1)
    if asked.mode == "work":
        _work(session, asked, queue)
    else:
        kinds = event_kinds(asked.kinds if asked.kinds is not None else (EventKind.PUBLISHED,))
        if asked.since is not None:
            checks.integer("since", asked.since, 0, 2**63 - 1)
        # It has its number, and so its place, from now on: many of them cannot slip past the bound.
        number = session.subscriptions.next_number()
        session.subscriptions.start(number, _broadcast(session, asked, queue, kinds, number))


def _work(session: Session, asked: Subscribe, queue: str) -> None:
    if asked.credit is None:
        raise InvalidArgument("credit", None, "is missing")
    _affordable(session, asked.credit, None)
    if asked.recipient is not None:
        checks.label("recipient", asked.recipient, checks.MAX_SUBJECT)
    length = None
    if asked.lease is not None:
        length = checks.duration("lease", asked.lease, MIN_LEASE, MAX_LEASE)
    session.permit(ops.Take(queue, 1, asked.recipient))
    number = session.subscriptions.next_number()
    session.replies.put(Ok(id=asked.id, subscription=number))
    work = Work(session, number, queue, asked.credit, asked.recipient, length, asked.content)
    session.subscriptions.keep(work)


async def _broadcast(
    session: Session, asked: Subscribe, queue: str, kinds: frozenset[EventKind], number: int
) -> None:
    """Look where it starts, say so, and begin."""
    try:
        await session.service.call(session.engine, ops.Follow(queue))
        feed = Feed(session.own, queue, asked.since, kinds, _there)
        try:
            await feed.start()
            offset, missed = feed.offset, False
            if asked.since is not None:
                offset = asked.since
                first = await feed.next(0)
                if first is not None and first.kind is EventKind.GAP:
                    offset, missed = first.offset, True
                elif first is not None:
                    feed.rewind(offset)
        except BaseException:
            feed.stop()
            raise
    except SupersoniqError as error:
        session.replies.refuse(error, asked.id)
        return
    assert offset is not None
    session.replies.put(Ok(id=asked.id, subscription=number, offset=offset, missed=missed))
    session.subscriptions.keep(Broadcast(session, number, feed, offset, asked.content))


async def _there() -> None:
    """The queue has been looked for already."""


def credit(session: Session, asked: Credit, _size: int) -> None:
    """``credit``: a new one for a subscription."""
    found = _subscription(session, asked.subscription)
    if not isinstance(found, Work):
        raise InvalidArgument("subscription", asked.subscription, "has no credit: it broadcasts")
    _affordable(session, asked.credit, found)
    session.replies.put(Ok(id=asked.id, subscription=found.number))
    found.set_credit(asked.credit)


def unsubscribe(session: Session, asked: Unsubscribe, _size: int) -> None:
    """``unsubscribe``: no more; what was delivered is still to be settled."""
    found = _subscription(session, asked.subscription)
    session.subscriptions.stop(found.number)
    session.replies.put(Ok(id=asked.id, subscription=found.number))


def renew(session: Session, asked: Renew, size: int) -> None:
    """``renew``: until when that token holds."""

    async def job() -> None:
        expires = await session.renew(asked.token)
        session.replies.put(Ok(id=asked.id, expires_at=int(expires * 1000)))

    session.replies.work(asked.id, size, job())


def ping(session: Session, asked: Ping, _size: int) -> None:
    """``ping``: yes."""
    session.replies.put(Ok(id=asked.id))


HANDLERS: dict[type[Request], Handler] = {
    Publish: publish,
    Settle: settle,
    Subscribe: subscribe,
    Credit: credit,
    Unsubscribe: unsubscribe,
    Operations: operations,
    Listen: listen,
    Renew: renew,
    Ping: ping,
}


def _subscription(session: Session, number: int) -> Subscription:
    found = session.subscriptions.active.get(number)
    if found is None:
        raise InvalidArgument("subscription", number, "is none of this connection")
    return found


def _affordable(session: Session, credit: int, instead_of: Work | None) -> None:
    """Check a credit: with all others, and what ended subscriptions left unsettled, not too much.

    Raises:
        InvalidArgument: it is no credit, or they are too many together.
    """
    most = session.limits.max_credit
    checks.integer("credit", credit, 0, most)
    live = [each for each in session.subscriptions.active.values() if isinstance(each, Work)]
    given = sum(max(each.credit, each.unsettled) for each in live if each is not instead_of)
    left = len(session.held) - sum(each.unsettled for each in live)
    if given + left + credit > most:
        rule = f"with all else that this connection may hold it is over {most}"
        raise InvalidArgument("credit", credit, rule)


def _count(session: Session, field: str, items: list[Any]) -> None:
    most = session.limits.max_batch
    if len(items) > most:
        raise InvalidArgument(field, len(items), f"takes at most {most} at once")


def _verdict(result: ops.Verdict) -> Verdict:
    if result is None:
        return _DONE
    if isinstance(result, SupersoniqError):
        return Verdict(False, problem=msgspec.to_builtins(problem_of(result)))
    return Verdict(True, result)


_DONE = Verdict(True)
