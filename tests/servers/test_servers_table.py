"""What each server carries: tried out on the real ones with the real app.

It is held against the table of ``docs/servers.md``, and against what the plugins say of themselves.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

import supersoniq
from supersoniq.adapters import create_app
from supersoniq.adapters.http.exposure import listen
from supersoniq.servers.plugin import Feature, Options, find_server
from tests.adapters.sockets import dial
from tests.servers.guests import JSON, connect
from tests.servers.h3_client import visiting
from tests.servers.http2 import Receive, Running, Scope, Send, client, client_tls, run, until
from tests.servers.program import certificate
from tests.servers.test_h2_websocket import websocket

DOCS = Path(__file__).parents[2] / "docs" / "servers.md"
SERVERS = ["native", "uvicorn", "hypercorn", "granian"]
PIECE = bytes(1024 * 1024)
MANY = 100
ABSENT = 5
"""Seconds after which who has not said a word in a protocol does not speak it."""
EXTRA: dict[str, dict[str, Any]] = {
    "granian": {"head_timeout": 0.5},
    "native": {"head_timeout": 0.5},
    "hypercorn": {"http3": True},
}
MISSING = (OSError, TimeoutError, AssertionError, ssl.SSLError, httpx.HTTPError)
"""How it shows that something is not there."""

sent: dict[str, int] = {}
"""How much of each path; of what the app itself answers, nothing."""


def flooding(app: Any) -> Any:
    """The app, and a path of which 100 MiB come."""

    async def flood(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/flood"):
            sent.setdefault(scope.get("path", ""), 0)
            await app(scope, receive, send)
            return
        sent[scope["path"]] = 0
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for n in range(MANY):
            await send({"type": "http.response.body", "body": PIECE, "more_body": True})
            sent[scope["path"]] = n + 1
        await send({"type": "http.response.body", "body": b""})

    return flood


@asynccontextmanager
async def served(name: str, folder: Path, secure: bool) -> AsyncIterator[tuple[Running, Any]]:
    """A server by its entry point; gives where it is, and a way to stop it."""
    extra = {**EXTRA.get(name, {})}
    if not secure:
        extra.pop("http3", None)
    async with supersoniq.connect("memory://") as broker:
        app = create_app(broker)
        stop, started = asyncio.Event(), asyncio.Event()
        options: dict[str, Any] = {"certfile": certificate(folder)} if secure else {}
        settings = Options(grace=3, leave=app.leave, **options, **extra)
        listener = listen("127.0.0.1", 0, clear_text=False)
        where = Running(cast(Any, None), listener.getsockname()[1], secure)
        serving = asyncio.ensure_future(
            find_server(name).serve(
                flooding(app), listener, settings, started=started.set, stop=stop
            )
        )

        async def end() -> None:
            stop.set()
            await asyncio.wait_for(serving, 15)

        try:
            waiting = asyncio.ensure_future(started.wait())
            await asyncio.wait((waiting, serving), return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            yield where, end
        finally:
            if not serving.done():
                stop.set()
                await asyncio.wait((serving,), timeout=10)
                serving.cancel()
            listener.close()


async def http1(where: Running) -> None:
    tls: Any = client_tls("http/1.1") if where.secure else True
    scheme = "https" if where.secure else "http"
    async with httpx.AsyncClient(verify=tls, trust_env=False, timeout=5) as one:
        answer = await one.get(f"{scheme}://localhost:{where.port}/health/live")
    assert answer.status_code == 200


async def http2(where: Running) -> None:
    async with asyncio.timeout(ABSENT), client(where) as one:
        assert (await one.get("/health/live")).status == 200


async def push(where: Running) -> None:
    async with client(where) as one:
        number = one.request("/queues/default/events")
        await until(lambda: b"event: start" in one.answers[number].body, 3)
        kind = [(b"content-type", b"application/json")]
        await one.get("/messages", method="POST", body=b'{"content": 1}', fields=kind)
        await until(lambda: one.pushed and one.pushed[0].done.is_set(), 1)
        assert one.pushed[0].status == 200


async def over_http1(where: Running) -> None:
    scheme, tls = ("wss", client_tls()) if where.secure else ("ws", None)
    async with dial(f"{scheme}://localhost:{where.port}/ws", ssl=tls) as one:
        await one.done("publish", messages=[{"content": 1}])


async def over_http2(where: Running) -> None:
    async with asyncio.timeout(ABSENT), client(where) as one, websocket(one, "/ws", JSON) as socket:
        assert one.answers[socket.number].status == 200
        await socket.receive()


async def http3(where: Running) -> None:
    async with asyncio.timeout(ABSENT), visiting(where.port) as one:
        assert (await one.request("GET", "/health/live")).status == 200


async def over_http3(where: Running) -> None:
    async with asyncio.timeout(ABSENT), visiting(where.port) as one:
        socket = await one.websocket("/ws", [(b"sec-websocket-protocol", JSON.encode())])
        assert "welcome" in str(await socket.next())


async def webtransport(where: Running) -> None:
    async with asyncio.timeout(ABSENT), visiting(where.port, max_datagram_frame_size=65536) as one:
        socket = one.under(await one.session("/ws"))
        assert "welcome" in str(await socket.next())


async def _stalls(path: str) -> None:
    """It has begun, and gets no further, far from the end."""
    async with asyncio.timeout(10):
        await until(lambda: path in sent, 3)
        seen = -1
        while seen != sent[path]:
            seen = sent[path]
            await asyncio.sleep(0.3)
    assert seen < MANY


async def holds_back_1(where: Running) -> None:
    with await asyncio.to_thread(connect, where, room=4096) as sock:
        sock.sendall(b"GET /flood/1 HTTP/1.1\r\nhost: x\r\n\r\n")
        await _stalls("/flood/1")


async def holds_back_2(where: Running) -> None:
    async with client(where) as one:
        one.take = False
        one.request("/flood/2")
        await _stalls("/flood/2")


async def slow_heads(where: Running) -> None:
    with await asyncio.to_thread(connect, where) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nho")
        sock.settimeout(3)
        await asyncio.to_thread(sock.recv, 65536)


async def graceful(where: Running, end: Callable[[], Awaitable[None]]) -> None:
    """A long poll is answered, and the server ends."""
    tls: Any = client_tls("http/1.1") if where.secure else True
    scheme = "https" if where.secure else "http"
    async with httpx.AsyncClient(verify=tls, trust_env=False, timeout=10) as one:
        url = f"{scheme}://localhost:{where.port}/queues/none/leases"
        poll = asyncio.ensure_future(one.post(url, json={"wait": 60}))
        await until(lambda: "/queues/none/leases" in sent)
        await end()
        assert (await poll).json() == []


TLS = True
PROBES: list[tuple[str, bool, Callable[[Running], Awaitable[None]]]] = [
    (Feature.HTTP1, not TLS, http1),
    (Feature.HTTP2, TLS, http2),
    (Feature.H2C, not TLS, http2),
    (Feature.PUSH, TLS, push),
    (Feature.WEBSOCKET, TLS, over_http1),
    (Feature.WEBSOCKET_H2, TLS, over_http2),
    (Feature.HTTP3, TLS, http3),
    (Feature.WEBSOCKET_H3, TLS, over_http3),
    (Feature.WEBTRANSPORT, TLS, webtransport),
    ("`send` waits for a slow reader, HTTP/1.1", not TLS, holds_back_1),
    ("`send` waits for a slow reader, HTTP/2", TLS, holds_back_2),
    ("slow heads are cut", not TLS, slow_heads),
]
NEEDS: dict[str, str] = {
    Feature.PUSH: Feature.HTTP2,
    Feature.WEBSOCKET_H2: Feature.HTTP2,
    "`send` waits for a slow reader, HTTP/2": Feature.HTTP2,
    Feature.WEBSOCKET_H3: Feature.HTTP3,
    Feature.WEBTRANSPORT: Feature.HTTP3,
}
"""Nobody needs to be asked for what needs what is not there."""
GRACEFUL = "long polls are answered when it stops"


def table() -> dict[str, dict[str, str]]:
    """The docs' table: by server and row."""
    rows = [
        [cell.strip() for cell in line.strip("|\n").split("|")]
        for line in DOCS.read_text()
        .partition("## What each carries")[2]
        .partition("## ")[0]
        .splitlines()
        if line.startswith("|")
    ]
    names = [name.strip("`") for name in rows[0][1:]]
    return {name: {row[0]: row[at + 1] for row in rows[2:]} for at, name in enumerate(names)}


