"""Every frame, both ways. ``docs/websocket.md`` says what each field means.

A client's frame has a ``type`` and an ``id`` that its one answer, ``ok`` or ``error``, repeats. A
message is the ``Envelope`` of HTTP, a settlement the one that all doors share.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from supersoniq.adapters.http.problems import Problem
from supersoniq.adapters.http.service import DEFAULT
from supersoniq.adapters.http.wire import Encoding, Envelope, Verdict
from supersoniq.wire.answers import Answer, PublishedOut
from supersoniq.wire.operations import AnyOpIn
from supersoniq.wire.parts import In, Seconds, SettlementIn

__all__ = [
    "REQUESTS",
    "Bye",
    "Credit",
    "Deliver",
    "ErrorOut",
    "EventsOut",
    "Listen",
    "Ok",
    "Operations",
    "Ping",
    "Publish",
    "Renew",
    "Request",
    "Settle",
    "StirsOut",
    "Subscribe",
    "Unsubscribe",
    "Welcome",
]

Id = Annotated[int, Meta(ge=0, le=2**53)] | Annotated[str, Meta(min_length=1, max_length=128)]


class Request(In, tag_field="type"):
    """What a client sends."""

    items: ClassVar[tuple[str, Any]] = ("", None)
    """The field that holds a list, and what it is a list of."""

    id: Id


class Publish(Request, tag="publish", kw_only=True):
    """Store messages, all or none."""

    items: ClassVar[tuple[str, Any]] = ("messages", Envelope)

    queue: str = DEFAULT
    messages: list[Envelope]


class Settle(Request, tag="settle", kw_only=True):
    """Say what became of deliveries; each gets its own verdict."""

    items: ClassVar[tuple[str, Any]] = ("settlements", SettlementIn)

    queue: str = DEFAULT
    settlements: list[SettlementIn]


class Subscribe(Request, tag="subscribe", kw_only=True):
    """Get messages from now on."""

    queue: str = DEFAULT
    mode: Literal["work", "broadcast"]
    content: Encoding = "auto"
    credit: int | None = None
    """work"""
    lease: Seconds | None = None
    """work"""
    recipient: str | None = None
    """work"""
    since: int | None = None
    """broadcast"""
    kinds: list[str] | None = None
    """broadcast"""


class Credit(Request, tag="credit", kw_only=True):
    """From now on, hold so many at most."""

    subscription: int
    credit: int


class Unsubscribe(Request, tag="unsubscribe", kw_only=True):
    """Get no more."""

    subscription: int


class Operations(Request, tag="operations", kw_only=True):
    """Carry out operations of the port; an answer each, in their order."""

    items: ClassVar[tuple[str, Any]] = ("operations", AnyOpIn)

    operations: list[AnyOpIn]


class Listen(Request, tag="listen", kw_only=True):
    """Be told when something in one of these queues may be ready or told."""

    queues: list[str]


class Renew(Request, tag="renew", kw_only=True):
    """Go on with a newer token."""

    token: str


class Ping(Request, tag="ping", kw_only=True):
    """Is anybody there?"""


REQUESTS: dict[str, type[Request]] = {
    kind.__struct_config__.tag: kind  # type: ignore[misc]  # a tag is a text here
    for kind in (Publish, Settle, Subscribe, Credit, Unsubscribe, Operations, Listen, Renew, Ping)
}


class Out(msgspec.Struct, kw_only=True, tag_field="type", omit_defaults=True):
    """What the server sends."""


class Welcome(Out, tag="welcome", kw_only=True):
    """The first frame."""

    server: str
    version: str
    durability: str
    limits: dict[str, int | float]


class Ok(Out, tag="ok", kw_only=True):
    """A request was done. What else is in it depends on the request."""

    id: int | str
    published: list[PublishedOut] | UnsetType = UNSET
    verdicts: list[Verdict] | UnsetType = UNSET
    subscription: int | UnsetType = UNSET
    offset: int | UnsetType = UNSET
    missed: bool | UnsetType = UNSET
    at: int | UnsetType = UNSET
    results: list[Answer] | UnsetType = UNSET
    expires_at: int | UnsetType = UNSET


class Deliver(Out, tag="deliver", kw_only=True):
    """Leased messages."""

    subscription: int
    messages: list[Any]


class EventsOut(Out, tag="event", kw_only=True):
    """Events, oldest first."""

    subscription: int
    events: list[Any]


class StirsOut(Out, tag="stirs", kw_only=True):
    """Queues in which something may be ready or told."""

    subscription: int
    queues: list[str]


class ErrorOut(Out, tag="error", kw_only=True):
    """A request, or a subscription, came to nothing."""

    id: int | str | None = None
    subscription: int | None = None
    problem: Problem


class Bye(Out, tag="bye", kw_only=True):
    """The last frame: the server closes the connection."""

    code: int
    reason: str
    detail: str
    retry: bool
    retry_after: int = 0
    unanswered: int
    """Requests that were read and are not answered; all others without an answer were not done."""
