"""The other bodies, queries and answers, by route: what is asked, and what is said to it.

Messages themselves are in ``wire``. What a field may hold is told by annotations that check
nothing (``supersoniq.wire.bounds``); the checks are the core's.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from supersoniq.adapters.http.limits import limit
from supersoniq.adapters.http.wire import Encoding, MessageOut
from supersoniq.core import checks
from supersoniq.core.messages import Durability, EventKind, Published
from supersoniq.core.ops import QueueStats
from supersoniq.core.policy import MAX_LEASE, MIN_LEASE, Policy
from supersoniq.core.states import Status
from supersoniq.wire.bounds import (
    Delay,
    Instant,
    LeaseTime,
    MessageId,
    QueueName,
    Recipient,
    told,
)
from supersoniq.wire.parts import In, Seconds

__all__ = [
    "BrowseQuery",
    "Description",
    "EventsQuery",
    "Explanation",
    "Front",
    "Health",
    "LeaseRequest",
    "Line",
    "LookQuery",
    "PauseRequest",
    "PauseShape",
    "PauseState",
    "PolicyChanges",
    "Progress",
    "PurgeRequest",
    "Purged",
    "RedriveRequest",
    "Redriven",
    "StirsLine",
    "StirsRequest",
]

Left = UnsetType
_statuses = [status.value for status in Status]
_kinds = "|".join(kind.value for kind in EventKind if kind is not EventKind.GAP)

StatusName = Annotated[str, told("A message's status.", enum=_statuses)]
Many = Annotated[int, told("At most so many.", minimum=1, maximum=limit("max_batch"))]
Kinds = Annotated[
    str, told("Which kinds, separated by commas.", pattern=f"^({_kinds})(,({_kinds}))*$")
]
Since = Annotated[
    int, told("The offset of the last event that was seen.", minimum=0, maximum=2**63 - 1)
]


class BrowseQuery(In):
    """Which messages to show."""

    status: StatusName | None = None
    limit: Many | UnsetType = UNSET
    after: Annotated[MessageId, told("Only those published after this one.")] | None = None
    content: Encoding = "auto"


class LookQuery(In):
    """How to show a message."""

    content: Encoding = "auto"


class EventsQuery(In):
    """Which events to tell, and from where."""

    kinds: Kinds = EventKind.PUBLISHED.value
    since: Since | None = None
    content: Encoding = "auto"


class LeaseRequest(In):
    """How many messages to lease, and how."""

    limit: Many = 1
    wait: Annotated[
        Seconds,
        told("Seconds to wait for a first message.", minimum=0, maximum=limit("max_wait")),
    ] = 0
    lease: LeaseTime | None = None
    recipient: Annotated[Recipient, told("Who asks.")] | None = None
    content: Encoding = "auto"


_Kept = Annotated[Seconds, told("Seconds.", minimum=0, maximum=checks.MAX_DURATION)]


class BackoffChanges(In):
    """How long a message that failed waits; what is left out has its default."""

    initial: Annotated[_Kept, told("Seconds after the first failure, at most `maximum`.")] = 1.0
    factor: Annotated[Seconds, told("Growth with each further one.", minimum=1, maximum=100)] = 2.0
    maximum: Annotated[_Kept, told("Longest wait in seconds.")] = 3600.0
    jitter: Annotated[Seconds, told("Largest share taken off.", minimum=0, maximum=1)] = 0.1


class PolicyChanges(In):
    """Fields of a queue's policy. Those that are left out stay as they are."""

    lease: Annotated[Seconds, told("Seconds.", minimum=MIN_LEASE, maximum=MAX_LEASE)] | Left = UNSET
    max_deliveries: Annotated[int, told("0 is no limit.", minimum=0, maximum=1_000_000)] | Left = (
        UNSET
    )
    backoff: _Kept | BackoffChanges | Left = UNSET
    dedup_window: _Kept | Left = UNSET
    keep_done: _Kept | Left = UNSET
    keep_dead: _Kept | Left = UNSET
    max_length: (
        Annotated[int, told("Unfinished messages.", minimum=1, maximum=2**40)] | Left | None
    ) = UNSET
    max_content: Annotated[int, told("Bytes.", minimum=1, maximum=2**30)] | Left = UNSET
    on_expiry: Literal["drop", "dead"] | Left = UNSET

    def given(self) -> dict[str, Any]:
        """Those that are there."""
        fields = msgspec.structs.asdict(self)
        if isinstance(self.backoff, BackoffChanges):
            fields["backoff"] = msgspec.structs.asdict(self.backoff)
        return {name: value for name, value in fields.items() if value is not UNSET}


