"""The language of the port: every call that can be made to a queue, as data.

A face turns a user's call into one of these; a backend executes a batch of them; the machine is
their meaning (``Machine.apply``). An operation is checked when it is made (names, ranges), so a
backend never sees a bad one. Durations are milliseconds, except in a policy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec

from supersoniq.core.errors import SupersoniqError
from supersoniq.core.messages import Entry, Event, EventKind, Lease, Message
from supersoniq.core.states import Status

__all__ = [
    "Browse",
    "Cancel",
    "AnyOp",
    "Configure",
    "Delete",
    "Describe",
    "Explain",
    "Follow",
    "Followed",
    "Import",
    "Imported",
    "Look",
    "Op",
    "Outcome",
    "Pause",
    "Publish",
    "Purge",
    "QueueStats",
    "Queues",
    "Redrive",
    "Resume",
    "Settle",
    "Settlement",
    "Stats",
    "Take",
    "Taken",
    "Verdict",
]


class Outcome(StrEnum):
    """What a consumer says of its lease."""

    ACK = "ack"
    NACK = "nack"
    RELEASE = "release"
    REJECT = "reject"
    EXTEND = "extend"


class Settlement(msgspec.Struct, frozen=True, gc=False):
    """One verdict of a consumer on one lease."""

    receipt: Lease | str
    """The lease itself, where it was taken from this very store object, or its receipt."""
    outcome: Outcome
    delay: int | None = None
    """nack, release: milliseconds until it is ready again; ``None``: the backoff, or at once."""
    reason: str | None = None
    """nack, reject: what failed."""
    duration: int | None = None
    """extend: milliseconds from now; ``None``: the queue's lease."""


Verdict = int | None | SupersoniqError
"""Of one settlement: an error, or done; an extension gives its new deadline."""


class Op(msgspec.Struct, frozen=True):
    """A call to one queue."""

    queue: str


class Publish(Op, frozen=True):
    """Store messages, all of them or none. Makes the queue. Gives ``list[Published]``.

    Raises:
        ContentTooLarge, InvalidArgument, KeyConflict, QueueFull, StorageFull: nothing was stored.
    """

    entries: Sequence[Entry]


class Take(Op, frozen=True):
    """Lease up to ``limit`` ready messages, in order, without waiting. Gives ``Taken``.

    A queue that does not exist has none.
    """

    limit: int = 1
    recipient: str | None = None
    duration: int | None = None
    """Milliseconds; ``None``: the queue's lease."""
    max_bytes: int | None = None
    """Give no more once what is given has about so many bytes of content, 1 or more; what would
    have come next stays ready. ``None``: only ``limit`` counts, and what the store can hold."""


class Settle(Op, frozen=True):
    """End or extend leases; each gets its own verdict. Gives ``list[Verdict]``."""

    settlements: Sequence[Settlement]


class Look(Op, frozen=True):
    """Give the ``Message`` of an id's number.

    Raises:
        QueueNotFound, MessageNotFound
    """

    id: int


class Browse(Op, frozen=True):
    """Give up to ``limit`` messages in publish order, after that id. Takes no lease.

    The cursor stays good when its message is gone.

    Raises:
        QueueNotFound
        MessageNotFound: ``after`` is no id of this queue.
    """

    status: Status | None = None
    after: int | None = None
    limit: int = 100


class Cancel(Op, frozen=True):
    """Drop a message that nobody holds.

    Raises:
        QueueNotFound, MessageNotFound
        MessageLeased: somebody does hold it.
        IllegalMove: it is done.
    """

    id: int


class Redrive(Op, frozen=True):
    """Make dead messages ready again, deliveries back to 0. Gives their number.

    Args:
        ids: just these; all of them must be dead. ``None``: any, in publish order.
        limit: at most so many; ``None``: no limit.

    Raises:
        QueueNotFound, MessageNotFound
        IllegalMove: one of ``ids`` is not dead. None was moved.
    """

    ids: Sequence[int] | None = None
    limit: int | None = None


class Purge(Op, frozen=True):
    """Drop every message of a status, or all that are scheduled, ready or dead. Gives their number.

    Those of ``ids`` were moved to another store: of them, what nobody holds is dropped (of the
    status, if one is given; done ones, too), and what is not here is passed over. That they were
    ever imported is forgotten, so that they can come back by ``Import``.

    Raises:
        QueueNotFound
        IllegalMove: ``status`` is leased.
    """

    status: Status | None = None
    ids: Sequence[int] | None = None
    """Only these; ``None``: all."""


