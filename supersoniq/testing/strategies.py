"""Hypothesis strategies for everything that a queue takes.

They are within the limits, at them now and then, and lean to the small values that make collisions:
few keys, few recipients, few priorities.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from supersoniq.core import checks, ops
from supersoniq.core.ids import format_id
from supersoniq.core.messages import Content, Draft, Entry, EventKind, Message, prepare
from supersoniq.core.ops import AnyOp, Outcome, Settlement
from supersoniq.core.states import Status
from supersoniq.testing.clock import START

__all__ = [
    "contents", "drafts", "durations", "entries", "event_kinds", "headers", "keys", "lease_lengths",
    "messages", "operations", "policies", "priorities", "queue_names", "reasons", "recipients",
    "settlements",
]  # fmt: skip

_TEXT = st.characters(exclude_categories=["Cs", "Cc"])


def queue_names() -> st.SearchStrategy[str]:
    """Queue names, up to the longest."""
    return st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")


def contents() -> st.SearchStrategy[Content]:
    """What can be published: bytes, text and JSON values."""
    scalars: st.SearchStrategy[Any] = (
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    )
    text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    values = st.recursive(
        scalars | text,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
        max_leaves=6,
    )
    return st.binary(max_size=40) | text | values


def labels(longest: int) -> st.SearchStrategy[str]:
    """Keys, senders and recipients: text without control characters."""
    return st.text(_TEXT, min_size=1, max_size=8) | st.just("x" * longest)


def keys() -> st.SearchStrategy[str | None]:
    """Deduplication keys: mostly none, mostly few."""
    return st.sampled_from((None, None, "k", "l")) | labels(checks.MAX_KEY)


def recipients() -> st.SearchStrategy[str | None]:
    """Recipients: mostly none, and two by name."""
    return st.sampled_from((None, None, "ann", "bob"))


def headers() -> st.SearchStrategy[dict[str, str] | None]:
    """Headers: a few, or none."""
    values = st.text(_TEXT, max_size=12)
    return st.none() | st.dictionaries(st.text(_TEXT, min_size=1, max_size=8), values, max_size=4)


def priorities() -> st.SearchStrategy[int]:
    """Priorities: a few near zero, and the whole range."""
    whole = st.integers(checks.MIN_PRIORITY, checks.MAX_PRIORITY)
    return st.sampled_from((0, 0, 1, -1, checks.MIN_PRIORITY, checks.MAX_PRIORITY)) | whole


def durations(longest: float = 100.0) -> st.SearchStrategy[float]:
    """Seconds in whole milliseconds; often 0."""
    return st.just(0.0) | st.integers(0, int(longest * 1000)).map(lambda ms: ms / 1000)


def lease_lengths() -> st.SearchStrategy[int | None]:
    """Lengths of leases in milliseconds, few enough to coincide; ``None`` is the queue's."""
    return st.sampled_from((None, None, 1_000, 30_000)) | st.integers(100, 60_000)


def reasons() -> st.SearchStrategy[str | None]:
    """Why something failed."""
    return st.none() | st.text(_TEXT, min_size=1, max_size=20)


def _options() -> dict[str, st.SearchStrategy[Any]]:
    return {
        "priority": priorities(),
        "delay": st.just(0) | durations(),
        "ttl": st.none() | st.integers(1, 100_000).map(lambda ms: ms / 1000),
        "key": keys(),
        "sender": st.none() | labels(checks.MAX_SUBJECT),
        "recipient": recipients(),
        "headers": headers(),
        "content_type": st.none() | st.sampled_from(("text/html", "application/x-y; v=1")),
    }


def drafts() -> st.SearchStrategy[Draft]:
    """Drafts, as ``publish_many`` takes them."""
    return st.builds(Draft, contents(), **_options())


def entries() -> st.SearchStrategy[Entry]:
    """Checked drafts, as the port takes them. Few contents, so that keys agree and conflict."""
    few = st.sampled_from((b"", b"x", "y", {"z": 1})) | contents()
    return st.builds(prepare, few, **_options())


