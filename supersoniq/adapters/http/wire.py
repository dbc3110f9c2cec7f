"""What travels: the shape of every body and query.

**Content.** A message's content is bytes, and JSON cannot say bytes. So it travels as one of:

- ``content``, a JSON value, where its media type is ``application/json``;
- ``content``, a string, where its media type is ``text/*``: the bytes are its UTF-8;
- ``content_base64``, where it is anything else, or is not what its media type says.

The other way round an envelope may leave out ``content_type``: a string is then ``text/plain``, any
other value ``application/json``, and base64 ``application/octet-stream``. A JSON value keeps its
value, not its spelling; who needs every byte asks with ``content=base64``.

Durations are seconds, instants milliseconds since the epoch.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from supersoniq.adapters.http.media import JSON
from supersoniq.core.errors import InvalidArgument
from supersoniq.core.messages import Entry, Event, EventKind, Lease, Message, prepare
from supersoniq.core.ops import QueueStats
from supersoniq.core.policy import Policy
from supersoniq.core.states import Status
from supersoniq.wire.answers import PublishedOut
from supersoniq.wire.parts import In, Options, Seconds

__all__ = [
    "BrowseQuery",
    "Description",
    "Encoding",
    "Envelope",
    "EventOut",
    "EventsQuery",
    "LeaseOut",
    "LeaseRequest",
    "LookQuery",
    "MessageOut",
    "PauseRequest",
    "PublishQuery",
    "PublishedOut",
    "PurgeRequest",
    "RedriveRequest",
    "Verdict",
]

Encoding = Literal["auto", "base64"]


class Envelope(Options):
    """A message to be published, in JSON."""

    content: Any = UNSET
    content_base64: bytes | UnsetType = UNSET
    content_type: str | None = None
    headers: dict[str, str] | None = None

    def entry(self) -> Entry:
        """The checked message.

        Raises:
            InvalidArgument: a field is out of its range, or there is not just one content.
        """
        content, kind = self.content, self.content_type
        if self.content_base64 is not UNSET:
            if content is not UNSET:
                raise InvalidArgument("content", content, "is there beside content_base64")
            content = self.content_base64
        elif content is UNSET:
            raise InvalidArgument("content", None, "is missing, and content_base64 too")
        elif kind is not None and content.__class__ is str and is_json(kind):
            # A JSON string: what Python's publish takes for ready-made text is a value here.
            content = msgspec.json.encode(content)
        return prepare(
            content,
            self.priority,
            self.delay,
            self.ttl,
            self.key,
            self.sender,
            self.recipient,
            self.headers,
            kind,
        )


class PublishQuery(Options):
    """The fields of a message whose content is the body as it is."""


class BrowseQuery(In):
    """Which messages to show."""

    status: str | None = None
    limit: int = 100
    after: str | None = None
    content: Encoding = "auto"


class LookQuery(In):
    """How to show a message."""

    content: Encoding = "auto"


class EventsQuery(In):
    """Which events to tell, and from where."""

    kinds: str = EventKind.PUBLISHED.value
    since: int | None = None
    content: Encoding = "auto"


class LeaseRequest(In):
    """How many messages to lease, and how."""

    limit: int = 1
    wait: Seconds = 0
    lease: Seconds | None = None
    recipient: str | None = None
    content: Encoding = "auto"


class PauseRequest(In):
    """For how long; neither field means until it is resumed."""

    duration: Seconds | None = None
    until: int | None = None


class PurgeRequest(In):
    """What to drop; no status means all that is scheduled, ready or dead."""

    status: str | None = None


class RedriveRequest(In):
    """Which dead messages; no ids means any, oldest first."""

    ids: list[str] | None = None
    limit: int | None = None


class MessageOut(msgspec.Struct, kw_only=True):
    """A message at one moment."""

    id: str
    queue: str
    content: msgspec.Raw | str | UnsetType = UNSET
    content_base64: bytes | UnsetType = UNSET
    content_type: str
    headers: dict[str, str]
    sender: str | None
    recipient: str | None
    priority: int
    key: str | None
    created_at: int
    available_at: int
    expires_at: int | None
    status: Status
    deliveries: int
    reason: str | None

    @classmethod
    def of(cls, message: Message, encoding: Encoding = "auto", **more: Any) -> MessageOut:
        """A message in words."""
        name, value = spell(message.content, message.content_type, encoding)
        more[name] = value
        return cls(
            id=message.id,
            queue=message.queue,
            content_type=message.content_type,
            headers=message.headers,
            sender=message.sender,
            recipient=message.recipient,
            priority=message.priority,
            key=message.key,
            created_at=message.created_at,
            available_at=message.available_at,
            expires_at=message.expires_at,
            status=message.status,
            deliveries=message.deliveries,
            reason=message.reason,
            **more,
        )


class LeaseOut(MessageOut, kw_only=True):
    """A leased message."""

    receipt: str
    attempt: int
    deadline: int

    @classmethod
    def of_lease(cls, lease: Lease, encoding: Encoding) -> MessageOut:
        """A lease in words."""
        return cls.of(
            lease.message(),
            encoding,
            receipt=lease.receipt,
            attempt=lease.attempt,
            deadline=lease.deadline,
        )


class Verdict(msgspec.Struct, omit_defaults=True):
    """What became of one settlement."""

    ok: bool
    deadline: int | None = None
    """The new one, of an extended lease."""
    problem: Any = None
    """A problem document, if it is not ok."""


class Description(msgspec.Struct):
    """A queue."""

    queue: str
    policy: Policy
    stats: QueueStats


class EventOut(msgspec.Struct):
    """Something that happened in a queue."""

    offset: int
    kind: str
    at: int
    message: MessageOut | None

    @classmethod
    def of(cls, event: Event, encoding: Encoding) -> EventOut:
        """An event in words."""
        message = None if event.message is None else MessageOut.of(event.message, encoding)
        return cls(event.offset, event.kind, event.at, message)


def is_json(content_type: str) -> bool:
    """Whether that media type promises a JSON value."""
    return content_type == JSON or content_type.partition(";")[0].strip().lower() == JSON


def spell(content: bytes, kind: str, encoding: Encoding) -> tuple[str, Any]:
    """The field that a content travels in, and its value there."""
    if encoding == "auto":
        try:
            if is_json(kind):
                content.decode()  # the next step would let broken UTF-8 pass
                return "content", msgspec.Raw(msgspec.json.format(content, indent=-1))
            if kind.startswith("text/") and _is_utf8(kind):
                return "content", content.decode()
        except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
            pass
    return "content_base64", content


def _is_utf8(kind: str) -> bool:
    charset = kind.lower().partition("charset=")[2].partition(";")[0].strip(' "')
    return charset in ("", "utf-8", "utf8", "us-ascii")
