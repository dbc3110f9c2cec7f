"""The bounds of the HTTP face, each checked at the door."""

from __future__ import annotations

import dataclasses

from supersoniq.auth.holds import Holds
from supersoniq.auth.quota import Quota
from supersoniq.auth.rates import Rate
from supersoniq.core.checks import MAX_BATCH
from supersoniq.core.errors import InvalidSetting

__all__ = ["Limits", "limit", "limit_in"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """How much one request may ask for.

    Raises:
        InvalidSetting: one of them is out of its range.
    """

    max_body: int = 2 * 1024 * 1024
    """Bytes of a request's body, or of one line of an NDJSON body. Twice the default
    ``max_content``: room for a largest content in base64, or escaped, in its envelope."""
    max_batch_body: int = 16 * 1024 * 1024
    """Bytes of a batch of operations."""
    max_arriving: int = 32 * 1024 * 1024
    """Bytes of all bodies that arrive or wait for the store, and of half-sent WebSocket messages.
    Larger bodies wait for their turn; of what cannot wait, the one that has taken longest is
    refused: with 503, or the close code 1013."""
    max_depth: int = 64
    """Levels of arrays and objects in a JSON body."""
    max_batch: int = MAX_BATCH
    """Messages published, leased, settled or browsed with one request."""
    max_wait: float = 60.0
    """Seconds that a lease request may wait."""
    max_answer: int = 4 * 1024 * 1024
    """Bytes of content in one answer, unless a single message is larger. A page or a lease ends
    early there."""
    max_answers: int = 16 * 1024 * 1024
    """Bytes of all answers together that wait for their clients to take them. Large answers get
    smaller as it fills up, and are refused with 503 when it is full."""
    line_batch: int = 500
    """Lines of an NDJSON body that are published together."""
    body_timeout: float = 30.0
    """Seconds within which a body must have arrived; for NDJSON, each line."""
    send_timeout: float = 30.0
    """Seconds within which a client must make room for more of an answer."""
    keep_alive: float = 15.0
    """Seconds of silence in an event stream, at most."""
    hello_timeout: float = 10.0
    """Seconds within which a WebSocket must send its first frame."""
    max_sockets: int = 10_000
    """WebSockets at the same time."""
    max_subscriptions: int = 100
    """Subscriptions of one WebSocket."""
    max_credit: int = 10_000
    """Deliveries that one WebSocket may hold unsettled."""
    max_requests: int = 1000
    """Requests of one WebSocket under way; beyond them nothing more is read."""
    max_outbox: int = 4 * 1024 * 1024
    """Bytes that wait to be sent to one WebSocket, beyond which nothing is made for it."""

    max_failures: float = 60.0
    """Tokens of one address that do not hold, a minute; a third of them may come at once."""
    max_rate: float | None = None
    """Operations a second of one caller (the sub of its token); a message published counts for one.
    Without it there may be any number."""
    max_burst: float | None = None
    """Of them, how many may come at once; by default those of a second, and at least 1."""
    max_throughput: float | None = None
    """Bytes of content that one caller may publish, a second; those of ten seconds may come at
    once. Without it there may be any number."""

    max_open: int | None = None
    """What one caller has open at the same time: WebSockets, WebTransport sessions, streams of
    events, lease requests that may wait, uploads of lines. Without it there may be any number."""

    @property
    def failures(self) -> Rate:
        """The rate of one address's failures."""
        return Rate(self.max_failures / 60, max(self.max_failures / 3, 1))

    @property
    def quota(self) -> Quota | None:
        """What callers' operations count against."""
        operations = content = None
        if self.max_rate is not None:
            operations = Rate(self.max_rate, max(self.max_burst or self.max_rate, 1))
        if self.max_throughput is not None:
            content = Rate(self.max_throughput, 10 * self.max_throughput)
        return Quota(operations, content) if operations or content else None

    @property
    def holds(self) -> Holds | None:
        """What counts what callers hold open."""
        return None if self.max_open is None else Holds(self.max_open)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is None and field.default is None:
                continue
            whole = str(field.type).startswith("int")
            if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
                kind = "an integer" if whole else "a number"
                raise InvalidSetting(field.name, value, f"takes {kind}")
            if not 0 < value <= 2**40:  # also refuses NaN
                raise InvalidSetting(field.name, value, "takes more than 0, up to 2**40")
        if self.max_batch > MAX_BATCH:
            raise InvalidSetting("max_batch", self.max_batch, f"takes at most {MAX_BATCH}")


_MARK = "limit of the app: "


def limit(name: str) -> str:
    """What stands for the value of a limit in what is told of all apps."""
    assert name in Limits.__dataclass_fields__, name
    return _MARK + name


def limit_in(limits: Limits, text: str) -> float | None:
    """The value of the limit that a text stands for, if it does."""
    if not text.startswith(_MARK):
        return None
    value: float = getattr(limits, text.removeprefix(_MARK))
    return value
