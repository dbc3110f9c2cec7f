"""Messages, as users see them and as the core keeps them.

A user publishes content with options (``Draft``); ``prepare`` checks them into an ``Entry``. A
queue keeps a ``Record``: small and mutable, made for millions. Everything about it that is seldom
there or seldom unique stands apart: ``Details`` never changes and is shared by all plain messages
of a content type; ``Past`` exists only once something went other than straight. A consumer gets a
``Lease``: one term of one record. And everybody looks at a message through ``Message``, a
snapshot.

The structs that live in numbers are ``gc=False``: the cyclic collector would otherwise rescan the
whole backlog over and over (four to six times slower publishing, measured). That is sound because
none of them can be part of a cycle.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any, Literal

import msgspec

from supersoniq.core import checks
from supersoniq.core.errors import HIDDEN, InvalidArgument
from supersoniq.core.ids import Stamp, format_id, id_number
from supersoniq.core.states import Status

__all__ = [
    "DAMAGED",
    "PLAIN",
    "Content",
    "Details",
    "Draft",
    "Durability",
    "Duration",
    "Entry",
    "Event",
    "EventKind",
    "Lease",
    "Message",
    "Past",
    "Published",
    "Record",
    "damaged",
    "is_damaged",
    "prepare",
    "prepare_item",
]

Content = (
    bytes | bytearray | memoryview | str | int | float | bool | None | list[Any] | dict[str, Any]
)
"""What can be published: bytes, text, or any JSON value."""
Duration = float | timedelta
"""Seconds."""
Durability = Literal["memory", "os", "disk", "replicated"]
"""What a stored message survives: nothing, the process, power loss, the machine."""

BYTES = "application/octet-stream"
TEXT = "text/plain; charset=utf-8"
JSON = "application/json"


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message at one moment. Instants are milliseconds since the Unix epoch."""

    id: str
    """UUIDv7."""
    queue: str
    content: bytes
    content_type: str
    headers: dict[str, str]
    sender: str | None
    recipient: str | None
    """If there is one, only a consumer that asks as it gets the message."""
    priority: int
    """-32768 to 32767; higher is sooner."""
    key: str | None
    """Deduplication key."""
    created_at: int
    available_at: int
    """When it became, or becomes, ready."""
    expires_at: int | None
    status: Status
    deliveries: int
    """How often it has been leased, released leases not counted."""
    reason: str | None
    """Why it is dead, or what its last failure said."""

    def text(self) -> str:
        """The content as UTF-8 text.

        Raises:
            UnicodeDecodeError: it is not UTF-8.
        """
        return self.content.decode()

    def json(self) -> Any:
        """The content as a JSON value.

        Raises:
            ValueError: it is not JSON.
        """
        return json.loads(self.content)


class Published(msgspec.Struct, frozen=True, gc=False):
    """What ``publish`` returns. ``id`` is the message's id in text."""

    number: int
    duplicate: bool
    """The key was known: nothing was stored, and ``id`` is the first message's."""
    durability: Durability
    """What the stored message survives."""

    @property
    def id(self) -> str:
        """The message's id, made on demand since most publishers never look."""
        return format_id(self.number)

    def __repr__(self) -> str:
        return (
            f"Published(id={self.id!r}, duplicate={self.duplicate}, durability={self.durability!r})"
        )


class Details(msgspec.Struct, frozen=True, gc=False):
    """What does not change in a message's life, but for its expiry when it is redriven."""

    content_type: str
    headers: dict[str, str] | None = None
    sender: str | None = None
    recipient: str | None = None
    key: str | None = None
    expires_at: int | None = None
    checksum: int | None = None
    """CRC-32 of the content, where the store is a medium that can rot."""
    origin: int | None = None
    """The number of its id, where that was made by another store, from which it was moved."""


class Past(msgspec.Struct, gc=False):
    """What happened to a message that did not go straight."""

    outcomes: str = ""
    """A letter for each lease that ended, oldest first; only the last 32."""
    reason: str | None = None
    """``rejected``, ``max_deliveries``, ``expired``, ``corrupt``."""
    failure: str | None = None
    """What the last nack or reject said."""
    uncounted: int = 0
    """Leases that are no deliveries: released ones, and those before a redrive."""


