"""Why is this message not being delivered? One sentence, from facts."""

from __future__ import annotations

from supersoniq.core.messages import Message
from supersoniq.core.states import Status
from supersoniq.core.timers import NEVER

__all__ = ["explain"]


def explain(message: Message, *, now: int, until: int, paused_until: int | None, ahead: int) -> str:
    """A sentence for a person.

    Args:
        message: the message now.
        now: the store's clock, in milliseconds.
        until: its deadline when leased; when it is forgotten when done or dead.
        paused_until: when its queue's pause ends, ``NEVER`` for an open one, or ``None``.
        ahead: how many messages its next consumer gets before it.
    """
    status = message.status
    if status is Status.SCHEDULED:
        wait = _span(message.available_at - now)
        why = f" after failing {_times(message.deliveries)}" if message.deliveries else ""
        return f"It is scheduled: ready in {wait}{why}{_failure(message)}."
    if status is Status.LEASED:
        return (
            f"A consumer has held it for its delivery number {message.deliveries}; the lease"
            f" ends in {_span(until - now)} unless it is extended or settled."
        )
    if status is Status.DONE:
        return f"It was acknowledged; it is kept for another {_span(until - now)}."
    if status is Status.DEAD:
        return (
            f"It is dead because: {message.reason}, after being delivered"
            f" {_times(message.deliveries)}; it is kept for another {_span(until - now)}."
            " Redrive it to try again."
        )
    parts = ["It is ready"]
    if paused_until is not None:
        end = (
            "until resumed" if paused_until >= NEVER else f"for another {_span(paused_until - now)}"
        )
        parts.append(f"but the queue is paused {end}")
    if message.recipient is not None:
        parts.append(f"but only for a consumer that asks as {message.recipient!r}")
    parts.append(
        f"and {ahead} message{'s' * (ahead != 1)} come{'s' * (ahead == 1)} before it"
        if ahead
        else "and next in line: it waits for a consumer"
    )
    return ", ".join(parts) + _failure(message) + "."


def _failure(message: Message) -> str:
    return f" (its last failure: {message.reason})" if message.reason else ""


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _span(milliseconds: int) -> str:
    seconds = max(milliseconds, 0) / 1000
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.3g} seconds" if seconds < 10 else f"{seconds:.0f} seconds"
