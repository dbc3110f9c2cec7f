"""What the server's own errors mean for whoever made the call."""

from __future__ import annotations

import re
from collections.abc import Callable

from redis.exceptions import (
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    TryAgainError,
)

from supersoniq.core.errors import (
    BackendUnavailable,
    OutcomeUnknown,
    StorageFull,
    SupersoniqError,
)

__all__ = ["is_unknown_script", "like", "meaning", "no_memory"]

_BEFORE_ANYTHING = re.compile(
    r"\b(OOM|READONLY|LOADING|BUSY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|NOREPLICAS|MISCONF|NOAUTH)\b"
)
"""Refusals of the first write, or of the whole script: nothing has been done."""
_FULL = "the server has reached its maxmemory; raise it, or let consumers catch up"


def no_memory() -> StorageFull:
    """The error for a publish that a server without memory refuses."""
    return StorageFull(_FULL)


def is_unknown_script(answer: object) -> bool:
    """Whether the server must be told the script first. Nothing was done."""
    return isinstance(answer, NoScriptError)


def meaning(error: RedisError, *, reads: bool) -> Callable[[], SupersoniqError]:
    """What makes the error that a caller gets, one for each.

    Args:
        error: the server's.
        reads: nothing but time could have changed anything.
    """
    text = str(error)
    if isinstance(error, OutOfMemoryError):
        return no_memory
    known = (BusyLoadingError, ReadOnlyError, MasterDownError, ClusterDownError, TryAgainError)
    at_the_door = isinstance(error, NoPermissionError) and "script" not in text
    if reads or at_the_door or isinstance(error, known) or _BEFORE_ANYTHING.search(text):
        return lambda: BackendUnavailable(f"the server refuses: {text}")
    # A script that fails half way is not rolled back.
    return lambda: OutcomeUnknown(f"the server failed: {text}")


def like(error: SupersoniqError) -> Callable[[], SupersoniqError]:
    """Makes errors like this one: a shared one would gather all callers' tracebacks."""
    return lambda: type(error)(**error.data)