async def tried(found: dict[str, str], row: str, probe: Awaitable[None]) -> None:
    """Notes what came of a probe."""
    try:
        await probe
        found[row] = "yes"
    except MISSING:
        found[row] = "-"


def lacking(found: dict[str, str], row: str) -> bool:
    """Whether what this needs is not there; then it is not there either."""
    if found.get(NEEDS.get(row, row)) != "-":
        return False
    found[row] = "-"
    return True


# hypercorn leaves transports to the loop, and uvloop cannot end where warning of that is an error.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("name", SERVERS)
def test_the_table_is_true(name: str, tmp_path: Path) -> None:
    promised = table()[name]

    async def main() -> dict[str, str]:
        found: dict[str, str] = {}
        for secure in (False, True):
            async with served(name, tmp_path, secure) as (where, end):
                sent.clear()
                # Side by side, as what is not there shows by not coming.
                for needy in (False, True):
                    asked = {
                        row: probe
                        for row, tls, probe in PROBES
                        if tls is secure and (row in NEEDS) is needy and not lacking(found, row)
                    }
                    await asyncio.gather(*(tried(found, row, asked[row](where)) for row in asked))
                    # In company, on a busy machine, what is there can be late: so alone as well.
                    for row, probe in asked.items():
                        if found[row] == "-" != promised[row]:
                            sent.clear()
                            await tried(found, row, probe(where))
                if secure:
                    await tried(found, GRACEFUL, graceful(where, end))
        return found

    found = run(main)
    assert found == promised, json.dumps(found, indent=1)
    carried = {Feature(row) for row, cell in found.items() if cell == "yes" and row in set(Feature)}
    assert carried == find_server(name).carries


def test_the_docs_name_every_server_and_option() -> None:
    text = DOCS.read_text()
    for name in SERVERS:
        assert re.search(rf"^\| `{name}` \|", text, re.MULTILINE), name
    honoured = {name: find_server(name).honours for name in SERVERS}
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]*) \|", text, re.MULTILINE))
    for name in SERVERS:
        assert set(re.findall(r"`(\w+)`", rows[name])) == honoured[name], name
