"""What became of each operation, as it travels: its shape, and the way there and back.

``spelled`` is the server's half, ``understood`` the client's. A result is most often a struct of
the core as it is; those that hold what cannot travel (an id's 128-bit number, a lease with its
queue's seal, an error) have a shape of their own here.

A server may end its answer early, lest it grow too large. It then says so: fewer answers than
operations mean that the others were not carried out, ``more`` that a page goes on. Either way the
client asks again for the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from supersoniq.core import ops
from supersoniq.core.errors import SupersoniqError, error_from_data
from supersoniq.core.ids import MAX_SEQUENCE, format_id, parse_id
from supersoniq.core.messages import (
    Details,
    Durability,
    Lease,
    Message,
    Past,
    Published,
    Record,
)
from supersoniq.core.ops import Followed, Imported, QueueStats, Taken
from supersoniq.core.policy import Policy
from supersoniq.core.states import Status

__all__ = ["Answer", "Answers", "BrowseOut", "Fault", "spelled", "understood"]


class Fault(msgspec.Struct, frozen=True):
    """A ``SupersoniqError``."""

    code: str
    detail: str
    data: dict[str, Any] = {}

    @classmethod
    def of(cls, error: SupersoniqError) -> Fault:
        """An error in words."""
        return cls(error.code, str(error), error.data)

    def error(self) -> SupersoniqError:
        """The very error."""
        return error_from_data(self.code, self.data, self.detail)


class Answer(msgspec.Struct, omit_defaults=True):
    """What one operation gave: either of the two."""

    ok: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: Fault | None = None


class Answers(msgspec.Struct):
    """What a batch gave."""

    at: int
    """The server's clock, in milliseconds since the epoch."""
    results: list[Answer]
    """In the order of the operations; fewer of them: the others were not carried out."""


class PublishedOut(msgspec.Struct):
    """A stored message."""

    id: str
    duplicate: bool
    durability: Durability


class LeaseOut(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A leased message."""

    id: str
    content: bytes
    content_type: str
    headers: dict[str, str] | None = None
    sender: str | None = None
    recipient: str | None = None
    priority: int = 0
    key: str | None = None
    created_at: int
    available_at: int
    expires_at: int | None = None
    reason: str | None = None
    """What its last failure said."""
    receipt: str
    attempt: int
    deadline: int

    @classmethod
    def of(cls, lease: Lease) -> LeaseOut:
        """A lease in words."""
        record = lease.record
        details = record.details
        return cls(
            id=format_id(record.number(lease.seal)),
            content=record.content,
            content_type=details.content_type,
            headers=details.headers,
            sender=details.sender,
            recipient=details.recipient,
            priority=record.priority,
            key=details.key,
            created_at=record.created_at,
            available_at=record.available_at,
            expires_at=details.expires_at,
            reason=record.reason(),
            receipt=lease.receipt,
            attempt=lease.attempt,
            deadline=lease.deadline,
        )

    def lease(self, queue: str) -> Lease:
        """The lease, as far as its consumer can tell it from one of a store in the same process."""
        number = parse_id(self.id)
        details = Details(
            self.content_type,
            self.headers,
            self.sender,
            self.recipient,
            self.key,
            self.expires_at,
        )
        record = Record(
            sequence=number & MAX_SEQUENCE,
            content=self.content,
            details=details,
            priority=self.priority,
            created_at=self.created_at,
            available_at=self.available_at,
            status=Status.LEASED,
            leases=self.attempt,
            until=self.deadline,
            past=None if self.reason is None else Past(failure=self.reason),
        )
        stamp = FarSeal(number & ~MAX_SEQUENCE, self.receipt)
        return Lease(queue, record, stamp, 0, self.attempt, self.deadline)


class FarSeal(msgspec.Struct, frozen=True, gc=False):
    """The id and receipt of one lease, where the seal that made them is in another process."""

    base: int
    text: str

    def prefix(self, created_at: int) -> int:
        """All of the message's id but its sequence."""
        return self.base

    def receipt(self, sequence: int, term: int, created_at: int = 0) -> str:
        """The lease's receipt."""
        return self.text


class TakenOut(msgspec.Struct, omit_defaults=True):
    """``Taken``."""

    leases: list[LeaseOut]
    wake_in: int | None = None
    length: int = 0


class BrowseOut(msgspec.Struct, omit_defaults=True):
    """A page of messages."""

    messages: list[Message]
    more: bool = False
    """There are more of those that were asked for: go on after the last one."""


class VerdictOut(msgspec.Struct, omit_defaults=True):
    """What became of one settlement: nothing more to say, a deadline, or an error."""

    deadline: int | None = None
    error: Fault | None = None

    @classmethod
    def of(cls, verdict: ops.Verdict) -> VerdictOut | None:
        """A verdict in words; the usual one is ``null``."""
        if verdict is None:
            return None
        if isinstance(verdict, SupersoniqError):
            return cls(error=Fault.of(verdict))
        return cls(deadline=verdict)

    def verdict(self) -> ops.Verdict:
        """The verdict."""
        return self.deadline if self.error is None else self.error.error()


def spelled(op: ops.AnyOp, result: Any) -> Any:
    """A result that is no error, in words that every format has."""
    spell = _SPELLED.get(type(op))
    return result if spell is None else spell(result)


def understood(op: ops.AnyOp, raw: bytes) -> Any:
    """The result of an operation from its MessagePack form.

    Browsing gives a ``BrowseOut``, all others what the port says.

    Raises:
        msgspec.MsgspecError, ValueError: it cannot be one.
    """
    value = _DECODERS[type(op)].decode(raw)
    read = _READ.get(type(op))
    return value if read is None else read(op, value)


_SPELLED: dict[type[Any], Callable[[Any], Any]] = {
    ops.Publish: lambda stored: [
        PublishedOut(each.id, each.duplicate, each.durability) for each in stored
    ],
    ops.Take: lambda taken: TakenOut(
        [*map(LeaseOut.of, taken.leases)], taken.wake_in, taken.length
    ),
    ops.Settle: lambda verdicts: [*map(VerdictOut.of, verdicts)],
}
_READ: dict[type[Any], Callable[[Any, Any], Any]] = {
    ops.Publish: lambda op, stored: [
        Published(parse_id(each.id), each.duplicate, each.durability) for each in stored
    ],
    ops.Take: lambda op, taken: Taken(
        [each.lease(op.queue) for each in taken.leases], taken.wake_in, taken.length
    ),
    ops.Settle: lambda op, verdicts: [
        None if each is None else each.verdict() for each in verdicts
    ],
}
_SHAPES: dict[type[Any], Any] = {
    ops.Publish: list[PublishedOut],
    ops.Take: TakenOut,
    ops.Settle: list[VerdictOut | None],
    ops.Look: Message,
    ops.Browse: BrowseOut,
    ops.Redrive: int,
    ops.Purge: int,
    ops.Configure: Policy,
    ops.Describe: Policy,
    ops.Stats: QueueStats,
    ops.Queues: list[str],
    ops.Explain: str,
    ops.Follow: Followed,
    ops.Import: Imported,
    **dict.fromkeys((ops.Cancel, ops.Pause, ops.Resume, ops.Delete), None),
}
_DECODERS = {kind: msgspec.msgpack.Decoder(shape) for kind, shape in _SHAPES.items()}
