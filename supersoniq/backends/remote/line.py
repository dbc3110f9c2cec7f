"""What ``http.py`` needs of a version of HTTP: requests there, answers back, and streams."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple

from supersoniq.backends.remote.bearer import Token

__all__ = ["Answer", "Line", "Request", "words"]

LARGEST = 1 << 31
"""Bytes of an answer."""
AHEAD = 1 << 18
"""Bytes of a stream that wait to be looked at, beyond which nothing more is read."""


class Request(NamedTuple):
    """A request."""

    method: str
    path: str
    kind: str = ""
    """The media type of the body, if there is one."""
    body: bytes = b""
    token: Token | None = None
    """With which it is made."""


class Answer(NamedTuple):
    """An answer, whole, or its head if it is a stream."""

    status: int
    body: bytes


class Line(ABC):
    """Connections to one server, made when they are needed."""

    @abstractmethod
    async def request(self, request: Request, timeout: float) -> Answer:
        """Send a request and wait for its answer.

        Args:
            request: the request.
            timeout: seconds to wait, from when it was sent.

        Raises:
            BackendUnavailable: nothing was sent, or the server says that it did not look at it.
            OutcomeUnknown: no answer came.
        """

    @abstractmethod
    def stream(
        self, request: Request, timeout: float
    ) -> AbstractAsyncContextManager[tuple[Answer, AsyncIterator[bytes]]]:
        """Send a request and wait for the head of its answer; then give what comes, as it comes.

        An answer with another status than 200 is whole.

        Raises:
            BackendUnavailable, OutcomeUnknown: as for a request. The iterator raises the latter.
        """

    @abstractmethod
    def close(self) -> None:
        """Close all connections, whatever is under way."""


def words(error: BaseException | None) -> str:
    """An error in words."""
    return f"{type(error).__name__}: {error}".rstrip(": ")