class Pause(Op, frozen=True):
    """Stop giving leases, until an instant or until ``Resume``. Everything else goes on.

    Raises:
        QueueNotFound
    """

    until: int | None = None
    """Milliseconds since the epoch."""
    duration: int | None = None
    """Or milliseconds from now, on the store's clock."""


class Resume(Op, frozen=True):
    """Give leases again. Resuming a queue that is not paused changes nothing.

    Raises:
        QueueNotFound
    """


class Configure(Op, frozen=True):
    """Change fields of the policy; makes the queue. Gives the whole ``Policy``.

    What is already stored keeps the times it was given.

    Raises:
        InvalidPolicy: nothing was changed.
    """

    changes: Mapping[str, Any] = {}


class Describe(Op, frozen=True):
    """Give the ``Policy``.

    Raises:
        QueueNotFound
    """


class Delete(Op, frozen=True):
    """Drop the queue and all it holds. Its receipts are void, its name can be used anew.

    Raises:
        QueueNotFound
    """


class Import(Op, frozen=True):
    """Store messages as they stood in another store, ids and all. Makes the queue. Gives
    ``Imported``.

    Each is stored once, however often it comes: its id is remembered for as long as it is there,
    and for ``core.imports.REMEMBERED`` in any case. All are stored or none. They line up behind
    what is there, in their order. One that was leased is ready, its receipts are void; those that
    are done or dead are kept for a whole ``keep_done`` or ``keep_dead``. A key holds for the rest
    of its window, unless it is in use here. Limits of length and size are for publishers: what a
    queue has once accepted, another one takes.

    Raises:
        IllegalMove: one of them is in this very queue, where it was published. None was stored.
        InvalidPolicy, StorageFull: none was stored.
    """

    messages: Sequence[Message] = ()
    policy: Mapping[str, Any] = {}
    """Of a queue that is made by this; one that is there keeps its own."""
    paused: bool = False
    """Whether a queue that is made by this is paused."""
    paused_until: int | None = None
    """And until when; ``None``: until ``Resume``."""


class Stats(Op, frozen=True):
    """Give ``QueueStats``, of one moment.

    Raises:
        QueueNotFound
    """


class Queues(msgspec.Struct, frozen=True):
    """Give the names of all queues, sorted."""


class Explain(Op, frozen=True):
    """Give a sentence that says why the message is not being delivered.

    Raises:
        QueueNotFound, MessageNotFound
    """

    id: int


class Follow(Op, frozen=True):
    """Give the events after an offset: ``Followed``. Keeps their recording switched on.

    Events are recorded only while somebody follows, and ``LINGER`` after the last call.

    Raises:
        QueueNotFound
    """

    since: int | None = None
    """``None``: none yet, just where to begin."""
    kinds: frozenset[EventKind] = frozenset({EventKind.PUBLISHED})
    limit: int = 1000


AnyOp = Op | Queues


class Taken(msgspec.Struct, frozen=True):
    """What ``Take`` gives."""

    leases: list[Lease]
    wake_in: int | None = None
    """Milliseconds after which time alone may make more ready; ``None``: it will not."""
    length: int = 0
    """Of the leases, in milliseconds."""


class Imported(msgspec.Struct, frozen=True):
    """What ``Import`` gives."""

    tag: str
    """What tells this queue from every other one of any store."""
    stored: int
    """Messages that had not been here before."""


class Followed(msgspec.Struct, frozen=True):
    """What ``Follow`` gives."""

    events: list[Event]
    offset: int
    """Where to go on."""
    wake_in: int | None = None
    """Milliseconds after which time alone may cause an event."""


class QueueStats(msgspec.Struct, frozen=True, kw_only=True):
    """A queue at one moment.

    ``published = scheduled + ready + leased + dead + acked + expired + cancelled + purged +
    forgotten`` holds in every one of them.
    """

    queue: str
    scheduled: int
    ready: int
    leased: int
    done: int
    """Acknowledged and still kept; part of ``acked``."""
    dead: int
    published: int
    """Stored, duplicates not counted."""
    acked: int
    expired: int
    """Dropped at the end of their ``ttl``; those that became dead are among ``dead``."""
    cancelled: int
    purged: int
    forgotten: int
    """Dead ones past ``keep_dead``."""
    leases: int
    nacked: int
    released: int
    rejected: int
    lapsed: int
    redriven: int
    corrupt: int
    duplicates: int
    """Publishes answered with an earlier message."""
    stale: int
    """Settlements refused as ``LeaseLost``."""
    paused: bool
    paused_until: int | None
