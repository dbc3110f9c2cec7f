"""Bad tokens at every door of a real server, and at every route: nobody is let in."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

import supersoniq
from supersoniq.adapters import create_app
from supersoniq.adapters.http.app import App
from supersoniq.adapters.http.routes import ROUTES
from tests.adapters.test_auth import OPEN
from tests.auth import tokens
from tests.auth.bad_tokens import bad_tokens
from tests.servers.doors import HTTP, SOCKETS, Doors, doors

LIST: list[tuple[str, str | None]] = [
    ("none at all", None),
    *sorted(bad_tokens(), key=lambda each: len(each[1])),  # what costs connections comes last
]

GOOD = tokens.good()


async def tried(all: Doors, door: str, token: str | None) -> list[int]:
    """The statuses that a token gets at a door, one for each way in."""
    if door in SOCKETS:
        # A comma ends a subprotocol: what is before it is another offer, and may be good.
        fit = token is not None and not {'"', ","} & set(token)
        return [await all.knock(door, token, offered=fit and len(token or "") % 2 == 0)]
    at = all.http(door)
    given = [(await at.ask("POST", "/queues/q/messages", token, {"content": "x"})).status]
    if token != GOOD and len(token or "") < 1 << 20:
        kind = "text/event-stream" if len(token or "") % 2 else "application/x-ndjson"
        # Not HEAD: aioquic takes an answer to it for cut short. Who is let in does not come back.
        given.append((await at.ask("GET", "/queues/q/events", token, accept=kind)).status)
    return given


def test_no_bad_token_gets_in() -> None:
    """One server, and all its doors at the same time."""

    async def at(all: Doors, door: str) -> None:
        came: Counter[int] = Counter()
        at_once = 3 if door == "WebTransport" else 8  # sessions of a connection are few
        for place in range(0, len(LIST), at_once):
            asked = LIST[place : place + at_once]
            answers = await asyncio.gather(*(tried(all, door, token) for _, token in asked))
            for status in [status for answer in answers for status in answer]:
                # 400, 413, 431 and the loss of the connection: the server of the protocol has not
                # even shown it to the app.
                assert status in (401, 400, 413, 431, 0), (door, asked, status)
                came[status] += 1
        assert came[401] > (200 if door in SOCKETS else 400), (door, came)
        for status in await tried(all, door, GOOD):
            assert status in (101, 200, 201), door

    async def main() -> None:
        assert len(LIST) > 200
        async with doors(auth=tokens.verifier(), max_failures=1e9) as all:
            await all.house.broker.queue("q").publish("x")
            await asyncio.gather(*(at(all, door) for door in (*HTTP, *SOCKETS)))
            stats = await all.house.broker.queue("q").stats()
            assert stats.published == 1 + len(HTTP)

    asyncio.run(main())


def test_who_sent_none_is_asked_for_one_and_did_no_wrong() -> None:
    """An error code stands in the challenge only where there was a token (RFC 6750, 3.1)."""

    async def main() -> None:
        async with doors(auth=tokens.verifier()) as all:

            async def challenged(door: str, token: str | None, **fields: str) -> str:
                answer = await all.http(door).ask("GET", "/queues", token, **fields)
                assert answer.status == 401, door
                return answer.fields["www-authenticate"]

            for door in HTTP:
                assert await challenged(door, None) == "Bearer"
                assert await challenged(door, None, authorization="Basic YTpi") == "Bearer"
                assert await challenged(door, "a.b.c") == 'Bearer error="invalid_token"'
            handshake = {
                "connection": "Upgrade",
                "upgrade": "websocket",
                "sec_websocket_version": "13",
                "sec_websocket_key": "AAAAAAAAAAAAAAAAAAAAAA==",
                "sec_websocket_protocol": "supersoniq.v1.json",
            }
            for token, asked in ((None, "Bearer"), ("a.b.c", 'Bearer error="invalid_token"')):
                answer = await all.sockets.http1.ask("GET", "/ws", token, **handshake)
                assert (answer.status, answer.fields["www-authenticate"]) == (401, asked)

    asyncio.run(main())


@pytest.mark.parametrize("path", ROUTES)
def test_no_bad_token_gets_to_any_route(path: str) -> None:
    """By the table of routes: one that is new is asked too."""

    async def main() -> None:
        async with supersoniq.connect("memory://") as broker:
            app = create_app(broker, auth=tokens.verifier(), max_failures=1e9)
            await broker.queue("q").publish("x")
            for method in ROUTES[path]:
                if (path, method) in OPEN:
                    continue
                for name, token in LIST:
                    assert await status(app, path, method, token) == 401, (method, name)
                assert await status(app, path, method, tokens.good()) != 401

    asyncio.run(main())


async def status(app: App, path: str, method: str, token: str | None) -> int:
    """What a request is answered with; whoever is let in finds that the client has gone."""
    found: list[int] = []
    authorization = (b"authorization", f"Bearer {token}".encode("latin-1", "replace"))
    address = path.format(queue="q", id="0" * 36)
    scope = {
        "type": "http",
        "method": method,
        "path": address,
        "raw_path": address.encode(),
        "query_string": b"",
        "headers": [] if token is None else [authorization],
        "client": ("127.0.0.1", 1),
        "scheme": "http",
        "server": ("test", 80),
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            found.append(message["status"])

    await app(scope, receive, send)
    return found[0] if found else 0
