"""Over HTTP: a batch is a request, stirs are a stream. ``docs/http.md`` has the server's side."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from supersoniq.backends.remote.address import Place, place, seconds
from supersoniq.backends.remote.bearer import Bearer, Token, TokenSource
from supersoniq.backends.remote.failures import failure, problem_in
from supersoniq.backends.remote.line import Answer, Line, Request
from supersoniq.backends.remote.transport import Greeting, Refused, Transport
from supersoniq.core.errors import (
    BackendUnavailable,
    IncompatibleStore,
    InvalidSetting,
    MissingExtra,
    OutcomeUnknown,
    SupersoniqError,
)
from supersoniq.wire.answers import Answers

__all__ = ["HttpTransport"]

MSGPACK, JSON = "application/msgpack", "application/json"
IDLE = 3.0
CONNECTIONS = 16
LONGEST_LINE = 4 << 20
PROTOCOLS = {"1.1": ["http/1.1"], "2": ["h2"], "3": ["h3"]}

_pack = msgspec.msgpack.Encoder().encode
_answers = msgspec.msgpack.Decoder(Answers)
_greeting = msgspec.json.Decoder(Greeting)


class Told(msgspec.Struct):
    """One line of a stream of stirs."""

    kind: str
    queues: list[str] = []
    keep_alive: float = 15.0


_line = msgspec.json.Decoder(Told)


class HttpTransport(Transport):
    """A SupersoniQ server's app, wherever it is mounted.

    Args:
        url: of the app's front page: ``https://host/prefix``.
        http: ``1.1``, ``2`` (also without TLS, by prior knowledge) or ``3`` (with TLS only).
        connect_timeout: seconds to reach the server.
        timeout: seconds to wait for its answer to a batch, from when it was sent.
        ca: a file of certificates to trust, instead of the system's, for a server's own.
        token: what to call with: a token, or a function, async or not, that gives one, and is asked
            again before it expires.
        clear_text: whether the token may be sent without TLS to another machine.

    Raises:
        InvalidSetting: one of them cannot be.
        MissingExtra: what that version takes is not installed.
    """

    def __init__(
        self,
        url: str,
        *,
        http: str = "1.1",
        connect_timeout: float = 5.0,
        timeout: float = 30.0,
        ca: str | os.PathLike[str] | None = None,
        token: TokenSource | Bearer | None = None,
        clear_text: bool = False,
        **unknown: Any,
    ) -> None:
        for name, value in unknown.items():
            known = "patience, http, connect_timeout, timeout, ca, token, clear_text"
            raise InvalidSetting(name, value, f"no such option; http has: {known}")
        if not isinstance(http, str) or http not in PROTOCOLS:
            raise InvalidSetting("http", http, 'takes "1.1", "2" or "3"')
        self.url = url
        self._place = place(url, {"http": False, "https": True}, ca, PROTOCOLS[http])
        if http == "3" and self._place.address.trust is None:
            raise InvalidSetting("http", http, "takes https://: HTTP/3 has no form without TLS")
        if not isinstance(token, Bearer):
            token = Bearer(token, self._place, clear_text=clear_text)
        self._bearer = token
        self._connect_timeout = seconds("connect_timeout", connect_timeout)
        self._timeout = seconds("timeout", timeout)
        self._dial = _dialler(http, self._place, self._connect_timeout, ca)
        self._line: Line | None = None

    async def open(self) -> Greeting:
        """Reach the server and see who it is."""
        self._line = self._dial()
        try:
            greeting = await self._greet()
            await self._try_token()
            return greeting
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close all connections."""
        line, self._line = self._line, None
        if line is not None:
            line.close()
            await asyncio.sleep(0)  # for them to be closed

    async def send(self, operations: Sequence[bytes]) -> Answers:
        """Post a batch."""
        body = _pack([msgspec.Raw(each) for each in operations])
        answer = await self._posted(body)
        if answer.status != 200:
            raise _failure(answer, len(body))
        try:
            return _answers.decode(answer.body)
        except msgspec.MsgspecError as error:
            raise OutcomeUnknown(f"the answer cannot be read: {error}") from error

    @asynccontextmanager
    async def stirs(self, queues: Collection[str]) -> AsyncIterator[AsyncIterator[Collection[str]]]:
        """Hold a stream open."""
        body = msgspec.json.encode({"queues": sorted(queues)})
        request = Request("POST", f"{self._place.prefix}/stirs", JSON, body)
        for last in (False, True):
            token = await self._token()
            stream = self._open().stream(request._replace(token=token), self._timeout)
            async with stream as (answer, pieces):
                if answer.status == 401 and self._bearer.refused(token) and not last:
                    continue
                if answer.status != 200:
                    raise _failure(answer, len(body))
                yield _told(pieces, self._timeout)
                return

    async def _posted(self, body: bytes) -> Answer:
        """The answer to a batch; it is posted again if there is another token."""
        request = Request("POST", f"{self._place.prefix}/operations", MSGPACK, body)
        for last in (False, True):
            token = await self._token()
            answer = await self._open().request(request._replace(token=token), self._timeout)
            if answer.status != 401 or not self._bearer.refused(token) or last:
                break
        return answer

    async def _token(self) -> Token | None:
        """What to call with.

        Raises:
            BackendUnavailable: there is none just now.
            Refused: there is none.
        """
        try:
            return await self._bearer.token()
        except BackendUnavailable:
            raise
        except SupersoniqError as error:
            raise Refused(error) from error

    async def _try_token(self) -> None:
        """Have a token that does not hold refused now, and not only when there is work."""
        try:
            if await self._token() is not None:
                await self.send([])
        except Refused as refused:
            raise refused.error from None
        except OutcomeUnknown as error:
            raise BackendUnavailable(error.problem) from error

    async def _greet(self) -> Greeting:
        try:
            request = Request("GET", f"{self._place.prefix}/")
            answer = await self._open().request(request, self._timeout)
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

    def _open(self) -> Line:
        if self._line is None:
            raise BackendUnavailable("the connection is closed")
        return self._line


def _dialler(
    http: str, place: Place, patience: float, ca: str | os.PathLike[str] | None
) -> Callable[[], Line]:
    """What makes a line of that version. Imported here: nobody needs more than one."""
    address, host = place.address, place.host
    try:
        if http == "2":
            from supersoniq.backends.remote.http2 import dial as dial2

            return lambda: dial2(address, host, patience)
        if http == "3":
            from supersoniq.backends.remote.http3 import dial as dial3

            return lambda: dial3(address, host, patience, ca)
        from supersoniq.backends.remote.connection import Pool
    except ModuleNotFoundError as error:
        extra = "client" if http == "1.1" else f"http{http}"
        problem = error.name or str(error)
        raise MissingExtra(f"HTTP/{http}", f"supersoniq[{extra}]", problem) from error
    return lambda: Pool(address, host, patience=patience, idle=IDLE, most=CONNECTIONS)


async def _told(pieces: AsyncIterator[bytes], patience: float) -> AsyncIterator[Collection[str]]:
    """What the lines of a stream say. A server that says nothing for long is no longer there."""
    rest = b""
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
    return failure(answer.status, problem_in(answer.body), size)
