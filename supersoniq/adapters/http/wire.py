"""What travels: a message, on its way in and on its way out.

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

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from supersoniq.adapters.http.media import JSON
from supersoniq.core.errors import InvalidArgument
from supersoniq.core.messages import Entry, Event, Lease, Message, prepare
from supersoniq.core.states import Status
from supersoniq.wire.answers import PublishedOut
from supersoniq.wire.bounds import Base64, ContentType, Headers, Instant, MessageId, QueueName, told
from supersoniq.wire.parts import Options

__all__ = [
    "Encoding",
    "Envelope",
    "EnvelopeShape",
    "EventOut",
    "LeaseOut",
    "MessageOut",
    "PublishQuery",
    "PublishedOut",
    "Verdict",
]

Encoding = Literal["auto", "base64"]


class Envelope(Options):
    """A message to be published, in JSON."""

    content: Annotated[Any, told("Any JSON value. Either this or `content_base64`.")] = UNSET
    content_base64: Base64 | UnsetType = UNSET
    content_type: ContentType | None = None
    headers: Headers | None = None

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


EnvelopeShape = Annotated[
    Envelope,
    msgspec.Meta(
        extra_json_schema={
            "oneOf": [{"required": ["content"]}, {"required": ["content_base64"]}],
        }
    ),
]
"""An envelope, for those who read the schema: with just one content."""


class PublishQuery(Options):
    """The fields of a message whose content is the body as it is."""


class MessageOut(msgspec.Struct, kw_only=True):
    """A message at one moment."""

    id: MessageId
    queue: QueueName
    content: Annotated[msgspec.Raw | str, told("Or `content_base64`.")] | UnsetType = UNSET
    content_base64: Base64 | UnsetType = UNSET
    content_type: ContentType
    headers: dict[str, str]
    sender: str | None
    recipient: str | None
    priority: int
    key: str | None
    created_at: Instant
    available_at: Annotated[Instant, told("When it became, or becomes, ready.")]
    expires_at: Instant | None
    status: Status
    deliveries: Annotated[int, told("Leases that were not released.")]
    reason: Annotated[str, told("Why it is dead, or what its last failure said.")] | None

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

    receipt: Annotated[str, told("What settles this lease.")]
    attempt: Annotated[int, told("Its `deliveries` at this lease.")]
    deadline: Annotated[Instant, told("When the lease ends.")]

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
