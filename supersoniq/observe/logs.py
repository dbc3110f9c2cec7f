"""Lines of log: what one looks like, whose request it belongs to, and how many there may be.

Everything goes through the standard ``logging`` below the logger ``supersoniq``, so that a program
that embeds an app has it wherever its own log goes. ``set_up`` is for a program that is nothing but
a server. Its lines are one each, whatever a client has sent: as text with control characters
escaped, or as one JSON object. Some records carry an ``event``, a word that stays the same, and
``fields``, facts by name; see ``event``.

What clients do again and again must neither fill a disk nor hide what else is told: of one kind of
line below ``ERROR``, ``BURST`` are written at once and then one a ``PAUSE``, which says how many
were left out.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, MutableMapping
from contextvars import ContextVar
from itertools import count
from secrets import token_hex
from typing import Any, Literal

__all__ = [
    "BURST",
    "PAUSE",
    "Limiter",
    "as_json",
    "as_text",
    "event",
    "request_id",
    "set_up",
    "within",
]

BURST = 50
"""Lines of one kind that are written without a pause."""
PAUSE = 1.0
"""Seconds for which further ones then are counted instead."""
KINDS = 1000
"""Kinds that are told apart, the oldest forgotten first."""
_CALL: ContextVar[MutableMapping[str, Any] | None] = ContextVar("supersoniq_call", default=None)
_START, _NUMBER = token_hex(4), count(1)
_ID = "supersoniq.request_id"
_IDS = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


def event(
    log: logging.Logger,
    level: int,
    name: str,
    text: str,
    /,
    **fields: Any,
) -> None:
    """Write a line on something that an operator may want to look for.

    Args:
        log: below ``supersoniq``.
        level: a level of ``logging``.
        name: what happened, in one word: it never changes.
        text: the same for people.
        fields: the facts: text, numbers, or lists of them. Never a content or a token.
    """
    if log.isEnabledFor(level):
        log.log(level, "%s", text, extra={"event": name, "fields": fields})


class within:
    """Have all lines that are written meanwhile name this call.

    Args:
        scope: the ASGI scope of a request or a WebSocket.
    """

    __slots__ = ("_scope", "_token")

    def __init__(self, scope: MutableMapping[str, Any]) -> None:
        self._scope = scope

    def __enter__(self) -> None:
        self._token = _CALL.set(self._scope)

    def __exit__(self, *_error: object) -> None:
        _CALL.reset(self._token)


def request_id(scope: MutableMapping[str, Any]) -> str:
    """What lines call this request: its ``X-Request-ID``, if that is a plain word, or a new name.

    A plain word is 1 to 64 letters, digits, dots, dashes and underscores.
    """
    known = scope.get(_ID)
    if known is None:
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        plain = 0 < len(given) <= 64 and _IDS.issuperset(given)
        known = scope[_ID] = given.decode() if plain else f"{_START}-{next(_NUMBER)}"
    return str(known)


def as_text(record: logging.LogRecord) -> str:
    """A record as a line for people: ``WARNING: what happened queue=emails``.

    The traceback of a bug follows on lines of its own.
    """
    facts = _facts(record)
    facts.pop("event", None)
    told = "".join(f" {name}={_word(value)}" for name, value in facts.items())
    line = f"{record.levelname}: {_one_line(record.getMessage())}{told}"
    trace = _trace(record)
    return line if trace is None else f"{line}\n{trace}"


def as_json(record: logging.LogRecord) -> str:
    """A record as one JSON object."""
    told = {
        "time": _time(record),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": record.getMessage(),
        **_facts(record),
    }
    trace = _trace(record)
    if trace is not None:
        told["exception"] = trace
    return json.dumps(told, default=str)


class Limiter(logging.Filter):
    """Leaves lines out where one kind of them comes too fast.

    Args:
        now: seconds on a clock that never goes back.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._kinds: dict[object, list[float]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is written."""
        if record.levelno >= logging.ERROR:
            return True
        kind = (record.name, getattr(record, "event", None), record.msg)
        now = self._now()
        found = self._kinds.get(kind)
        if found is None:
            if len(self._kinds) >= KINDS:
                del self._kinds[next(iter(self._kinds))]
            found = self._kinds[kind] = [float(BURST), now, 0]
        left, since, omitted = found
        left = min(left + (now - since) / PAUSE, BURST)
        if left < 1:
            found[:] = left, now, omitted + 1
            return False
        found[:] = left - 1, now, 0
        if omitted:
            record.omitted = int(omitted)
        return True


class _Formatter(logging.Formatter):
    def __init__(self, write: Callable[[logging.LogRecord], str]) -> None:
        super().__init__()
        self._write = write

    def format(self, record: logging.LogRecord) -> str:
        return self._write(record)


def set_up(format: Literal["text", "json"] = "text", level: str = "warning") -> None:
    """Write what a server has to tell to standard error; for a program that is nothing else.

    Args:
        format: ``text`` for people, each line with its time, unless systemd's journal takes them,
            which has its own; ``json`` for machines.
        level: the least that is written of SupersoniQ's own lines: ``debug``, ``info``,
            ``warning``, ``error``. Of other libraries' it is ``warning``.
    """
    text = as_text if "JOURNAL_STREAM" in os.environ else _dated
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(logging.StreamHandler())
    for handler in root.handlers:
        handler.setFormatter(_Formatter(as_json if format == "json" else text))
        handler.addFilter(Limiter())
    logging.getLogger("supersoniq").setLevel(level.upper())


def _time(record: logging.LogRecord) -> str:
    seconds, rest = divmod(record.created, 1)
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{at}.{int(rest * 1000):03d}Z"


def _dated(record: logging.LogRecord) -> str:
    return f"{_time(record)} {as_text(record)}"


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    """What a record says beside its text."""
    told: dict[str, Any] = {}
    name = getattr(record, "event", None)
    if name is not None:
        told["event"] = name
        told |= getattr(record, "fields", {})
    call = _CALL.get()
    if call is not None:
        told["request"] = request_id(call)
    omitted = getattr(record, "omitted", 0)
    if omitted:
        told["omitted"] = omitted
    return told


def _trace(record: logging.LogRecord) -> str | None:
    if not record.exc_info or record.exc_info[0] is None:
        return None
    return logging.Formatter().formatException(record.exc_info)


def _word(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    plain = text and text.isprintable() and not set(text) & set(" \"'=")
    return text if plain else json.dumps(text)


def _one_line(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)
