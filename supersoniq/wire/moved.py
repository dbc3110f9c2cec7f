"""A message of another store on its way into this one: all that is known of it."""

from __future__ import annotations

from supersoniq.core import checks
from supersoniq.core.errors import InvalidArgument
from supersoniq.core.ids import format_id, parse_id
from supersoniq.core.messages import Message, prepare
from supersoniq.core.states import Status
from supersoniq.wire.bounds import (
    Base64,
    ContentType,
    Headers,
    Instant,
    Key,
    MessageId,
    Priority,
    Recipient,
    Sender,
)
from supersoniq.wire.parts import In

__all__ = ["MessageIn"]

LONGEST_REASON = checks.MAX_REASON + 100
"""Characters: what a consumer said, after why it is dead."""


class MessageIn(In, kw_only=True):
    """A message as it stood in another store."""

    id: MessageId
    content: Base64
    content_type: ContentType
    headers: Headers | None = None
    sender: Sender | None = None
    recipient: Recipient | None = None
    priority: Priority = 0
    key: Key | None = None
    created_at: Instant
    available_at: Instant
    expires_at: Instant | None = None
    status: Status
    deliveries: int = 0
    reason: str | None = None

    def message(self, queue: str) -> Message:
        """The checked message."""
        entry = prepare(
            self.content,
            self.priority,
            0,
            None,
            self.key,
            self.sender,
            self.recipient,
            self.headers,
            self.content_type,
        )
        if self.reason is not None and len(self.reason) > LONGEST_REASON:
            rule = f"takes at most {LONGEST_REASON} characters"
            raise InvalidArgument("reason", self.reason, rule)
        expires_at = self.expires_at
        return Message(
            id=format_id(parse_id(self.id)),
            queue=queue,
            content=entry.content,
            content_type=entry.details.content_type,
            headers=entry.details.headers or {},
            sender=self.sender,
            recipient=self.recipient,
            priority=entry.priority,
            key=self.key,
            created_at=checks.instant("created_at", self.created_at),
            available_at=checks.instant("available_at", self.available_at),
            expires_at=None if expires_at is None else checks.instant("expires_at", expires_at),
            status=self.status,
            deliveries=checks.integer("deliveries", self.deliveries, 0, 2**31 - 1),
            reason=self.reason,
        )

    @classmethod
    def of(cls, message: Message) -> MessageIn:
        """A message in words."""
        fields = {name: getattr(message, name) for name in cls.__struct_fields__}
        return cls(**{**fields, "headers": message.headers or None})
