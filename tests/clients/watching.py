"""Clients that hold ``GET /queues/q/events`` over HTTP/2, and what each of them saw.

Every one is an async function ``watch(server, wish, seen)`` that ends with the stream and writes
into ``seen`` as things happen, so that one test can be run with all of them.
"""

from __future__ import annotations

import asyncio
import json
import re
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from h2.settings import SettingCodes

from tests.clients.served import PATIENCE, Served
from tests.servers.http2 import Client, client

NODE = Path(__file__).parent / "watch.js"


@dataclass(frozen=True)
class Wish:
    """How a queue is watched.

    Attributes:
        queue: its name.
        push: whether to allow server push.
        room: the most streams that the server may have open; None for the client's default.
        fields: more header fields.
    """

    queue: str
    push: bool = True
    room: int | None = None
    fields: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        return f"/queues/{self.queue}/events"


@dataclass
class Pushed:
    """A pushed response: what was promised, and what came."""

    request: dict[str, str]
    status: int = 0
    body: str = ""
    over: bool = False


class Seen:
    """What has arrived at a client."""

    def __init__(self) -> None:
        self.pushed: dict[int, Pushed] = {}
        self.events: list[dict[str, Any]] = []
        self.most = 0
        """The most pushed responses that were open at a time."""
        self._open: set[int] = set()
        self._stirred = asyncio.Event()

    def promised(self, number: int, request: dict[str, str]) -> None:
        self.pushed[number] = Pushed(request)
        self._open.add(number)
        self.most = max(self.most, len(self._open))

    def ended(self, number: int) -> None:
        self.pushed[number].over = True
        self._open.discard(number)

    def told(self, line: str) -> None:
        """A line of the stream itself: of NDJSON, or of server-sent events."""
        line = line.removeprefix("data: ")
        if line.startswith("{"):
            self.events.append(json.loads(line))

    def stir(self) -> None:
        """Something is new."""
        self._stirred.set()

    async def until(self, ready: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not ready():
                self._stirred.clear()
                await self._stirred.wait()

    @property
    def messages(self) -> int:
        """How many messages have come whole, in one way or the other."""
        pushed = sum(answer.over for answer in self.pushed.values())
        return pushed + sum(1 for event in self.events if event["kind"] == "published")


@asynccontextmanager
async def program(*words: str) -> AsyncIterator[Process]:
    """A program that runs to its end by itself."""
    process = await asyncio.create_subprocess_exec(
        *words, stdout=PIPE, stderr=STDOUT, limit=1 << 20
    )
    try:
        yield process
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0, words
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def lines(process: Process) -> AsyncIterator[str]:
    assert process.stdout is not None
    while line := await process.stdout.readline():
        yield line.decode()


# -- nghttp ---------------------------------------------------------------------------------------

LOG = re.compile(r"(.*?)\[ *\d+\.\d{3}\] (.*)", re.DOTALL)
FIELD = re.compile(r"recv \(stream_id=(\d+)\) (:?[^:]+): (.*)")
DATA = re.compile(r"recv DATA frame <length=\d+, flags=0x(\w\w), stream_id=(\d+)>")
PROMISE = re.compile(r"promised_stream_id=(\d+)")


async def nghttp(server: Served, wish: Wish, seen: Seen) -> None:
    """nghttp2's own client, whose log has every frame in its order."""
    words = ["stdbuf", "-oL", "nghttp", "-vy", "--no-dep"]
    if not wish.push:
        words.append("--no-push")
    if wish.room is not None:
        words.append(f"--max-concurrent-streams={wish.room}")
    words += [f"-H{name}: {value}" for name, value in wish.fields.items()]
    async with program(*words, server.url + wish.path) as process:
        log = _Log(seen)
        async for line in lines(process):
            log.read(line)
            seen.stir()


class _Log:
    """Reads what nghttp tells: bodies as they are, and lines that begin with a time."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._fields: dict[str, str] = {}
        self._body = ""

    def read(self, line: str) -> None:
        if found := PROMISE.search(line):
            self._seen.promised(int(found[1]), self._fields)
            self._fields = {}
            return
        log = LOG.fullmatch(line)
        if log is None:
            if not line.startswith(" " * 10):
                self._body += line
            return
        self._body += log[1]
        if found := FIELD.match(log[2]):
            if found[2] == ":status":
                if int(found[1]) in self._seen.pushed:
                    self._seen.pushed[int(found[1])].status = int(found[3])
                self._fields = {}
            else:
                self._fields[found[2]] = found[3].strip()
        elif found := DATA.match(log[2]):
            self._data(int(found[2]), bool(int(found[1], 16) & 1))

    def _data(self, number: int, last: bool) -> None:
        body, self._body = self._body, ""
        answer = self._seen.pushed.get(number)
        if answer is None:
            for line in body.splitlines():
                self._seen.told(line)
            return
        answer.body += body
        if last:
            self._seen.ended(number)


# -- Node -----------------------------------------------------------------------------------------


async def node(server: Served, wish: Wish, seen: Seen) -> None:
    """Node's ``http2``: ``watch.js`` says a line of JSON for each thing that happens."""
    settings: dict[str, Any] = {"enablePush": wish.push}
    if wish.room is not None:
        settings["maxConcurrentStreams"] = wish.room
    ca = str(server.cafile) if server.cafile else ""
    told = [json.dumps(settings), json.dumps({":path": wish.path, **wish.fields})]
    async with program("node", str(NODE), server.url, ca, *told) as process:
        async for line in lines(process):
            what, number, value = json.loads(line)
            if what == "promised":
                seen.promised(number, value)
            elif what == "status":
                seen.pushed[number].status = value
            elif what == "body":
                seen.pushed[number].body = value
                seen.ended(number)
            else:
                assert what == "line", line
                seen.told(value)
            seen.stir()


# -- h2 -------------------------------------------------------------------------------------------


async def h2(server: Served, wish: Wish, seen: Seen) -> None:
    """The h2 library."""
    settings = {int(SettingCodes.ENABLE_PUSH): int(wish.push)}
    if wish.room is not None:
        settings[int(SettingCodes.MAX_CONCURRENT_STREAMS)] = wish.room
    tls = server.trust("h2") if server.secure else None
    fields = [(name.encode(), value.encode()) for name, value in wish.fields.items()]
    async with client(server, settings, tls=tls) as one:
        number = one.request(wish.path, fields=fields)
        own, read = one.answers[number], 0
        while True:
            over = own.done.is_set() and not one.promised_open
            _copy(one, seen)
            *whole, _ = own.body[read:].split(b"\n")
            for line in whole:
                read += len(line) + 1
                seen.told(line.decode())
            seen.stir()
            if over:
                return
            async with asyncio.timeout(PATIENCE):
                one.stirred.clear()
                await one.stirred.wait()


def _copy(one: Client, seen: Seen) -> None:
    seen.most = one.most_promised
    for number, answer in one.promises.items():
        request = {name.decode(): value.decode() for name, value in answer.request.items()}
        over = answer.done.is_set() and answer.reset is None
        seen.pushed[number] = Pushed(request, answer.status, answer.body.decode(), over)
