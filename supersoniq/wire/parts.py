"""Shapes that several calls share."""

from __future__ import annotations

from typing import Annotated

import msgspec

from supersoniq.core import checks
from supersoniq.core.errors import InvalidArgument
from supersoniq.core.ops import Outcome, Settlement
from supersoniq.core.policy import MAX_LEASE, MIN_LEASE
from supersoniq.wire.bounds import (
    Delay,
    Extension,
    Key,
    Priority,
    Reason,
    Recipient,
    Sender,
    Ttl,
    told,
)

__all__ = [
    "In",
    "Options",
    "Seconds",
    "SettlementIn",
    "SettlementShape",
    "milliseconds",
    "seconds",
]

Seconds = int | float


class In(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What clients send: an unknown field is an error, not a surprise."""


class Options(In):
    """What a message can have beside its content."""

    priority: Priority = 0
    delay: Delay = 0
    ttl: Ttl | None = None
    key: Key | None = None
    sender: Sender | None = None
    recipient: Recipient | None = None


class SettlementIn(In):
    """What a consumer says of one lease."""

    receipt: str
    outcome: Outcome
    delay: Annotated[Delay, told("nack: by default the queue's `backoff`; release: 0.")] | None = (
        None
    )
    reason: Reason | None = None
    duration: Extension | None = None

    def settlement(self) -> Settlement:
        """The checked settlement.

        Raises:
            InvalidArgument: a field is out of its range, or means nothing with that outcome.
        """
        if self.delay is None and self.reason is None and self.duration is None:
            return Settlement(self.receipt, self.outcome)
        for field in _FIELDS - _MEANT[self.outcome]:
            if (given := getattr(self, field)) is not None:
                rule = f"means nothing with the outcome {self.outcome}"
                raise InvalidArgument(field, given, rule)
        return Settlement(
            self.receipt,
            self.outcome,
            None if self.delay is None else checks.duration("delay", self.delay),
            checks.reason(self.reason),
            None
            if self.duration is None
            else checks.duration("duration", self.duration, MIN_LEASE, MAX_LEASE),
        )

    @classmethod
    def of(cls, settlement: Settlement) -> SettlementIn:
        """A settlement in words: just those fields that go with its outcome."""
        held, outcome = settlement.receipt, settlement.outcome
        meant = _MEANT[outcome]
        text = held if isinstance(held, str) else held.receipt
        return cls(
            receipt=text if text.isascii() else ascii(text),  # none of ours, and it may not travel
            outcome=outcome,
            delay=seconds(settlement.delay) if "delay" in meant else None,
            reason=settlement.reason if "reason" in meant else None,
            duration=seconds(settlement.duration) if "duration" in meant else None,
        )


_FIELDS = frozenset({"delay", "reason", "duration"})
_MEANT: dict[Outcome, frozenset[str]] = {
    Outcome.ACK: frozenset(),
    Outcome.NACK: frozenset({"delay", "reason"}),
    Outcome.RELEASE: frozenset({"delay"}),
    Outcome.REJECT: frozenset({"reason"}),
    Outcome.EXTEND: frozenset({"duration"}),
}
"""The fields that go with an outcome."""

SettlementShape = Annotated[
    SettlementIn,
    msgspec.Meta(
        extra_json_schema={
            "oneOf": [
                {
                    "properties": {
                        "outcome": {"const": outcome.value},
                        **{field: {"type": "null"} for field in sorted(_FIELDS - meant)},
                    }
                }
                for outcome, meant in _MEANT.items()
            ]
        }
    ),
]
"""A settlement, for those who read the schema: which fields go with its outcome."""


def seconds(milliseconds: int | None) -> Seconds | None:
    """A duration of the core as it travels."""
    if milliseconds is None:
        return None
    whole, rest = divmod(milliseconds, 1000)
    return milliseconds / 1000 if rest else whole


def milliseconds(
    field: str, value: Seconds | None, low: float = 0, high: float = checks.MAX_DURATION
) -> int | None:
    """A duration that travelled, checked, as the core has it.

    Raises:
        InvalidArgument: it is out of its range.
    """
    return None if value is None else checks.duration(field, value, low, high)
