"""From an error to its answer: the one table of statuses, and problem documents (RFC 9457).

    {"type": "urn:supersoniq:problem:queue-full", "title": "Queue full", "status": 429,
     "detail": "queue 'jobs' holds 10 unfinished messages; its max_length is 10",
     "code": "queue-full", "retry": true, "data": {"queue": "jobs", "length": 10, "limit": 10}}

``type`` is a name, not an address; its tail is ``code``. ``retry`` says whether the very same
request can succeed later, and ``Retry-After`` then says when to try. ``data`` holds the error's
facts, under the names that it has in Python, so that a client can raise the very same error.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import msgspec

from supersoniq.adapters.access import UNSENT
from supersoniq.adapters.http.forms import Progress
from supersoniq.core import errors

__all__ = ["REFUSALS", "STATUS", "URN", "Problem", "Refusal", "problem_of", "status_of", "tries"]

URN = "urn:supersoniq:problem:"

STATUS: dict[type[errors.SupersoniqError], int] = {
    errors.InvalidArgument: 400,  # and so InvalidName, InvalidPolicy, InvalidId
    errors.AuthenticationFailed: 401,
    errors.PermissionDenied: 403,
    errors.TooManyQueues: 403,
    errors.QueueNotFound: 404,
    errors.MessageNotFound: 404,
    errors.IllegalMove: 409,  # and so MessageLeased
    errors.KeyConflict: 409,
    errors.LeaseLost: 409,
    errors.ContentTooLarge: 413,
    errors.QueueFull: 429,
    errors.RateLimited: 429,  # and so TooManyOpen
    errors.BackendUnavailable: 503,  # and so IncompatibleStore
    errors.Closed: 503,
    errors.OutcomeUnknown: 504,
    errors.StorageFull: 507,
    errors.SupersoniqError: 500,
}
"""An error that is not here has the status of its nearest base."""

AGAIN = (errors.Closed,)
"""Errors after which this program cannot try again, but its clients can: it may be restarting."""


class Problem(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A problem document."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    retry: bool
    data: dict[str, Any] = {}
    published: Progress | None = None
    """What an NDJSON body had published before this."""
    retry_after: int = 0
    """Seconds; the ``Retry-After`` header repeats it."""
    allow: str = ""
    """The methods that would do."""

    def headers(self) -> list[tuple[bytes, bytes]]:
        """The header fields that go with it."""
        fields: list[tuple[bytes, bytes]] = []
        if self.retry_after:
            fields.append((b"retry-after", b"%d" % self.retry_after))
        if self.allow:
            fields.append((b"allow", self.allow.encode()))
        if self.status == 401:
            # Who sent none is just asked for one (RFC 6750, section 3.1).
            none = self.data.get("problem") in UNSENT
            fault = b"Bearer" if none else b'Bearer error="invalid_token"'
            fields.append((b"www-authenticate", fault))
        if self.code == "permission-denied":
            fields.append((b"www-authenticate", b'Bearer error="insufficient_scope"'))
        if self.status == 408:
            fields.append((b"connection", b"close"))
        if self.status == 426:
            fields.append((b"upgrade", b"websocket"))
        return fields


REFUSALS = {
    404: "not-found",
    405: "method-not-allowed",
    406: "not-acceptable",
    408: "request-timeout",
    413: "body-too-large",
    415: "unsupported-media-type",
    426: "upgrade-required",
    500: "internal-error",
    503: "too-busy",
}
"""The codes of what is wrong with a request whatever the queue, and of a bug."""


class Refusal(Exception):
    """The request was refused before anything was touched."""

    def __init__(self, status: int, detail: str, *, allow: Iterable[str] = (), **data: Any) -> None:
        super().__init__(detail)
        code = REFUSALS[status]
        late = status in (408, 503)
        self.problem = Problem(
            type=URN + code,
            title=code.replace("-", " ").capitalize(),
            status=status,
            detail=detail,
            code=code,
            retry=late,
            data=data,
            retry_after=1 if late else 0,
            allow=", ".join(allow),
        )


def status_of(kind: type[errors.SupersoniqError]) -> int:
    """The status of an error: its own, or that of its nearest base."""
    return next(STATUS[each] for each in kind.__mro__ if each in STATUS)


def tries(kind: type[errors.SupersoniqError]) -> bool:
    """Whether a client can try the very same request again later."""
    return kind.retry or issubclass(kind, AGAIN)


def problem_of(error: errors.SupersoniqError) -> Problem:
    """The document for an error."""
    status = status_of(type(error))
    retry = tries(type(error))
    after = getattr(error, "retry_after", 1) if retry else 0
    detail = str(error)
    if isinstance(error, errors.Closed):  # which tells a program what to do, and no client
        detail = f"{error.what} is going away; come back"
    return Problem(
        type=f"{URN}{error.code}",
        title=error.code.replace("-", " ").capitalize(),
        status=status,
        detail=detail,
        code=error.code,
        retry=retry,
        data=error.data,
        retry_after=math.ceil(after),
    )
