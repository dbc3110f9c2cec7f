"""Over HTTP: a batch is a request, stirs are a stream. ``docs/http.md`` has the server's side."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import msgspec

from supersoniq.backends.remote.connection import Address, Answer, Connection, Pool
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
    error_from_data,
)
from supersoniq.wire.answers import Answers

__all__ = ["HttpTransport"]

MSGPACK, JSON = "application/msgpack", "application/json"
IDLE = 3.0
CONNECTIONS = 16
LONGEST_LINE = 4 << 20

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
    """A SupersoniQ server's app, wherever it is mounted, over HTTP/1.1.

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
        self.url = url
        self._address, self._host, self._prefix = _parsed(url, ca)
        self._connect_timeout = _seconds("connect_timeout", connect_timeout)
        self._timeout = _seconds("timeout", timeout)
        self._pool: Pool | None = None
        self._post = self._head("POST", "/operations", MSGPACK)

    async def open(self) -> Greeting:
        """Reach the server and see who it is."""
        self._pool = Pool(
            self._address, patience=self._connect_timeout, idle=IDLE, most=CONNECTIONS
        )
        try:
            return await self._greet()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close all connections."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()
            await asyncio.sleep(0)  # for them to be closed

    async def send(self, operations: Sequence[bytes]) -> Answers:
        """Post a batch."""
        body = _pack([msgspec.Raw(each) for each in operations])
        answer = await self._open().request(_message(self._post, body), self._timeout)
        if answer.status != 200:
            raise _failure(answer, len(body))
        try:
            return _answers.decode(answer.body)
        except msgspec.MsgspecError as error:
            raise OutcomeUnknown(f"the answer cannot be read: {error}") from error

    @asynccontextmanager
    async def stirs(self, queues: Collection[str]) -> AsyncIterator[AsyncIterator[Collection[str]]]:
        """Hold a stream open."""
        pool = self._open()
        body = msgspec.json.encode({"queues": sorted(queues)})
        connection = await pool.take()
        try:
            try:
                async with asyncio.timeout(self._timeout):
                    head = self._head("POST", "/stirs", JSON)
                    answer = await connection.request(_message(head, body), stream=True)
            except TimeoutError:
                raise OutcomeUnknown(f"no answer within {self._timeout:g} s") from None
            if answer.status != 200:
                raise _failure(answer, len(body))
            yield _told(connection, self._timeout)
        finally:
            pool.drop(connection)

    async def _greet(self) -> Greeting:
        try:
            answer = await self._open().request(self._head("GET", "/") + b"\r\n", self._timeout)
        except OutcomeUnknown as error:
            raise BackendUnavailable(error.problem) from error
        if answer.status >= 500:
            raise BackendUnavailable(f"{self.url} answers {answer.status}")
        if answer.status in (401, 403, 429):
            refused = _failure(answer, 0)
            raise refused.error if isinstance(refused, Refused) else refused
        try:
            greeting = _greeting.decode(answer.body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            greeting = None
        if answer.status != 200 or greeting is None or greeting.name != "supersoniq":
            problem = f"there is no SupersoniQ server of this version at {self.url}"
            raise IncompatibleStore(problem)
        return greeting

    def _open(self) -> Pool:
        if self._pool is None:
            raise BackendUnavailable("the connection is closed")
        return self._pool

    def _head(self, method: str, path: str, kind: str | None = None) -> bytes:
        lines = [
            f"{method} {self._prefix}{path} HTTP/1.1",
            f"host: {self._host}",
            "user-agent: supersoniq",
        ]
        if kind is not None:
            lines.append(f"content-type: {kind}")
        return "".join(f"{line}\r\n" for line in lines).encode("latin-1")


def _message(head: bytes, body: bytes) -> bytes:
    return b"%scontent-length: %d\r\n\r\n%s" % (head, len(body), body)


async def _told(connection: Connection, patience: float) -> AsyncIterator[Collection[str]]:
    """What the lines of a stream say. A server that says nothing for long is no longer there."""
    rest = b""
    pieces = connection.pieces()
    while True:
        try:
            async with asyncio.timeout(patience):
                rest += await anext(pieces)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise OutcomeUnknown(f"not a word for {patience:g} s") from None
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


def _failure(answer: Answer, size: int) -> Exception:
    """What an answer to so many bytes means that is no success."""
    status = answer.status
    try:
        problem = _problem.decode(answer.body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        problem = Problem()
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


_STATUSES = frozenset(HTTPStatus)


def _parsed(url: str, ca: str | os.PathLike[str] | None) -> tuple[Address, str, str]:
    """The address behind a URL, its ``Host`` field, and the path of the app."""
    try:
        parts = urlsplit(url)
        port = parts.port
        name = parts.hostname or ""
        host = name if ":" in name else name.encode("idna").decode()
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidSetting("url", url, f"is no URL: {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise InvalidSetting("url", url, "takes http://host:port/prefix or https://...")
    if parts.username is not None or parts.query or parts.fragment:
        raise InvalidSetting("url", url, "takes no user, query or fragment; options are keywords")
    if not _PATH.fullmatch(parts.path):
        raise InvalidSetting("url", url, "has a path that must be percent-encoded")
    secure = parts.scheme == "https"
    shown = f"[{host}]" if ":" in host else host
    if port is not None:
        shown += f":{port}"
    address = Address(host, port or (443 if secure else 80), _trust(secure, ca))
    return address, shown, parts.path.rstrip("/")


_PATH = re.compile(r"[!-~]*")


def _seconds(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 86_400:
        raise InvalidSetting(name, value, "takes seconds, more than 0 and at most a day")
    return float(value)


def _trust(secure: bool, ca: str | os.PathLike[str] | None) -> ssl.SSLContext | None:
    if not secure:
        if ca is not None:
            raise InvalidSetting("ca", ca, "means nothing without https://")
        return None
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, TypeError) as error:
        raise InvalidSetting("ca", ca, f"cannot be read: {error}") from None
    context.set_alpn_protocols(["http/1.1"])
    return context