class Record(msgspec.Struct, gc=False):
    """A message as a queue keeps it. Only ``supersoniq.core.rules`` changes one.

    Each field costs eight bytes a message, and sizes go in steps of 16: what is seldom there
    belongs into ``Past``.
    """

    sequence: int
    """Place in commit order, for life."""
    content: bytes
    details: Details
    priority: int
    created_at: int
    available_at: int
    status: Status | None = None
    leases: int = 0
    """Leases so far, counted or not: the number of the newest term."""
    until: int = 0
    """Leased: the deadline. Done, dead: when it is forgotten."""
    past: Past | None = None

    @property
    def deliveries(self) -> int:
        """Leases that count."""
        past = self.past
        return self.leases if past is None else self.leases - past.uncounted

    def number(self, seal: Stamp) -> int:
        """Of its id: made by this queue's seal, unless it was moved here with the one it had."""
        origin = self.details.origin
        return id_number(self.created_at, seal, self.sequence) if origin is None else origin

    def reason(self) -> str | None:
        """Why it is dead, or what its last failure said."""
        past = self.past
        if past is None:
            return None
        if past.reason is not None and self.status is Status.DEAD:
            return f"{past.reason}: {past.failure}" if past.failure else past.reason
        return past.failure

    def snapshot(self, queue: str, seal: Stamp, gone_from: Status = Status.DONE) -> Message:
        """The message as users see it now; one that is gone, with the status it had last."""
        details = self.details
        return Message(
            id=format_id(self.number(seal)),
            queue=queue,
            content=self.content,
            content_type=details.content_type,
            headers=dict(details.headers) if details.headers else {},
            sender=details.sender,
            recipient=details.recipient,
            priority=self.priority,
            key=details.key,
            created_at=self.created_at,
            available_at=self.available_at,
            expires_at=details.expires_at,
            status=self.status or gone_from,
            deliveries=self.deliveries,
            reason=self.reason(),
        )


DAMAGED = "corrupt: the content is not what was published"
"""The ``reason`` of a message that failed its checksum when somebody looked at it. Nothing else has
changed yet: a consumer's turn at it would set it aside."""


def damaged(message: Message) -> Message:
    """A message that failed its checksum, as users see it."""
    return message if is_damaged(message) else msgspec.structs.replace(message, reason=DAMAGED)


def is_damaged(message: Message) -> bool:
    """Whether it was set aside as corrupt, or was seen to be."""
    reason = message.reason or ""
    aside = message.status is Status.DEAD and reason.partition(":")[0] == "corrupt"
    return aside or reason == DAMAGED


class Lease(msgspec.Struct, gc=False):
    """One term of one message: what a consumer holds. Never changes, so that it can be compared."""

    queue: str
    record: Record
    seal: Stamp
    term: int
    attempt: int
    """The message's ``deliveries`` at this lease."""
    deadline: int

    @property
    def receipt(self) -> str:
        """The opaque text that settles this lease from anywhere."""
        return self.seal.receipt(self.record.sequence, self.term, self.record.created_at)

    def message(self) -> Message:
        """The message as it was leased."""
        seen = self.record.snapshot(self.queue, self.seal)
        if seen.status is Status.LEASED and seen.deliveries == self.attempt:
            return seen
        return msgspec.structs.replace(seen, status=Status.LEASED, deliveries=self.attempt)


class EventKind(StrEnum):
    """What an event tells: a move of the state table, or a gap in what can be told."""

    PUBLISHED = "published"
    DUE = "due"
    LEASED = "leased"
    ACKED = "acked"
    NACKED = "nacked"
    RELEASED = "released"
    REJECTED = "rejected"
    EXTENDED = "extended"
    LAPSED = "lapsed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    REDRIVEN = "redriven"
    PURGED = "purged"
    FORGOTTEN = "forgotten"
    CORRUPTED = "corrupted"
    GAP = "gap"
    """Events before this offset are lost to this watcher; look at the queue afresh."""


class Event(msgspec.Struct, frozen=True):
    """Something that happened in a queue."""

    offset: int
    """Grows with every event of the queue; resume with ``watch(since=offset)``."""
    kind: EventKind
    at: int
    """Milliseconds since the Unix epoch."""
    message: Message | None
    """The message right after it; ``None`` for a gap."""


