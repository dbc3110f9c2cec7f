"""Every operation of the port as it travels: its shape, and the way there and back.

``written`` is the client's half, ``OpIn.op`` the server's: it checks what came as a face checks
what its caller gave, since whoever sends a batch need not be our client. A name in ``op`` says
which operation it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Union

import msgspec

from supersoniq.core import checks, ops
from supersoniq.core.errors import InvalidArgument
from supersoniq.core.ids import format_id, parse_id
from supersoniq.core.messages import Entry, EventKind, Message, prepare
from supersoniq.core.policy import MAX_LEASE, MIN_LEASE, Policy, changed
from supersoniq.core.states import Status
from supersoniq.wire.bounds import (
    Base64,
    ContentType,
    Delay,
    Headers,
    Instant,
    LeaseTime,
    MessageId,
    QueueName,
    Recipient,
)
from supersoniq.wire.moved import MessageIn
from supersoniq.wire.parts import In, Options, SettlementIn, SettlementShape, milliseconds, seconds

__all__ = ["AnyOpIn", "OpIn", "written"]


class OpIn(In, tag_field="op"):
    """An operation on one queue."""

    queue: QueueName

    def op(self) -> ops.AnyOp:
        """The checked operation.

        Raises:
            InvalidArgument: a field is out of its range. InvalidName, InvalidId, InvalidPolicy too.
        """
        raise NotImplementedError

    def _on(self) -> str:
        return checks.queue_name(self.queue)


class EntryIn(Options, kw_only=True):
    """A message to be stored."""

    content: Base64
    content_type: ContentType
    headers: Headers | None = None

    def entry(self) -> Entry:
        """The checked message."""
        return prepare(
            self.content,
            self.priority,
            self.delay,
            self.ttl,
            self.key,
            self.sender,
            self.recipient,
            self.headers,
            self.content_type,
        )

    @classmethod
    def of(cls, entry: Entry) -> EntryIn:
        """A message in words."""
        details = entry.details
        return cls(
            content=entry.content,
            content_type=details.content_type,
            headers=details.headers,
            priority=entry.priority,
            delay=seconds(entry.delay) or 0,
            ttl=seconds(entry.ttl),
            key=details.key,
            sender=details.sender,
            recipient=details.recipient,
        )


class PublishIn(OpIn, tag="publish"):
    """``ops.Publish``."""

    messages: list[EntryIn]

    def op(self) -> ops.AnyOp:
        _count("messages", self.messages)
        entries: list[Entry] = []
        for number, message in enumerate(self.messages):
            try:
                entries.append(message.entry())
            except InvalidArgument as error:
                field = f"messages[{number}].{error.field}"
                raise type(error)(field, error.value, error.problem) from None
        return ops.Publish(self._on(), entries)


class TakeIn(OpIn, tag="take"):
    """``ops.Take``."""

    limit: int = 1
    recipient: Recipient | None = None
    lease: LeaseTime | None = None
    max_bytes: int | None = None

    def op(self) -> ops.AnyOp:
        checks.integer("limit", self.limit, 1, checks.MAX_BATCH)
        if self.max_bytes is not None:
            checks.integer("max_bytes", self.max_bytes, 1, 2**53)
        if self.recipient is not None:
            checks.label("recipient", self.recipient, checks.MAX_SUBJECT)
        length = milliseconds("lease", self.lease, MIN_LEASE, MAX_LEASE)
        return ops.Take(self._on(), self.limit, self.recipient, length, self.max_bytes)


class SettleIn(OpIn, tag="settle"):
    """``ops.Settle``."""

    settlements: list[SettlementShape]

    def op(self) -> ops.AnyOp:
        _count("settlements", self.settlements)
        return ops.Settle(self._on(), [each.settlement() for each in self.settlements])


class LookIn(OpIn, tag="look"):
    """``ops.Look``."""

    id: MessageId

    def op(self) -> ops.AnyOp:
        return ops.Look(self._on(), parse_id(self.id))


class BrowseIn(OpIn, tag="browse"):
    """``ops.Browse``."""

    status: Status | None = None
    after: MessageId | None = None
    limit: int = 100

    def op(self) -> ops.AnyOp:
        checks.integer("limit", self.limit, 1, checks.MAX_BATCH)
        after = None if self.after is None else parse_id(self.after)
        return ops.Browse(self._on(), self.status, after, self.limit)


class CancelIn(OpIn, tag="cancel"):
    """``ops.Cancel``."""

    id: MessageId

    def op(self) -> ops.AnyOp:
        return ops.Cancel(self._on(), parse_id(self.id))


class RedriveIn(OpIn, tag="redrive"):
    """``ops.Redrive``."""

    ids: list[MessageId] | None = None
    limit: int | None = None

    def op(self) -> ops.AnyOp:
        if self.limit is not None:
            checks.integer("limit", self.limit, 1, 2**40)
        if self.ids is None:
            return ops.Redrive(self._on(), None, self.limit)
        _count("ids", self.ids)
        return ops.Redrive(self._on(), [parse_id(id) for id in self.ids], self.limit)


class PurgeIn(OpIn, tag="purge"):
    """``ops.Purge``."""

    status: Status | None = None
    ids: list[MessageId] | None = None

    def op(self) -> ops.AnyOp:
        if self.ids is None:
            return ops.Purge(self._on(), self.status)
        _count("ids", self.ids)
        return ops.Purge(self._on(), self.status, [parse_id(id) for id in self.ids])


class PauseIn(OpIn, tag="pause"):
    """``ops.Pause``."""

    until: Instant | None = None
    duration: Delay | None = None

    def op(self) -> ops.AnyOp:
        until = None if self.until is None else checks.instant("until", self.until)
        return ops.Pause(self._on(), until, milliseconds("duration", self.duration))


class ResumeIn(OpIn, tag="resume"):
    """``ops.Resume``."""

    def op(self) -> ops.AnyOp:
        return ops.Resume(self._on())


class ConfigureIn(OpIn, tag="configure"):
    """``ops.Configure``."""

    changes: dict[str, Any] = msgspec.field(default_factory=dict)

    def op(self) -> ops.AnyOp:
        changed(Policy(), self.changes)
        return ops.Configure(self._on(), self.changes)


class ImportIn(OpIn, tag="import"):
    """``ops.Import``."""

    messages: list[MessageIn]
    policy: dict[str, Any] = msgspec.field(default_factory=dict)
    paused: bool = False
    paused_until: Instant | None = None

    def op(self) -> ops.AnyOp:
        _count("messages", self.messages)
        changed(Policy(), self.policy)
        until = self.paused_until
        messages: list[Message] = []
        for number, message in enumerate(self.messages):
            try:
                messages.append(message.message(self.queue))
            except InvalidArgument as error:
                field = f"messages[{number}].{error.field}"
                raise type(error)(field, error.value, error.problem) from None
        return ops.Import(
            self._on(),
            messages,
            self.policy,
            self.paused,
            None if until is None else checks.instant("paused_until", until),
        )


class DescribeIn(OpIn, tag="describe"):
    """``ops.Describe``."""

    def op(self) -> ops.AnyOp:
        return ops.Describe(self._on())


class DeleteIn(OpIn, tag="delete"):
    """``ops.Delete``."""

    def op(self) -> ops.AnyOp:
        return ops.Delete(self._on())


class StatsIn(OpIn, tag="stats"):
    """``ops.Stats``."""

    def op(self) -> ops.AnyOp:
        return ops.Stats(self._on())


class QueuesIn(In, tag_field="op", tag="queues"):
    """``ops.Queues``."""

    def op(self) -> ops.AnyOp:
        """The operation."""
        return ops.Queues()


class ExplainIn(OpIn, tag="explain"):
    """``ops.Explain``."""

    id: MessageId

    def op(self) -> ops.AnyOp:
        return ops.Explain(self._on(), parse_id(self.id))


class FollowIn(OpIn, tag="follow"):
    """``ops.Follow``."""

    since: int | None = None
    kinds: tuple[EventKind, ...] = (EventKind.PUBLISHED,)
    limit: int = 1000

    def op(self) -> ops.AnyOp:
        checks.integer("limit", self.limit, 1, checks.MAX_BATCH)
        if self.since is not None:
            checks.integer("since", self.since, 0, 2**63 - 1)
        kinds = frozenset(self.kinds)
        if not kinds or EventKind.GAP in kinds:
            raise InvalidArgument("kinds", "", "takes some kinds, and gap comes by itself")
        return ops.Follow(self._on(), self.since, kinds, self.limit)


AnyOpIn = Union[  # noqa: UP007  # a type that is used as a value
    PublishIn, TakeIn, SettleIn, LookIn, BrowseIn, CancelIn, RedriveIn, PurgeIn, PauseIn, ResumeIn,
    ConfigureIn, DescribeIn, DeleteIn, StatsIn, QueuesIn, ExplainIn, FollowIn, ImportIn,
]  # fmt: skip
"""What a batch is a list of."""


def written(op: ops.AnyOp) -> In:
    """An operation as it travels.

    Raises:
        InvalidPolicy: a change of a policy is none; whatever else is in an operation has been
            checked when it was made.
    """
    return _WRITTEN[type(op)](op)


def _configure(op: ops.Configure) -> In:
    changed(Policy(), op.changes)
    return ConfigureIn(queue=op.queue, changes=_plain(op.changes))


def _plain(value: Any) -> Any:
    """A policy's value in what every format can say."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.asdict(value)
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    return value


