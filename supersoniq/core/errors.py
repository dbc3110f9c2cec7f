"""Every error that SupersoniQ raises on purpose.

SupersoniqError
 +- ConfigurationError
 |   +- UnknownBackend (LookupError)      no plugin brings this URL scheme
 |   +- UnknownServer (LookupError)       no plugin brings a server of this name
 |   +- MissingExtra (ImportError)        it exists, but its dependencies are not installed
 |   +- InvalidSetting (ValueError)       an option, flag or URL that cannot be
 +- InvalidArgument (ValueError)          a field of a call is out of its range
 |   +- InvalidName                       a queue name
 |   +- InvalidPolicy                     a field of a queue's policy
 |   +- InvalidId                         not the text of a UUIDv7
 +- ContentTooLarge (ValueError)
 +- KeyConflict (ValueError)
 +- QueueFull (queue.Full)
 +- QueueNotFound, MessageNotFound (LookupError)
 +- IllegalMove (RuntimeError)            the state table has no such move
 |   +- MessageLeased                     a leased message cannot be cancelled
 +- LeaseLost (RuntimeError)              the receipt no longer holds its message
 +- BackendUnavailable (ConnectionError)  refused: certainly not done
 |   +- StorageFull                       no room left below the free-space floor
 |   +- IncompatibleStore                 the store was written by a newer version
 |   +- KeysUnavailable                   no token can be checked just now
 +- OutcomeUnknown (ConnectionError)      may have been done
 +- AuthenticationFailed, PermissionDenied (PermissionError)
 +- RateLimited (RuntimeError)
 |   +- TooManyOpen                       a caller holds as much open as it may
 +- TooManyQueues (RuntimeError)
 +- Closed (RuntimeError)

Each class names its facts in ``fields``: they are its constructor's arguments, its attributes,
and what travels over the wire, so that a remote caller gets the same object that a local one
would. ``code`` is the stable word for it (the tail of the problem ``type`` over HTTP) and
``retry`` says whether the very same call can succeed later.
"""

from __future__ import annotations

import math
import queue
import re
import reprlib
from typing import Any, ClassVar

__all__ = [
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
    "SupersoniqError",
    "TooManyOpen",
    "TooManyQueues",
    "UnknownBackend",
    "UnknownServer",
    "error_from_data",
]


HIDDEN = "(hidden)"
_SECRET = re.compile(r"(token|secret|password)s?$", re.IGNORECASE)
"""A setting of such a name is not shown, even where nobody knows it."""
_CONTENT = re.compile(r"(?:^|\W)(?:body|line|content|content_base64)$")
"""A field of such a name has a message's content, or may have one in it."""
_WORDS_IN_URL = re.compile(
    r"(?P<name>://[^/?#:@]*:|[?&#][^=&#]*(?:token|secret|password|key)=)"
    r"(?:(?<=:)[^/?#]*(?=@)|(?<==)[^&#]*)",
    re.IGNORECASE,
)
"""What may be a password or a token, in a URL that is shown."""


class SupersoniqError(Exception):
    """Base of every error here; never raised itself."""

    code: ClassVar[str] = "error"
    retry: ClassVar[bool] = False
    fields: ClassVar[tuple[str, ...]] = ()
    sentence: ClassVar[str] = ""

    def __init__(self, *values: Any, **named: Any) -> None:
        facts = dict(zip(self.fields, values, strict=False))
        facts.update(named)
        if len(values) > len(self.fields) or set(facts) != set(self.fields):
            given = f"{len(values)} values and {sorted(named)}"
            raise TypeError(f"{type(self).__name__} takes {self.fields}, not {given}")
        for name, value in facts.items():
            setattr(self, name, value)
        super().__init__(*(facts[name] for name in self.fields))

    def __str__(self) -> str:
        return self.sentence.format(**self.data)

    @property
    def data(self) -> dict[str, Any]:
        """The facts by name, in the order of ``fields``."""
        return {name: getattr(self, name) for name in self.fields}


class ConfigurationError(SupersoniqError):
    """The program was set up in a way that cannot work. Raised before anything is touched."""

    code = "configuration"


class UnknownBackend(ConfigurationError, LookupError):
    """No installed plugin brings the URL's scheme."""

    code = "unknown-backend"
    fields = ("scheme", "known")
    sentence = "no backend for {scheme!r}; installed ones are: {known}"
    scheme: str
    known: str