class Draft:
    """A message to be: content and the options of ``publish``, for ``publish_many``.

    Args:
        content: bytes, text, or any JSON value.
        priority: -32768 to 32767, higher is sooner.
        delay: seconds until it is ready, 0 to ten years.
        ttl: seconds until it expires if nobody holds it, over 0 to ten years; ``None`` is never.
        key: deduplication key, 1 to 256 characters.
        sender, recipient: 1 to 256 characters.
        headers: at most 64, 16 Ki characters in all.
        content_type: a media type; by default the one that fits the content's Python type.

    Raises:
        InvalidArgument: one of them is not so. Nothing is checked against a queue yet.
    """

    __slots__ = ("entry",)

    def __init__(
        self,
        content: Content,
        *,
        priority: int = 0,
        delay: Duration = 0,
        ttl: Duration | None = None,
        key: str | None = None,
        sender: str | None = None,
        recipient: str | None = None,
        headers: Mapping[str, str] | None = None,
        content_type: str | None = None,
    ) -> None:
        self.entry = prepare(
            content, priority, delay, ttl, key, sender, recipient, headers, content_type
        )

    def __repr__(self) -> str:
        return f"Draft({self.entry!r})"


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A checked draft: what a queue stores. Durations in milliseconds."""

    content: bytes
    details: Details
    """Without its expiry: that depends on when it is published."""
    priority: int = 0
    delay: int = 0
    ttl: int | None = None


_BYTES, _TEXT, _JSON = Details(BYTES), Details(TEXT), Details(JSON)
PLAIN = {details.content_type: details for details in (_BYTES, _TEXT, _JSON)}
"""What most messages share: a content type, and nothing else is said of them."""
_encode_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def prepare(
    content: Content,
    priority: int = 0,
    delay: Duration = 0,
    ttl: Duration | None = None,
    key: str | None = None,
    sender: str | None = None,
    recipient: str | None = None,
    headers: Mapping[str, str] | None = None,
    content_type: str | None = None,
) -> Entry:
    """Check one message's content and options. See ``Draft`` for ranges and errors."""
    body, details = (content, _BYTES) if content.__class__ is bytes else _encode(content)
    if content_type is not None:
        kind = checks.content_type(content_type)
        details = PLAIN.get(kind) or Details(kind)
    if key is not None or sender is not None or recipient is not None or headers is not None:
        details = Details(
            content_type=details.content_type,
            headers=checks.headers(headers),
            sender=None if sender is None else checks.label("sender", sender, checks.MAX_SUBJECT),
            recipient=None
            if recipient is None
            else checks.label("recipient", recipient, checks.MAX_SUBJECT),
            key=None if key is None else checks.label("key", key, checks.MAX_KEY),
        )
    if priority.__class__ is not int or not -32768 <= priority <= 32767:
        checks.priority(priority)
    wait = 0 if delay.__class__ is int and delay == 0 else checks.duration("delay", delay)
    if ttl is None:
        return Entry(body, details, priority, wait)
    life = checks.duration("ttl", ttl)
    if life == 0:
        raise InvalidArgument("ttl", ttl, "takes more than 0 seconds")
    return Entry(body, details, priority, wait, life)


def prepare_item(item: Content | Draft) -> Entry:
    """Check one item of a batch: a content, or a ``Draft``, which has been checked."""
    return item.entry if isinstance(item, Draft) else prepare(item)


def _encode(content: Content) -> tuple[bytes, Details]:
    if isinstance(content, bytes):
        return content, _BYTES
    if isinstance(content, str):
        try:
            return content.encode(), _TEXT
        except UnicodeEncodeError as error:
            raise InvalidArgument("content", HIDDEN, f"is not valid text: {error}") from None
    if isinstance(content, bytearray | memoryview):
        return bytes(content), _BYTES
    try:
        return _encode_json(content).encode(), _JSON
    except (TypeError, ValueError, RecursionError) as error:
        problem = f"is neither bytes, text nor a JSON value: {error}"
        raise InvalidArgument("content", HIDDEN, problem) from None