def _redrive(op: ops.Redrive) -> In:
    ids = None if op.ids is None else [format_id(number) for number in op.ids]
    return RedriveIn(queue=op.queue, ids=ids, limit=op.limit)


def _browse(op: ops.Browse) -> In:
    after = None if op.after is None else format_id(op.after)
    return BrowseIn(queue=op.queue, status=op.status, after=after, limit=op.limit)


def _take(op: ops.Take) -> In:
    lease = seconds(op.duration)
    return TakeIn(
        queue=op.queue,
        limit=op.limit,
        recipient=op.recipient,
        lease=lease,
        max_bytes=op.max_bytes,
    )


_WRITTEN: dict[type[Any], Callable[[Any], In]] = {
    ops.Publish: lambda op: PublishIn(queue=op.queue, messages=[*map(EntryIn.of, op.entries)]),
    ops.Take: _take,
    ops.Settle: lambda op: SettleIn(
        queue=op.queue, settlements=[*map(SettlementIn.of, op.settlements)]
    ),
    ops.Look: lambda op: LookIn(queue=op.queue, id=format_id(op.id)),
    ops.Browse: _browse,
    ops.Cancel: lambda op: CancelIn(queue=op.queue, id=format_id(op.id)),
    ops.Redrive: _redrive,
    ops.Purge: lambda op: PurgeIn(
        queue=op.queue,
        status=op.status,
        ids=None if op.ids is None else [*map(format_id, op.ids)],
    ),
    ops.Pause: lambda op: PauseIn(queue=op.queue, until=op.until, duration=seconds(op.duration)),
    ops.Resume: lambda op: ResumeIn(queue=op.queue),
    ops.Configure: _configure,
    ops.Import: lambda op: ImportIn(
        queue=op.queue,
        messages=[*map(MessageIn.of, op.messages)],
        policy=_plain(op.policy),
        paused=op.paused,
        paused_until=op.paused_until,
    ),
    ops.Describe: lambda op: DescribeIn(queue=op.queue),
    ops.Delete: lambda op: DeleteIn(queue=op.queue),
    ops.Stats: lambda op: StatsIn(queue=op.queue),
    ops.Queues: lambda op: QueuesIn(),
    ops.Explain: lambda op: ExplainIn(queue=op.queue, id=format_id(op.id)),
    ops.Follow: lambda op: FollowIn(
        queue=op.queue, since=op.since, kinds=tuple(op.kinds), limit=min(op.limit, checks.MAX_BATCH)
    ),
}


def _count(field: str, items: list[Any]) -> None:
    if len(items) > checks.MAX_BATCH:
        raise InvalidArgument(field, len(items), f"takes at most {checks.MAX_BATCH} at once")
