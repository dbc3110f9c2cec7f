"""SupersoniQ: a message queue to import, mount, or serve."""

from __future__ import annotations

from supersoniq.api.broker import Broker
from supersoniq.api.delivery import Delivery
from supersoniq.api.queue import Queue
from supersoniq.api.watch import Watch
from supersoniq.core.errors import (
    AuthenticationFailed,
    BackendUnavailable,
    Closed,
    ConfigurationError,
    ContentTooLarge,
    IllegalMove,
    IncompatibleStore,
    InvalidArgument,
    InvalidId,
    InvalidName,
    InvalidPolicy,
    InvalidSetting,
    KeyConflict,
    KeysUnavailable,
    LeaseLost,
    MessageLeased,
    MessageNotFound,
    MissingExtra,
    OutcomeUnknown,
    PermissionDenied,
    QueueFull,
    QueueNotFound,
    RateLimited,
    StorageFull,
    SupersoniqError,
    TooManyOpen,
    TooManyQueues,
    UnknownBackend,
    UnknownServer,
)
from supersoniq.core.messages import Draft, Event, EventKind, Message, Published
from supersoniq.core.ops import QueueStats
from supersoniq.core.policy import Backoff, Policy
from supersoniq.core.states import Status
from supersoniq.registry import connect

__version__ = "0.1.0"

__all__ = [
    "connect",
    # What it gives.
    "Broker",
    "Queue",
    "Delivery",
    "Watch",
    # What they deal in.
    "Backoff",
    "Draft",
    "Event",
    "EventKind",
    "Message",
    "Policy",
    "Published",
    "QueueStats",
    "Status",
    # What can go wrong.
    "SupersoniqError",
    "AuthenticationFailed",
    "BackendUnavailable",
    "Closed",
    "ConfigurationError",
    "ContentTooLarge",
    "IllegalMove",
    "IncompatibleStore",
    "InvalidArgument",
    "InvalidId",
    "InvalidName",
    "InvalidPolicy",
    "InvalidSetting",
    "KeyConflict",
    "KeysUnavailable",
    "LeaseLost",
    "MessageLeased",
    "MessageNotFound",
    "MissingExtra",
    "OutcomeUnknown",
    "PermissionDenied",
    "QueueFull",
    "QueueNotFound",
    "RateLimited",
    "StorageFull",
    "TooManyOpen",
    "TooManyQueues",
    "UnknownBackend",
    "UnknownServer",
]
