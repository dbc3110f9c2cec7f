"""Faults within a queue."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from supersoniq.core import ops
from supersoniq.core.keys import KeyBook, KeyUse
from supersoniq.core.messages import Record
from supersoniq.core.ready import Line
from supersoniq.testing.reference import CheckedQueue, Store


class LateDeadlines(Store):
    """A lease is over when now > deadline, not when now >= deadline."""

    class _Queue(CheckedQueue):
        def _catch_up(self, now: int) -> None:
            lapsed = self._leases.lapsed
            with _patched(self, "_leases", _Proxy(self._leases, lapsed=lambda at: lapsed(at - 1))):
                super()._catch_up(now)

    queue = _Queue


class IgnoresPriority(Store):
    """First come, first served."""

    class _Queue(CheckedQueue):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self._line = _FlatLine()

    queue = _Queue


class LosesPlace(Store):
    """What returns goes to the end of the line."""

    class _Queue(CheckedQueue):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self._line = _BackOfTheLine()

    queue = _Queue


class ImmortalOnLapse(Store):
    """A message whose consumers die is delivered for ever."""

    class _Queue(CheckedQueue):
        def _catch_up(self, now: int) -> None:
            free = msgspec.structs.replace(self._terms, max_deliveries=0)
            with _patched(self, "_terms", free):
                super()._catch_up(now)

    queue = _Queue


class LongWindow(Store):
    """A key still holds at the instant at which its window ends."""

    class _Queue(CheckedQueue):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self._keys = _LongKeys()

    queue = _Queue


class KeepsLeasesOfTheDead(Store):
    """Leases never lapse: whoever takes a message has it for ever."""

    class _Queue(CheckedQueue):
        def _catch_up(self, now: int) -> None:
            with _patched(self, "_leases", _Proxy(self._leases, lapsed=lambda at: [])):
                super()._catch_up(now)

    queue = _Queue


class DeliversCorruption(Store):
    """Contents are not verified."""

    class _Queue(CheckedQueue):
        def is_whole(self, record: Record) -> bool:
            return True

    queue = _Queue


class CleansUpCorruption(Store):
    """What is corrupt is dropped in silence."""

    class _Queue(CheckedQueue):
        def _set_aside(self, record: Record) -> None:
            super()._set_aside(record)
            self.cancel(self._seal.prefix(record.created_at) | record.sequence, self._now)

    queue = _Queue


class LeaksRecipients(Store):
    """A consumer that names nobody gets everybody's messages."""

    class _Queue(CheckedQueue):
        def take(
            self,
            limit: int,
            recipient: str | None,
            duration: int | None,
            now: int,
            max_bytes: int | None = None,
        ) -> ops.Taken:
            for name, line in self._addressed.items():
                if recipient is None and len(line):
                    recipient = name
            return super().take(limit, recipient, duration, now, max_bytes)

    queue = _Queue


class _Proxy:
    """Another object, but for some of its methods."""

    def __init__(self, real: Any, **other: Any) -> None:
        self._real = real
        self._other = other

    def __getattr__(self, name: str) -> Any:
        return self._other[name] if name in self._other else getattr(self._real, name)


@contextmanager
def _patched(owner: Any, name: str, value: Any) -> Iterator[None]:
    """An attribute with another value for a while."""
    real = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, real)


class _FlatLine(Line):
    """A line of one rank."""

    def _rank(self, priority: int) -> Any:
        return super()._rank(0)


class _BackOfTheLine(Line):
    """A line that what returns has to join at its end."""

    def put_back(self, record: Record) -> None:
        super().put_back(record)
        rank = self._rank(record.priority)
        moved = [entry for entry in rank.returned if entry[1] is record]
        rank.returned = [entry for entry in rank.returned if entry[1] is not record]
        rank.fresh.extend(one for _, one in moved)


class _LongKeys(KeyBook):
    """Keys that hold for a millisecond too many."""

    def note(self, key: str, use: KeyUse) -> None:
        super().note(key, msgspec.structs.replace(use, until=use.until + 1))