def policies() -> st.SearchStrategy[dict[str, Any]]:
    """Changes of a policy, all of them good."""
    maximum = st.integers(0, 1000)
    backoff = maximum.flatmap(
        lambda most: st.fixed_dictionaries(
            {"maximum": st.just(most), "initial": st.integers(0, most)},
            optional={"factor": st.integers(1, 100), "jitter": st.sampled_from((0, 0.1, 1))},
        )
    )
    return st.fixed_dictionaries(
        {},
        optional={
            "lease": st.sampled_from((0.1, 1, 30, 43_200)),
            "max_deliveries": st.integers(0, 4) | st.just(1_000_000),
            "backoff": backoff | st.sampled_from((0, 1, 0.5)),
            "dedup_window": st.sampled_from((0, 1, 300)),
            "keep_done": st.sampled_from((0, 5, 1000)),
            "keep_dead": st.sampled_from((0, 5, 1000, 14 * 86_400)),
            "max_length": st.none() | st.integers(1, 30),
            "max_content": st.sampled_from((1, 10, 1_048_576, 2**30)),
            "on_expiry": st.sampled_from(("drop", "dead")),
        },
    )


def messages() -> st.SearchStrategy[Message]:
    """Messages of another store, few enough to come twice."""

    def made(entry: Entry, number: int, status: Status, deliveries: int, away: int) -> Message:
        details, created = entry.details, START + away
        dead = status is Status.DEAD
        return Message(
            id=format_id(created << 80 | 0x7 << 76 | 0b10 << 62 | 1 << 41 | number),
            queue="elsewhere",
            content=entry.content,
            content_type=details.content_type,
            headers=details.headers or {},
            sender=details.sender,
            recipient=details.recipient,
            priority=entry.priority,
            key=details.key,
            created_at=created,
            available_at=created + entry.delay,
            expires_at=None if entry.ttl is None else created + entry.ttl,
            status=status,
            deliveries=deliveries,
            reason="rejected: bad" if dead else "bad" if deliveries % 2 else None,
        )

    counts = st.integers(0, 3)
    away = st.sampled_from((0, 0, -1_000, 1_000, -400_000))
    return st.builds(made, entries(), st.integers(1, 8), st.sampled_from(Status), counts, away)


def event_kinds() -> st.SearchStrategy[frozenset[EventKind]]:
    """Sets of the kinds of events that can be followed, never empty."""
    kinds = [kind for kind in EventKind if kind is not EventKind.GAP]
    return st.frozensets(st.sampled_from(kinds), min_size=1)


def settlements(receipts: st.SearchStrategy[str]) -> st.SearchStrategy[Settlement]:
    """Settlements of receipts: give a strategy of such as your test has seen."""
    delays = st.none() | st.sampled_from((0, 0, 1, 5_000))
    back = st.sampled_from((Outcome.NACK, Outcome.RELEASE))
    return (
        st.builds(Settlement, receipts, st.just(Outcome.ACK))
        | st.builds(Settlement, receipts, back, delay=delays)
        | st.builds(Settlement, receipts, st.just(Outcome.REJECT), reason=reasons())
        | st.builds(Settlement, receipts, st.just(Outcome.EXTEND), duration=lease_lengths())
    )


def operations(
    queues: st.SearchStrategy[str],
    ids: st.SearchStrategy[int],
    receipts: st.SearchStrategy[str],
) -> st.SearchStrategy[AnyOp]:
    """Any operation on such queues, with such ids' numbers and receipts."""
    status = st.none() | st.sampled_from(Status)
    limit = st.integers(1, 20)
    return st.one_of(
        st.builds(ops.Publish, queues, st.lists(entries(), max_size=5)),
        st.builds(ops.Take, queues, limit, recipients(), lease_lengths()),
        st.builds(ops.Settle, queues, st.lists(settlements(receipts), max_size=5)),
        st.builds(ops.Look, queues, ids),
        st.builds(ops.Browse, queues, status, st.none() | ids, limit),
        st.builds(ops.Cancel, queues, ids),
        st.builds(ops.Redrive, queues, st.none() | st.lists(ids, max_size=3), st.none() | limit),
        st.builds(ops.Purge, queues, status, st.none() | st.lists(ids, max_size=3)),
        st.builds(ops.Pause, queues, duration=st.none() | st.integers(0, 60_000)),
        st.builds(ops.Resume, queues),
        st.builds(ops.Configure, queues, policies()),
        st.builds(ops.Describe, queues),
        st.builds(ops.Delete, queues),
        st.builds(ops.Stats, queues),
        st.builds(ops.Queues),
        st.builds(ops.Import, queues, st.lists(messages(), max_size=4), policies(), st.booleans()),
        st.builds(ops.Explain, queues, ids),
        st.builds(ops.Follow, queues, st.none(), event_kinds(), limit),
    )
