"""A queue's policy: stored with the queue, so that every process sees the same.

Public values are in seconds, as everywhere in Python; the core computes in milliseconds and reads
them from ``Terms``, which is made once whenever the policy changes.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal

import msgspec

from supersoniq.core import checks
from supersoniq.core.errors import InvalidArgument, InvalidPolicy, QueueFull, SupersoniqError

__all__ = ["Backoff", "Policy", "Terms", "changed", "no_room", "policy_from_data"]

MAX_LEASE = 12 * 3600.0
MIN_LEASE = 0.1


class Backoff(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long a message that failed waits, when its ``nack`` names no delay.

    The n-th failure waits ``initial * factor ** (n - 1)`` seconds, at most ``maximum``, less a
    share of up to ``jitter`` of it. The share is derived from the message's sequence and delivery
    count: failures spread out, and yet the same history always gives the same times.
    """

    initial: float = 1.0
    """Seconds after the first failure, 0 to ``maximum``."""
    factor: float = 2.0
    """Growth with each further failure, 1 to 100."""
    maximum: float = 3600.0
    """Longest wait in seconds, 0 to ten years."""
    jitter: float = 0.1
    """Largest share taken off, 0 to 1."""


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a queue promises and how long it keeps things. Durations are seconds."""

    lease: float = 30.0
    """How long a delivery is held unless the consumer asks otherwise: 0.1 s to 12 h."""
    max_deliveries: int = 10
    """A failure at this count is final; 0 is no limit."""
    backoff: Backoff = Backoff()
    """Wait after a ``nack`` without a delay."""
    dedup_window: float = 300.0
    """How long a key is remembered, 0 to ten years; 0 forgets at once."""
    keep_done: float = 0.0
    """How long acknowledged messages can be looked up."""
    keep_dead: float = 14 * 86_400.0
    """How long dead messages can be inspected and redriven."""
    max_length: int | None = None
    """Most unfinished messages (scheduled, ready, leased); ``None`` is no limit."""
    max_content: int = 1_048_576
    """Largest content in bytes, at most 1 GiB."""
    on_expiry: Literal["drop", "dead"] = "drop"
    """What becomes of a message whose ``ttl`` ran out."""


class Terms(msgspec.Struct, frozen=True, gc=False):
    """The policy as the core computes with it: milliseconds."""

    lease: int
    max_deliveries: int
    dedup_window: int
    keep_done: int
    keep_dead: int
    max_length: int | None
    max_content: int
    expiry_kills: bool
    backoff: Backoff

    @classmethod
    def of(cls, policy: Policy) -> Terms:
        """The terms of a checked policy."""
        return cls(
            lease=checks.duration("lease", policy.lease),
            max_deliveries=policy.max_deliveries,
            dedup_window=checks.duration("dedup_window", policy.dedup_window),
            keep_done=checks.duration("keep_done", policy.keep_done),
            keep_dead=checks.duration("keep_dead", policy.keep_dead),
            max_length=policy.max_length,
            max_content=policy.max_content,
            expiry_kills=policy.on_expiry == "dead",
            backoff=policy.backoff,
        )

    def delay_after(self, deliveries: int, sequence: int) -> int:
        """Milliseconds that the ``deliveries``-th failure waits. O(1), and always the same."""
        rule = self.backoff
        exponent = min(max(deliveries, 1) - 1, 1024)
        try:
            wait = min(rule.initial * rule.factor**exponent, rule.maximum)
        except OverflowError:
            wait = rule.maximum
        share = zlib.crc32(b"%d:%d" % (sequence, deliveries)) / 2**32
        return int(wait * (1 - rule.jitter * share) * 1000)

    def at_limit(self, deliveries: int) -> bool:
        """Whether a failure at this count is the last."""
        return 0 < self.max_deliveries <= deliveries


def changed(policy: Policy, changes: Mapping[str, Any]) -> Policy:
    """The policy with some fields changed and every one of them checked.

    Raises:
        InvalidPolicy: an unknown field, a wrong type, or a value out of its range.
    """
    checked: dict[str, Any] = {}
    for field, value in changes.items():
        check = _CHECKS.get(field)
        if check is None:
            known = ", ".join(_CHECKS)
            raise InvalidPolicy(field, value, f"no such field; a policy has: {known}")
        try:
            checked[field] = check(field, value)
        except InvalidPolicy:
            raise
        except InvalidArgument as error:
            raise InvalidPolicy(error.field, error.value, error.problem) from None
    return msgspec.structs.replace(policy, **checked)


def policy_from_data(data: Mapping[str, Any]) -> Policy:
    """A policy from its stored or sent form; checked like any other."""
    return changed(Policy(), data)


def _seconds(low: float, high: float) -> Any:
    def check(field: str, value: object) -> float:
        checks.duration(field, value, low, high)
        return float(value.total_seconds() if isinstance(value, timedelta) else value)  # type: ignore[arg-type]  # duration() has checked it

    return check


def no_room(queue: str, length: int, new: int, max_length: int) -> SupersoniqError:
    """Why so many messages more are not taken into a queue that holds ``length`` unfinished ones.

    What an empty queue would not take either, it never takes: that is nothing to try again.
    """
    if new > max_length:
        rule = f"more than queue {queue!r} ever holds; its max_length is {max_length}"
        return InvalidArgument("messages", new, rule)
    return QueueFull(queue, length, max_length)


def _integer(low: int, high: int) -> Any:
    return lambda field, value: checks.integer(field, value, low, high)


def _max_length(field: str, value: object) -> int | None:
    return None if value is None else checks.integer(field, value, 1, 2**40)


def _on_expiry(field: str, value: object) -> str:
    if value not in ("drop", "dead"):
        raise InvalidPolicy(field, value, "takes 'drop' or 'dead'")
    return str(value)


def _share(low: float, high: float) -> Any:
    def check(field: str, value: object) -> float:
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not low <= value <= high
        ):
            raise InvalidPolicy(field, value, f"takes a number from {low:g} to {high:g}")
        return float(value)

    return check


_forever = _seconds(0, checks.MAX_DURATION)
_BACKOFF_CHECKS: dict[str, Any] = {
    "initial": _forever,
    "factor": _share(1, 100),
    "maximum": _forever,
    "jitter": _share(0, 1),
}


def _backoff(field: str, value: object) -> Backoff:
    """A ``Backoff``, a map of its fields, or its first wait in seconds alone."""
    if isinstance(value, Backoff):
        value = msgspec.structs.asdict(value)
    elif isinstance(value, int | float | timedelta) and not isinstance(value, bool):
        value = {"initial": value}
    if not isinstance(value, Mapping):
        raise InvalidPolicy(field, value, "takes a Backoff, a map of its fields, or seconds")
    parts: dict[str, float] = {}
    for name, part in value.items():
        if name not in _BACKOFF_CHECKS:
            known = ", ".join(_BACKOFF_CHECKS)
            raise InvalidPolicy(f"{field}.{name}", part, f"no such field; a backoff has: {known}")
        parts[name] = _BACKOFF_CHECKS[name](f"{field}.{name}", part)
    made = Backoff(**parts)
    if made.initial > made.maximum:
        raise InvalidPolicy(
            f"{field}.initial", made.initial, f"is over the maximum, {made.maximum:g}"
        )
    return made


_CHECKS: dict[str, Any] = {
    "lease": _seconds(MIN_LEASE, MAX_LEASE),
    "max_deliveries": _integer(0, 1_000_000),
    "backoff": _backoff,
    "dedup_window": _forever,
    "keep_done": _forever,
    "keep_dead": _forever,
    "max_length": _max_length,
    "max_content": _integer(1, 2**30),
    "on_expiry": _on_expiry,
}