class PauseRequest(In):
    """For how long; neither field means until it is resumed. Not both."""

    duration: Annotated[Delay, told("Seconds from now.")] | None = None
    until: Instant | None = None


PauseShape = Annotated[
    PauseRequest,
    msgspec.Meta(
        extra_json_schema={
            "anyOf": [
                {"properties": {"duration": {"type": "null"}}},
                {"properties": {"until": {"type": "null"}}},
            ]
        }
    ),
]
"""A pause, for those who read the schema: with at most one end."""


class PurgeRequest(In):
    """What to drop; no status means all that is scheduled, ready or dead."""

    status: StatusName | None = None


class RedriveRequest(In):
    """Which dead messages; no ids means any, oldest first."""

    ids: (
        Annotated[list[MessageId], told("These.", minItems=1, maxItems=limit("max_batch"))] | None
    ) = None
    limit: Annotated[int, told("At most so many.", minimum=1, maximum=2**40)] | None = None


class StirsRequest(In):
    """Which queues to listen to."""

    queues: Annotated[
        list[QueueName], told("Their names.", minItems=1, maxItems=limit("max_batch"))
    ]


class Progress(msgspec.Struct):
    """How far an NDJSON body has come."""

    lines: int = 0
    """Published ones, duplicates counted, empty lines not."""
    duplicates: int = 0
    first: str | None = None
    last: str | None = None
    durability: Durability | None = None

    def add(self, stored: list[Published]) -> None:
        """Count a batch."""
        self.lines += len(stored)
        self.duplicates += sum(each.duplicate for each in stored)
        self.first = self.first or stored[0].id
        self.last = stored[-1].id
        self.durability = stored[-1].durability


class Description(msgspec.Struct):
    """A queue."""

    queue: str
    policy: Policy
    stats: QueueStats


class Explanation(msgspec.Struct):
    """Why a message is not being delivered."""

    id: str
    queue: str
    explanation: str


class PauseState(msgspec.Struct):
    """Whether a queue gives leases."""

    queue: str
    paused: bool
    paused_until: int | None


class Purged(msgspec.Struct):
    """How many messages were dropped."""

    queue: str
    purged: int


class Redriven(msgspec.Struct):
    """How many dead messages are ready again."""

    queue: str
    redriven: int


class Health(msgspec.Struct):
    """It is well."""

    status: Literal["ok"] = "ok"


class Front(msgspec.Struct):
    """What is here."""

    name: str
    version: str
    links: dict[str, str]
    durability: Durability
    limits: dict[str, float]


class Line(msgspec.Struct, omit_defaults=True):
    """One line, or the data of one server-sent event, of an event stream."""

    offset: int
    kind: str
    """An ``EventKind``, or ``start``, ``alive``, ``error``."""
    at: int | UnsetType = UNSET
    message: MessageOut | UnsetType | None = UNSET
    problem: dict[str, Any] | UnsetType = UNSET
    """Of an ``error``, the last line: a problem document."""


class StirsLine(msgspec.Struct, omit_defaults=True):
    """One line of a stream of stirs."""

    kind: Literal["listening", "stirred", "alive"]
    keep_alive: float | UnsetType = UNSET
    """Of ``listening``, the first line: seconds within which the next one comes."""
    queues: list[str] | UnsetType = UNSET
    """Of ``stirred``: where something may be ready, or told."""
