"""Over HTTP: a batch is a request, stirs are a stream. ``docs/http.md`` has the server's side."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec

from supersoniq.backends.remote.transport import Greeting, Refused, Transport
from supersoniq.core.errors import (
    AuthenticationFailed,
    BackendUnavailable,
    IncompatibleStore,
    InvalidArgument,
    InvalidSetting,
    OutcomeUnknown,
    PermissionDenied,
    RateLimited,
    SupersoniqError,
    error_from_data,
)
from supersoniq.wire.answers import Answers

__all__ = ["HttpTransport"]

PACKED = {"content-type": "application/msgpack"}
LINES = {"accept": "application/x-ndjson"}
IDLE = 3.0
"""Seconds that an idle connection is kept: less than any server does, so that a request does not
meet a connection that is just being closed, which would leave its outcome unknown."""
CONNECTIONS = 16
LONGEST_LINE = 4 << 20

_Array = list[msgspec.Raw]
_pack = msgspec.msgpack.Encoder().encode
_answers = msgspec.msgpack.Decoder(Answers)
_greeting = msgspec.json.Decoder(Greeting)


class Problem(msgspec.Struct):
    """As much of a problem document (RFC 9457) as it takes to raise the error."""

    code: str = ""
    detail: str = ""
    data: dict[str, Any] = {}


class Line(msgspec.Struct):
    """One line of a stream of stirs."""

    kind: str
    queues: list[str] = []
    keep_alive: float = 15.0


_problem = msgspec.json.Decoder(Problem)
_line = msgspec.json.Decoder(Line)


class HttpTransport(Transport):
    """A SupersoniQ server's app, wherever it is mounted.

    Args:
        url: of the app's front page: ``https://host/prefix``.
        connect_timeout: seconds to reach the server.
        timeout: seconds to wait for its answer to a batch, from when it was sent.
        ca: a file of certificates to trust, instead of the system's, for a server's own.

    Raises:
        InvalidSetting: one of them cannot be.
    """

    def __init__(
        self,
        url: str,
        *,
        connect_timeout: float = 5.0,
        timeout: float = 30.0,
        ca: str | os.PathLike[str] | None = None,
        **unknown: Any,
    ) -> None:
        for name, value in unknown.items():
            known = "patience, connect_timeout, timeout, ca"
            raise InvalidSetting(name, value, f"no such option; http has: {known}")
        self.url = _base(url)
        self._connect_timeout = _seconds("connect_timeout", connect_timeout)
        self._timeout = _seconds("timeout", timeout)
        self._trust = _trust(self.url, ca)
        self._client: httpx.AsyncClient | None = None

    async def open(self) -> Greeting:
        """Reach the server and see who it is."""
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(
                self._timeout, connect=self._connect_timeout, pool=self._connect_timeout
            ),
            limits=httpx.Limits(max_connections=CONNECTIONS, keepalive_expiry=IDLE),
            verify=self._trust,
            headers={"user-agent": "supersoniq"},
        )
        try:
            return await self._greet()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close all connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def send(self, operations: Sequence[bytes]) -> Answers:
        """Post a batch."""
        body = _pack([msgspec.Raw(each) for each in operations])
        answer = await self._request("POST", "/operations", body)
        if answer.status_code == 200:
            try:
                return _answers.decode(answer.content)
            except msgspec.MsgspecError as error:
                raise OutcomeUnknown(f"the answer cannot be read: {error}") from error
        raise _failure(answer)

    @asynccontextmanager
    async def stirs(self, queues: Collection[str]) -> AsyncIterator[AsyncIterator[Collection[str]]]:
        """Hold a stream open."""
        client = self._open()
        asked = client.build_request(
            "POST", self.url + "/stirs", json={"queues": list(queues)}, headers=LINES
        )
        asked.extensions["timeout"]["read"] = None  # it knows better itself
        try:
            async with asyncio.timeout(self._connect_timeout + self._timeout):
                answer = await client.send(asked, stream=True)
        except (httpx.HTTPError, OSError, TimeoutError) as error:
            raise _lost(error) from error
        try:
            if answer.status_code != 200:
                await answer.aread()
                raise _failure(answer)
            yield _told(answer, self._timeout)
        except (httpx.HTTPError, OSError, TimeoutError) as error:
            raise _lost(error) from error
        finally:
            await answer.aclose()

    async def _greet(self) -> Greeting:
        try:
            answer = await self._request("GET", "/")
        except OutcomeUnknown as error:
            raise BackendUnavailable(error.problem) from error
        if answer.status_code >= 500:
            raise BackendUnavailable(f"{self.url} answers {answer.status_code}")
        try:
            greeting = _greeting.decode(answer.content)
        except msgspec.MsgspecError:
            greeting = None
        if answer.status_code in (401, 403, 429):
            raise _failure(answer)
        if answer.status_code != 200 or greeting is None or greeting.name != "supersoniq":
            problem = f"there is no SupersoniQ server of this version at {self.url}/"
            raise IncompatibleStore(problem)
        return greeting

    async def _request(self, method: str, path: str, body: bytes | None = None) -> httpx.Response:
        client = self._open()
        try:
            # Pieces that each come in time may still make an answer that never ends.
            async with asyncio.timeout(self._connect_timeout + 2 * self._timeout):
                return await client.request(
                    method, self.url + path, content=body, headers=PACKED if body else None
                )
        except (httpx.HTTPError, OSError, TimeoutError) as error:
            raise _lost(error) from error

    def _open(self) -> httpx.AsyncClient:
        if self._client is None:
            raise BackendUnavailable("the connection is closed")
        return self._client


async def _told(answer: httpx.Response, patience: float) -> AsyncIterator[Collection[str]]:
    """What the lines of a stream say. A server that says nothing for long is no longer there."""
    rest = b""
    pieces = answer.aiter_raw()
    while True:
        try:
            async with asyncio.timeout(patience):
                rest += await anext(pieces)
        except StopAsyncIteration:
            return
        *lines, rest = rest.split(b"\n")
        stirred: set[str] = set()
        listening = False
        for text in lines:
            try:
                line = _line.decode(text)
            except msgspec.MsgspecError as error:
                raise OutcomeUnknown(f"a line cannot be read: {error}") from error
            stirred.update(line.queues)
            if line.kind == "listening":
                listening = True
                patience = 2 * line.keep_alive + 5
        if stirred or listening:
            yield stirred
        if len(rest) > LONGEST_LINE:
            raise OutcomeUnknown("a line without end")


def _lost(error: Exception) -> SupersoniqError:
    """What a failed request means: was anything sent?"""
    problem = f"{type(error).__name__}: {error}".rstrip(": ")
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        return BackendUnavailable(problem)
    if isinstance(error, httpx.UnsupportedProtocol | httpx.ProxyError):
        return BackendUnavailable(problem)
    return OutcomeUnknown(problem)


def _failure(answer: httpx.Response) -> Exception:
    """What an answer that is no success means."""
    status = answer.status_code
    try:
        problem = _problem.decode(answer.content)
    except msgspec.MsgspecError:
        problem = Problem()
    detail = problem.detail or f"the server answers {status} {answer.reason_phrase}"
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
    size = len(answer.request.content)
    return Refused(InvalidArgument("batch", size, f"the server refuses it: {detail}"))


def _base(url: str) -> str:
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError) as error:
        raise InvalidSetting("url", url, f"is no URL: {error}") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise InvalidSetting("url", url, "takes http://host:port/prefix or https://...")
    if parsed.userinfo or parsed.query or parsed.fragment:
        raise InvalidSetting("url", url, "takes no user, query or fragment; options are keywords")
    return str(parsed).rstrip("/")


def _seconds(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 86_400:
        raise InvalidSetting(name, value, "takes seconds, more than 0 and at most a day")
    return float(value)


def _trust(url: str, ca: str | os.PathLike[str] | None) -> ssl.SSLContext | bool:
    if not url.startswith("https:"):
        if ca is not None:
            raise InvalidSetting("ca", ca, "means nothing without https://")
        return False  # and nobody spends time on reading certificates
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, TypeError) as error:
        raise InvalidSetting("ca", ca, f"cannot be read: {error}") from None
