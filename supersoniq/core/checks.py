"""The door: every value that comes from outside is checked here, once.

Each function takes the field's name (for the error), the value, and returns it in the form that
the core keeps: durations in seconds become integer milliseconds. The limits are constants, so that
documents and tests can name them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from supersoniq.core.errors import InvalidArgument, InvalidName

__all__ = [
    "MAX_BATCH",
    "MAX_DURATION",
    "MAX_HEADERS",
    "MAX_HEADERS_SIZE",
    "MAX_KEY",
    "MAX_PRIORITY",
    "MAX_REASON",
    "MAX_SUBJECT",
    "MIN_PRIORITY",
    "content_type",
    "duration",
    "headers",
    "instant",
    "integer",
    "label",
    "priority",
    "queue_name",
    "reason",
]

MIN_PRIORITY, MAX_PRIORITY = -32768, 32767
MAX_DURATION = 10 * 366 * 86_400
"""Longest delay, ttl or retention, in seconds: ten years."""
MAX_KEY = 256
"""Longest deduplication key, in characters."""
MAX_SUBJECT = 256
"""Longest sender or recipient, in characters."""
MAX_REASON = 1_000
"""Longest reason of a nack or reject, in characters."""
MAX_HEADERS = 64
MAX_HEADERS_SIZE = 16_384
"""Names and values of all headers together, in characters."""
MAX_BATCH = 10_000
"""Most messages in one publish, lease, settlement or page."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_TYPE = re.compile(r"[\x21-\x7e][\x20-\x7e]{0,254}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def queue_name(name: object) -> str:
    """A queue name.

    Raises:
        InvalidName: not a string of 1 to 128 of ``A-Z a-z 0-9 . _ -`` that begins with a
            letter or a digit.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        rule = "1 to 128 of A-Z a-z 0-9 . _ -, beginning with a letter or a digit"
        raise InvalidName("queue", name, rule)
    return name


def integer(field: str, value: object, low: int, high: int) -> int:
    """An integer within ``low..high``; ``bool`` is not one."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InvalidArgument(field, value, f"takes an integer from {low} to {high}")
    return value


def priority(value: object) -> int:
    """A priority: -32768 to 32767, higher is sooner."""
    return integer("priority", value, MIN_PRIORITY, MAX_PRIORITY)


def duration(field: str, value: object, low: float = 0.0, high: float = MAX_DURATION) -> int:
    """A duration in seconds (a number or a ``timedelta``) as milliseconds, rounded up."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if (
        not isinstance(seconds, int | float)
        or isinstance(seconds, bool)
        or not low <= seconds <= high  # also refuses NaN
    ):
        raise InvalidArgument(field, value, f"takes seconds from {low:g} to {high:g}")
    return math.ceil(round(seconds * 1000, 3))


def instant(field: str, value: object) -> int:
    """An instant: integer milliseconds since the Unix epoch, or an aware ``datetime``."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise InvalidArgument(field, value, "has no time zone; use datetime.now(UTC)")
        value = math.ceil(value.timestamp() * 1000)
    return integer(field, value, 0, 253_402_300_799_999)


def label(field: str, value: object, longest: int) -> str:
    """A key, sender, recipient: text without control characters."""
    if not isinstance(value, str) or not 0 < len(value) <= longest:
        raise InvalidArgument(field, value, f"takes a string of 1 to {longest} characters")
    if _CONTROL.search(value):
        raise InvalidArgument(field, value, "has a control character or a lone surrogate")
    return value


def reason(value: object) -> str | None:
    """Why a message failed: text of at most ``MAX_REASON`` characters, or nothing."""
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > MAX_REASON:
        rule = f"takes a string of at most {MAX_REASON} characters"
        raise InvalidArgument("reason", value, rule)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidArgument("reason", value, "has a lone surrogate") from None
    return value or None


def content_type(value: object) -> str:
    """A media type: 1 to 255 printable ASCII characters (RFC 9110, section 8.3)."""
    if not isinstance(value, str) or not _TYPE.fullmatch(value):
        rule = "takes a media type: 1 to 255 printable ASCII characters"
        raise InvalidArgument("content_type", value, rule)
    return value


def headers(value: object) -> dict[str, str] | None:
    """Headers: a flat map of str to str, or nothing. A copy, so that later changes stay outside."""
    if value is None:
        return None
    if not isinstance(value, Mapping) or len(value) > MAX_HEADERS:
        rule = f"takes a map of at most {MAX_HEADERS} strings to strings"
        raise InvalidArgument("headers", value, rule)
    kept: dict[str, str] = {}
    size = 0
    for name, text in value.items():
        label("headers", name, 256)
        _header_value(name, text)
        size += len(name) + len(text)
        kept[name] = text
    if size > MAX_HEADERS_SIZE:
        rule = f"holds {size} characters in all; at most {MAX_HEADERS_SIZE}"
        raise InvalidArgument("headers", "...", rule)
    return kept or None


def _header_value(name: str, text: Any) -> None:
    field = f"headers[{name!r}]"
    if not isinstance(text, str):
        raise InvalidArgument(field, text, "takes a string")
    if _CONTROL.search(text):
        raise InvalidArgument(field, text, "has a control character or a lone surrogate")