class UnknownServer(ConfigurationError, LookupError):
    """No installed plugin brings a server of that name."""

    code = "unknown-server"
    fields = ("server", "known")
    sentence = "no server {server!r}; installed ones are: {known}"
    server: str
    known: str


class MissingExtra(ConfigurationError, ImportError):
    """The thing exists, but its dependencies are not installed."""

    code = "missing-extra"
    fields = ("what", "extra", "missing")
    sentence = "{what} needs {missing}, which is not installed; run: pip install '{extra}'"
    what: str
    extra: str
    missing: str


class InvalidSetting(ConfigurationError, ValueError):
    """A setting (URL, option, flag) that cannot be."""

    code = "invalid-setting"
    fields = ("setting", "value", "problem")
    sentence = "{setting} = {value!r}: {problem}"
    setting: str
    value: Any
    problem: str

    def __init__(self, *values: Any, **named: Any) -> None:
        super().__init__(*values, **named)
        if _SECRET.search(self.setting):
            self.value = HIDDEN
        elif isinstance(self.value, str):
            self.value = _WORDS_IN_URL.sub(r"\g<name>***", self.value)
        self.args = (self.setting, self.value, self.problem)


class InvalidArgument(SupersoniqError, ValueError):
    """A field of a call is of a wrong type or out of its range. Nothing was changed.

    What may be a content is not shown: errors are logged.
    """

    code = "invalid-argument"
    fields = ("field", "value", "problem")
    sentence = "{field} = {value!r}: {problem}"
    field: str
    value: Any
    problem: str

    def __init__(self, *values: Any, **named: Any) -> None:
        super().__init__(*values, **named)
        if isinstance(self.value, int | None) or not _CONTENT.search(self.field):
            self.value = _shown(self.value)
        else:
            self.value = HIDDEN
        self.args = (self.field, self.value, self.problem)


class InvalidName(InvalidArgument):
    """A queue name outside ``[A-Za-z0-9][A-Za-z0-9._-]{0,127}``."""

    code = "invalid-name"


class InvalidPolicy(InvalidArgument):
    """A field of a queue's policy that is unknown, of a wrong type or out of its range."""

    code = "invalid-policy"


class InvalidId(InvalidArgument):
    """A message id that is not the text form of a UUIDv7."""

    code = "invalid-id"


class ContentTooLarge(SupersoniqError, ValueError):
    """The content is longer than the queue's ``max_content``, in bytes."""

    code = "content-too-large"
    fields = ("queue", "size", "limit")
    sentence = (
        "content of {size} bytes is over the {limit} that queue {queue!r} takes; "
        "store it elsewhere and publish a reference, or raise max_content"
    )
    queue: str
    size: int
    limit: int


class KeyConflict(SupersoniqError, ValueError):
    """The key was used within the dedup window for a message with other content."""

    code = "key-conflict"
    fields = ("queue", "key", "id")
    sentence = "key {key!r} in queue {queue!r} already stands for other content, message {id}"
    queue: str
    key: str
    id: str


class QueueFull(SupersoniqError, queue.Full):
    """The queue holds ``max_length`` unfinished messages, or would with this batch.

    A batch that is larger than ``max_length`` by itself is an ``InvalidArgument``.
    """

    code = "queue-full"
    retry = True
    fields = ("queue", "length", "limit")
    sentence = "queue {queue!r} holds {length} unfinished messages; its max_length is {limit}"
    queue: str
    length: int
    limit: int


class QueueNotFound(SupersoniqError, LookupError):
    """No queue of that name. Publishing to it, or configuring it, makes it."""

    code = "queue-not-found"
    fields = ("queue",)
    sentence = "there is no queue {queue!r}"
    queue: str


class MessageNotFound(SupersoniqError, LookupError):
    """The queue does not hold that message: it never did, or it is finished and forgotten."""

    code = "message-not-found"
    fields = ("queue", "id")
    sentence = "queue {queue!r} holds no message {id}"
    queue: str
    id: str


class IllegalMove(SupersoniqError, RuntimeError):
    """The state table has no such move from the message's present status."""

    code = "illegal-move"
    fields = ("move", "status")
    sentence = "a message that is {status} cannot take the move {move!r}"
    move: str
    status: str


class MessageLeased(IllegalMove):
    """A consumer holds the message. Wait for it, or for its lease to end."""

    code = "message-leased"
    retry = True


