"""HTTP clients of Python, brought to one shape so that the same work can be done with each."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, NamedTuple, Protocol

import aiohttp
import httpx
import niquests

from tests.clients.served import PATIENCE, Served

Fields = dict[str, str]


class Answer(NamedTuple):
    """A whole answer."""

    status: int
    fields: Fields
    """Their names in lower case."""
    body: bytes
    version: str
    """``1.1``, ``2`` or ``3``."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client(Protocol):
    """A client with its connections."""

    async def ask(self, method: str, path: str, body: Any = None, **fields: str) -> Answer:
        """Send a request: ``body`` is bytes, an iterator of them, or a value to send as JSON."""

    def lines(self, path: str, **fields: str) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        """Ask for something that comes line by line."""


def named(fields: dict[str, str], body: Any) -> tuple[Fields, Any]:
    """Header fields by their real names, and the body as bytes go out."""
    head = {name.replace("_", "-"): value for name, value in fields.items()}
    if body is None or isinstance(body, bytes) or hasattr(body, "__aiter__"):
        return head, body
    return {"content-type": "application/json", **head}, json.dumps(body).encode()


class Httpx:
    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def ask(self, method: str, path: str, body: Any = None, **fields: str) -> Answer:
        head, content = named(fields, body)
        answer = await self.client.request(method, path, content=content, headers=head)
        version = answer.http_version.removeprefix("HTTP/")
        return Answer(answer.status_code, dict(answer.headers), answer.content, version)

    @asynccontextmanager
    async def lines(self, path: str, **fields: str) -> AsyncIterator[AsyncIterator[str]]:
        async with self.client.stream("GET", path, headers=named(fields, None)[0]) as answer:
            assert answer.status_code == 200
            yield answer.aiter_lines()


@asynccontextmanager
async def over_httpx(server: Served, version: str) -> AsyncIterator[Client]:
    async with httpx.AsyncClient(
        base_url=server.url,
        verify=server.trust(),
        http1=version == "1.1",
        http2=version == "2",
        timeout=PATIENCE,
    ) as client:
        yield Httpx(client)


class Niquests:
    def __init__(self, session: niquests.AsyncSession, url: str) -> None:
        self.session = session
        self.url = url

    async def ask(self, method: str, path: str, body: Any = None, **fields: str) -> Answer:
        head, content = named(fields, body)
        answer = await self.session.request(method, self.url + path, data=content, headers=head)
        return Answer(
            answer.status_code or 0,
            {name.lower(): value for name, value in answer.headers.items()},
            answer.content or b"",
            {11: "1.1", 20: "2", 30: "3"}[answer.http_version or 0],
        )

    @asynccontextmanager
    async def lines(self, path: str, **fields: str) -> AsyncIterator[AsyncIterator[str]]:
        answer = await self.session.get(
            self.url + path, headers=named(fields, None)[0], stream=True
        )
        assert answer.status_code == 200
        try:
            yield (_text(line) async for line in answer.iter_lines())
        finally:
            await answer.close()


def _text(line: str | bytes) -> str:
    return line if isinstance(line, str) else line.decode()


@asynccontextmanager
async def over_niquests(server: Served, version: str) -> AsyncIterator[Client]:
    async with niquests.AsyncSession(
        disable_http1=version != "1.1",
        disable_http2=version != "2",
        disable_http3=version != "3",
        timeout=PATIENCE,
    ) as session:
        session.trust_env = False
        if server.cafile is not None:
            session.verify = str(server.cafile)
        url = server.url.replace("127.0.0.1", "localhost")
        if version == "3":
            session.quic_cache_layer[("localhost", server.port)] = ("localhost", server.port)
        yield Niquests(session, url)


class Aiohttp:
    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session

    async def ask(self, method: str, path: str, body: Any = None, **fields: str) -> Answer:
        head, content = named(fields, body)
        async with self.session.request(method, path, data=content, headers=head) as answer:
            assert answer.version is not None
            return Answer(
                answer.status,
                {name.lower(): value for name, value in answer.headers.items()},
                await answer.read(),
                f"{answer.version.major}.{answer.version.minor}",
            )

    @asynccontextmanager
    async def lines(self, path: str, **fields: str) -> AsyncIterator[AsyncIterator[str]]:
        async with self.session.get(path, headers=named(fields, None)[0]) as answer:
            assert answer.status == 200
            yield (line.decode().rstrip("\n") async for line in answer.content)


@asynccontextmanager
async def over_aiohttp(server: Served, version: str) -> AsyncIterator[Client]:
    assert version == "1.1"
    connector = aiohttp.TCPConnector(ssl=server.trust() if server.secure else True)
    async with aiohttp.ClientSession(
        server.url, connector=connector, timeout=aiohttp.ClientTimeout(PATIENCE)
    ) as session:
        yield Aiohttp(session)


Open = Callable[[Served, str], AbstractAsyncContextManager[Client]]
