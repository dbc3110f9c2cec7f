"""Who may do what to a queue: the table of verbs, and the one check that every door passes.

Whatever the door, what it wants of the queues is an operation. So this is asked of operations, not
of routes or frames, and a new door cannot forget it; a new operation without a verb fails a test.

With a caller known, ``sender`` is who the token says, and ``recipient`` of a consumer can be nobody
else.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import msgspec

from supersoniq.auth.scopes import Verb
from supersoniq.auth.tokens import Caller
from supersoniq.core import ops
from supersoniq.core.errors import AuthenticationFailed, PermissionDenied
from supersoniq.core.messages import PLAIN, Details, Entry
from supersoniq.core.ops import AnyOp

__all__ = ["VERBS", "admit", "allows", "permitted", "sign", "verb_of"]

VERBS: dict[type[ops.Op], tuple[Verb, ...]] = {
    ops.Publish: (Verb.PUBLISH,),
    ops.Take: (Verb.CONSUME,),
    ops.Settle: (Verb.CONSUME,),
    ops.Look: (Verb.BROWSE,),
    ops.Browse: (Verb.BROWSE,),
    ops.Explain: (Verb.BROWSE,),
    ops.Describe: (Verb.BROWSE, Verb.MANAGE),
    ops.Stats: (Verb.METRICS, Verb.BROWSE, Verb.MANAGE),
    ops.Follow: (Verb.WATCH,),
    ops.Cancel: (Verb.MANAGE,),
    ops.Redrive: (Verb.MANAGE,),
    ops.Purge: (Verb.MANAGE,),
    ops.Pause: (Verb.MANAGE,),
    ops.Resume: (Verb.MANAGE,),
    ops.Configure: (Verb.MANAGE,),
    ops.Delete: (Verb.MANAGE,),
    ops.Import: (Verb.MANAGE,),
}
"""Any of them is enough. ``Queues`` is not here: everybody gets the names that they may see."""
MOST_GRANTED = 100
"""Queues of which is kept, for each kind of operation, that a caller may do it there."""


def verb_of(kind: type[ops.Op]) -> tuple[Verb, ...]:
    """The verbs of which one allows that operation."""
    return VERBS[kind]


def allows(caller: Caller, kind: type[ops.Op], queue: str) -> bool:
    """Whether a word of the caller's scope allows such an operation on a queue."""
    granted = caller.scopes.granted
    if queue in granted[kind]:
        return True
    if not any(caller.scopes.allow(verb, queue) for verb in VERBS[kind]):
        return False
    if len(granted[kind]) >= MOST_GRANTED:
        granted[kind].clear()
    granted[kind].add(queue)
    return True


def permitted(caller: Caller, op: AnyOp, now: float) -> AnyOp:
    """The operation as this caller may do it.

    Args:
        caller: whose it is.
        op: what is asked for.
        now: seconds since the epoch.

    Raises:
        AuthenticationFailed: the caller's token has expired.
        PermissionDenied: no word of its scope allows that.
    """
    kind = op.__class__  # for these classes ``isinstance`` takes as long as all the rest
    if kind is not ops.Settle:
        if isinstance(op, ops.Publish):
            admit(caller, ops.Publish, op.queue, now)
            return ops.Publish(op.queue, sign_all(op.entries, caller.subject))
        if isinstance(op, ops.Queues):
            if now >= caller.expires:
                raise AuthenticationFailed("the token has expired")
            return op
    admit(caller, kind, op.queue, now)  # type: ignore[arg-type, union-attr]
    if kind is ops.Take and op.recipient not in (None, caller.subject):  # type: ignore[union-attr]
        raise PermissionDenied("recipient may only be the token's own sub")
    return op


def admit(caller: Caller, kind: type[ops.Op], queue: str, now: float) -> None:
    """Refuse an operation on a queue, unless this caller may do such there.

    Raises:
        AuthenticationFailed, PermissionDenied: as above.
    """
    if now >= caller.expires:
        raise AuthenticationFailed("the token has expired")
    if queue not in caller.scopes.granted[kind] and not allows(caller, kind, queue):
        needed = " or ".join(f"{verb}:{queue}" for verb in VERBS[kind])
        raise PermissionDenied(f"that takes the scope {needed}")


def sign(entry: Entry, sender: str) -> Entry:
    """An entry as its sender publishes it. O(1)."""
    details = entry.details
    if details.sender == sender:
        return entry
    own = _signed(details, sender)
    return Entry(entry.content, own, entry.priority, entry.delay, entry.ttl)


def sign_all(entries: Sequence[Entry], sender: str) -> list[Entry]:
    """The same for many, of which neighbours mostly share their details. O(1) each."""
    done: list[Entry] = []
    before: Details | None = None
    for entry in entries:
        details = entry.details
        if details.sender != sender:
            if details is not before:
                before, own = details, _signed(details, sender)
            entry = Entry(entry.content, own, entry.priority, entry.delay, entry.ttl)
        done.append(entry)
    return done


def _signed(details: Details, sender: str) -> Details:
    kind = details.content_type
    if details is PLAIN.get(kind) or details == Details(kind):
        return _plain(kind, sender)
    return msgspec.structs.replace(details, sender=sender)


@lru_cache(1000)
def _plain(content_type: str, sender: str) -> Details:
    """What most messages of a sender share: nothing else is said of them."""
    return Details(content_type, sender=sender)
