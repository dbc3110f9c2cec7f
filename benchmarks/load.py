"""Who sends the requests: ``h2load``, or a client in Python that is one process as well.

The same one for both sides of every comparison. ``h2load`` (Debian: ``nghttp2-client``, which
``make bench-tools`` installs) is written in C and is never what is waited for. Where it is missing,
a client here sends the same bytes over and over and looks for nothing but the ends of answers,
so that it stays cheaper than any server in Python. It speaks HTTP/1.1 only.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import time
from tempfile import NamedTemporaryFile
from typing import NamedTuple
from urllib.parse import urlsplit

import uvloop

from benchmarks.harness import child

__all__ = ["Posts", "find_h2load", "post_many"]

CONNECTIONS = 32
"""Over HTTP/1.1, each with one request under way."""
H2_CONNECTIONS, H2_STREAMS = 4, 16


class Posts(NamedTuple):
    """The same request, so many times."""

    url: str
    body: bytes
    kind: str
    requests: int
    http2: bool = False
    token: str = ""
    """Who sends it, where that is asked."""


def find_h2load() -> str | None:
    """Where it is."""
    return shutil.which("h2load")


def post_many(posts: Posts) -> float:
    """Send them; gives how many a second were answered.

    Raises:
        RuntimeError: not all of them with success.
    """
    if find_h2load() is None:
        if posts.http2:
            raise RuntimeError("no h2load")
        return float(child(f"from benchmarks import load\nload.be_client({tuple(posts)!r})"))
    return _h2load(posts)


def _h2load(posts: Posts) -> float:
    protocol = ["-c", str(H2_CONNECTIONS), "-m", str(H2_STREAMS)]
    if not posts.http2:
        protocol = ["--h1", "-c", str(CONNECTIONS)]
    with NamedTemporaryFile() as body:
        body.write(posts.body)
        body.flush()
        fields = ["-H", f"content-type: {posts.kind}"]
        if posts.token:
            fields += ["-H", f"authorization: Bearer {posts.token}"]
        command = ["h2load", *protocol, "-n", str(posts.requests), "-d", body.name, *fields]
        done = subprocess.run([*command, posts.url], capture_output=True, text=True, check=True)
    good = re.search(r"status codes: (\d+) 2xx", done.stdout)
    rate = re.search(r"finished in .*, ([\d.]+) req/s", done.stdout)
    if good is None or rate is None or int(good[1]) != posts.requests:
        raise RuntimeError(f"{' '.join(command)}:\n{done.stdout}\n{done.stderr}")
    return float(rate[1])


def be_client(posts: tuple[str, bytes, str, int, bool, str]) -> None:
    """Be the client in this fresh process: print the rate."""
    print(uvloop.run(_post_many(Posts(*posts))))


async def _post_many(posts: Posts) -> float:
    url = urlsplit(posts.url)
    head = (
        f"POST {url.path} HTTP/1.1\r\nhost: {url.netloc}\r\ncontent-type: {posts.kind}\r\n"
        f"content-length: {len(posts.body)}\r\n"
        + (f"authorization: Bearer {posts.token}\r\n" if posts.token else "")
        + "\r\n"
    )
    request = head.encode() + posts.body
    loop = asyncio.get_running_loop()
    todo = _Todo(posts.requests, loop.create_future())
    started = time.perf_counter()
    for _ in range(CONNECTIONS):
        await loop.create_connection(
            lambda: _Client(request, todo), url.hostname or "", url.port or 80
        )
    await todo.done
    return posts.requests / (time.perf_counter() - started)


class _Todo:
    """What all connections of the client share."""

    def __init__(self, count: int, done: asyncio.Future[None]) -> None:
        self.to_send = self.to_come = count
        self.done = done


class _Client(asyncio.Protocol):
    """One connection: a request, its answer, the next request."""

    def __init__(self, request: bytes, todo: _Todo) -> None:
        self._request = request
        self._todo = todo
        self._answer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        answer = self._answer = self._answer + data
        head, found, body = answer.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        if not found or length is None or len(body) < int(length[1]):
            return
        todo = self._todo
        if not head.startswith(b"HTTP/1.1 2"):
            todo.done.set_exception(RuntimeError(answer.decode()))
        self._answer = b""
        todo.to_come -= 1
        if not todo.to_come:
            todo.done.set_result(None)
        self._next()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._todo.done.done():
            self._todo.done.set_exception(error or EOFError("the server hung up"))

    def _next(self) -> None:
        if self._todo.to_send:
            self._todo.to_send -= 1
            self._transport.write(self._request)