class LeaseLost(SupersoniqError, RuntimeError):
    """The receipt no longer holds its message: lapsed, settled otherwise, or never issued here.

    The message is as it was. Do not repeat the call; the message is, or was, somebody else's.
    """

    code = "lease-lost"
    fields = ("problem",)
    sentence = "the lease is lost: {problem}"
    problem: str


class BackendUnavailable(SupersoniqError, ConnectionError):
    """The store cannot be reached or refuses to work. The call was certainly not done."""

    code = "backend-unavailable"
    retry = True
    fields = ("problem",)
    sentence = "the store is unavailable: {problem}"
    problem: str


class StorageFull(BackendUnavailable):
    """The disk is nearly full: publishing is refused so that settling still works."""

    code = "storage-full"
    sentence = "the store refuses to grow: {problem}"


class IncompatibleStore(BackendUnavailable):
    """The store's layout is newer than this version of SupersoniQ, or is not one of ours."""

    code = "incompatible-store"
    retry = False
    sentence = "the store cannot be used: {problem}"


class KeysUnavailable(BackendUnavailable):
    """A token cannot be checked: the keys of its issuer were never to be had so far."""

    code = "keys-unavailable"
    sentence = "no token can be checked just now: {problem}"


class OutcomeUnknown(SupersoniqError, ConnectionError):
    """The call was sent and its answer never came: it may or may not have been done.

    Repeat a publish only with the same ``key``; repeating a settlement is always safe.
    """

    code = "outcome-unknown"
    retry = True
    fields = ("problem",)
    sentence = "whether the call was done is unknown: {problem}"
    problem: str


class AuthenticationFailed(SupersoniqError, PermissionError):
    """Who is calling could not be established."""

    code = "authentication-failed"
    fields = ("problem",)
    sentence = "authentication failed: {problem}"
    problem: str


class PermissionDenied(SupersoniqError, PermissionError):
    """The caller is known and may not do this."""

    code = "permission-denied"
    fields = ("problem",)
    sentence = "permission denied: {problem}"
    problem: str


class RateLimited(SupersoniqError, RuntimeError):
    """Too many calls; ``retry_after`` is in seconds."""

    code = "rate-limited"
    retry = True
    fields: ClassVar[tuple[str, ...]] = ("retry_after",)
    sentence = "too many calls; try again in {retry_after} s"
    retry_after: float


class TooManyOpen(RateLimited):
    """The caller holds open as many connections and waiting requests as one may; nothing was done.

    ``retry_after`` is when to look again: a place is free when one of them has ended.
    """

    code = "too-many-open"
    fields = ("limit", "retry_after")
    sentence = (
        "as many connections and waiting requests of this caller are open as may be, {limit}; "
        "end one, or try again in {retry_after} s"
    )
    limit: int


class TooManyQueues(SupersoniqError, RuntimeError):
    """The store holds as many queues as it may, and this would have made another one."""

    code = "too-many-queues"
    fields = ("queue", "limit")
    sentence = (
        "there is no queue {queue!r}, and none is made: there are {limit}, as many as may be; "
        "delete one, or raise max_queues"
    )
    queue: str
    limit: int


class Closed(SupersoniqError, RuntimeError):
    """The broker (or what hangs on it) is closed or was not opened."""

    code = "closed"
    fields = ("what",)
    sentence = "{what} is closed; open it with 'async with', or call open()"
    what: str


def _shown(value: Any) -> Any:
    """A value as an error may carry it: short, and made of what JSON can say."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if isinstance(value, int):
        return value if abs(value) < 1 << 63 else f"an integer of {value.bit_length()} bits"
    # reprlib: neither a deep nor a huge value may break the error that complains of it.
    text = value if isinstance(value, str) else reprlib.repr(value)
    if len(text) > 80:
        text = text[:77] + "..."
    return text.encode("utf-8", "backslashreplace").decode()


def _family(base: type[SupersoniqError]) -> dict[str, type[SupersoniqError]]:
    found = {base.code: base}
    for child in base.__subclasses__():
        found.update(_family(child))
    return found


def error_from_data(code: str, data: dict[str, Any], detail: str) -> SupersoniqError:
    """Rebuild an error that crossed a process border.

    An unknown code, or data that does not fit it, becomes ``OutcomeUnknown``: the one verdict
    that is never wrong.
    """
    kind = _family(SupersoniqError).get(code)
    if kind is not None and kind.fields and set(kind.fields) <= set(data):
        return kind(**{name: data[name] for name in kind.fields})
    return OutcomeUnknown(f"{code}: {detail}")
