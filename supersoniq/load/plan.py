"""What load to make."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from supersoniq.core import checks
from supersoniq.core.errors import InvalidArgument

__all__ = ["MARK", "Plan"]

MARK = 16
"""Bytes at the beginning of each content that say which message of the run it is."""
MAX_PRIORITY = 32_767
MAX_SIZE = 1 << 30
"""Far above what any queue takes: its own limit refuses first."""


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What load to make. Checked by ``check``."""

    duration: float = 10.0
    """Seconds to publish for; what is queued then is still worked off."""
    messages: int | None = None
    """Publish so many, however long it takes, instead of for ``duration``."""
    rate: float = 0.0
    """Messages a second to publish; 0: as fast as it goes."""
    publishers: int = 16
    """Calls that publish at the same time, at most."""
    batch: int = 1
    """Messages published in one call."""
    consumers: int = 16
    """Messages worked on at the same time; 0: nobody consumes, and the messages stay queued."""
    size: int = 256
    """Bytes of content, at least 16."""
    priorities: Mapping[int, float] = msgspec.field(default_factory=lambda: {0: 1.0})
    """How often each priority is given, as weights."""
    fail: float = 0.0
    """Share of deliveries that fail and come back, 0 to 1."""
    work: float = 0.0
    """Seconds that a message is worked on."""
    patience: float = 30.0
    """Seconds without any progress after which what is still queued at the end is given up."""
    seed: int | None = None
    """Of the dice for priorities and failures; ``None``: another one each time."""

    def check(self) -> Plan:
        """This plan, if it can be carried out.

        Raises:
            InvalidArgument: a field is out of its range.
        """
        for name, least, most in (
            ("publishers", 1, 10_000),
            ("batch", 1, checks.MAX_BATCH),
            ("consumers", 0, checks.MAX_BATCH),
            ("size", MARK, MAX_SIZE),
        ):
            checks.integer(name, getattr(self, name), least, most)
        if self.messages is not None:
            checks.integer("messages", self.messages, 1, 10**9)
        _number("duration", self.duration, 0.1, 7 * 86_400)
        _number("rate", self.rate, 0, 10_000_000)
        _number("work", self.work, 0, 3600)
        _number("patience", self.patience, 0.1, 86_400)
        _number("fail", self.fail, 0, 1)
        if not self.priorities:
            raise InvalidArgument("priorities", {}, "needs at least one")
        for priority, weight in self.priorities.items():
            checks.integer("priorities", priority, -MAX_PRIORITY - 1, MAX_PRIORITY)
            _number("priorities", weight, 0, 1e9)
        if not sum(self.priorities.values()):
            raise InvalidArgument("priorities", dict(self.priorities), "needs a weight above 0")
        return self


def _number(name: str, value: Any, least: float, most: float) -> None:
    if not (isinstance(value, int | float) and math.isfinite(value) and least <= value <= most):
        raise InvalidArgument(name, value, f"takes {least:g} to {most:g}")
