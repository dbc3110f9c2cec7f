"""What a server's refusal means: certainly not done, perhaps done, or no use in trying again."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec

from supersoniq.backends.remote.transport import Refused
from supersoniq.core.errors import (
    AuthenticationFailed,
    BackendUnavailable,
    IncompatibleStore,
    InvalidArgument,
    OutcomeUnknown,
    PermissionDenied,
    RateLimited,
    error_from_data,
)

__all__ = ["Problem", "failure", "problem_in"]


class Problem(msgspec.Struct, frozen=True):
    """As much of a problem document (RFC 9457) as it takes to raise the error."""

    code: str = ""
    detail: str = ""
    data: dict[str, Any] = {}
    status: int = 0


_problem = msgspec.json.Decoder(Problem)
_STATUSES = frozenset(HTTPStatus)


def problem_in(body: bytes) -> Problem:
    """The problem that a body tells of; an empty one if it tells of none."""
    try:
        return _problem.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return Problem()


def failure(status: int, problem: Problem, size: int) -> Exception:
    """What an answer to so many bytes means that is no success."""
    phrase = HTTPStatus(status).phrase if status in _STATUSES else ""
    detail = problem.detail or f"the server answers {status} {phrase}".rstrip()
    error = error_from_data(problem.code, problem.data, detail)
    known = not isinstance(error, OutcomeUnknown)
    if status == 503:
        return BackendUnavailable(detail)
    if status >= 500:
        return error if isinstance(error, BackendUnavailable) else OutcomeUnknown(detail)
    if known:
        return Refused(error)
    if status == 401:
        return Refused(AuthenticationFailed(detail))
    if status == 403:
        return Refused(PermissionDenied(detail))
    if status == 408:
        return BackendUnavailable(detail)
    if status == 429:
        return Refused(RateLimited(1))
    if status < 400:
        return Refused(IncompatibleStore(detail))
    return Refused(InvalidArgument("batch", size, f"the server refuses it: {detail}"))
