"""The app with tokens: every route with every verb, as the table made from the routes says."""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import replace
from typing import Any

import httpx
import pytest

import supersoniq
from supersoniq.adapters import create_app
from supersoniq.adapters.access import Guarded
from supersoniq.adapters.http.described import description_of
from supersoniq.adapters.http.routes import CONSOLE, ROUTES
from supersoniq.adapters.http.service import MOST_CALLERS
from supersoniq.api.engine import Engine
from supersoniq.auth import Issuer, Jwks, Verb, Verifier
from supersoniq.core.messages import prepare
from tests.auth import tokens

OPEN = {
    ("/", "GET"),
    ("/health/live", "GET"),
    ("/health/ready", "GET"),
    ("/openapi.json", "GET"),
    ("/ws", "GET"),  # answers 426; the WebSocket itself takes a token
    ("/console", "GET"),  # files that are the same everywhere
    ("/console/{file}", "GET"),
    ("/console/client/{client}", "GET"),
}
BODIES: dict[str, Any] = {
    "/leases": {"limit": 1},
    "/settlements": [{"receipt": "none", "outcome": "ack"}],
    "/operations": [],
}
EVERY = {**ROUTES, **CONSOLE}
TABLE = [(path, method) for path, methods in EVERY.items() for method in methods]


def test_every_route_says_what_it_takes() -> None:
    for path, methods in EVERY.items():
        for method, handler in methods.items():
            what = description_of(handler)
            guarded = bool(what.takes) or what.any_scope
            assert guarded is ((path, method) not in OPEN), (path, method)


def test_nothing_of_the_engine_passes_by_the_guard() -> None:
    names = {
        name
        for name, value in vars(Engine).items()
        if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, property))
    }
    assert names <= set(vars(Guarded))


async def called(path: str, method: str, headers: dict[str, str], queue: str = "q") -> int:
    """The status of a route's answer; of a stream, of its beginning."""
    async with supersoniq.connect("memory://") as broker:
        app = create_app(broker, auth=tokens.verifier())
        published = await broker.queue(queue).publish("x")
        address = path.format(queue=queue, id=published.id, file="dom.js", client="index.js")
        body: Any = next((b for end, b in BODIES.items() if path.endswith(end)), None)
        if method == "POST" and path.endswith("/messages"):
            body = {"content": "y"}
        if path == "/stirs":
            body = {"queues": [queue]}
        found: list[int] = []
        gone = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if not found_body:
                found_body.append(True)
                raw = b"" if body is None else httpx.Request("POST", "http://x", json=body).content
                return {"type": "http.request", "body": raw, "more_body": False}
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                found.append(message["status"])
                gone.set()  # a stream has begun: that is enough

        found_body: list[bool] = []
        fields = {**headers, **({} if body is None else {"content-type": "application/json"})}
        scope = {
            "type": "http",
            "method": method,
            "path": address,
            "raw_path": address.encode(),
            "query_string": b"",
            "headers": [(k.encode(), v.encode()) for k, v in fields.items()],
            "client": ("127.0.0.1", 1),
            "scheme": "http",
            "server": ("test", 80),
        }
        await app(scope, receive, send)
        return found[0]


def bearer(scope: str, **more: Any) -> dict[str, str]:
    return {"authorization": f"Bearer {tokens.good(scope=scope, **more)}"}


@pytest.mark.parametrize(("path", "method"), TABLE)
def test_every_route_with_every_verb(path: str, method: str) -> None:
    async def main() -> None:
        what = description_of(EVERY[path][method])
        queue = "q" if "{queue}" in path or path == "/stirs" else "default"
        none = await called(path, method, {}, queue)
        if (path, method) in OPEN:
            assert none != 401
            return
        assert none == 401
        for verb in Verb:
            status = await called(path, method, bearer(f"{verb}:{queue}"), queue)
            if what.any_scope or verb in what.takes:
                assert status < 300 or status == 404, (verb, status)
            else:
                assert status == 403, (verb, status)
            other = await called(path, method, bearer(f"{verb}:other {verb}:{queue}2"), queue)
            if path == "/stirs":
                assert other == 403
            elif path in ("/metrics", "/stats/process"):  # what is seen there: test_metrics.py
                assert other == (200 if verb is Verb.METRICS else 403)
            else:
                assert other == (200 if what.any_scope else 403)

    asyncio.run(main())


def test_keys_that_cannot_be_had_are_an_outage_and_nobodys_fault() -> None:
    """Clients come again, and none is told off for it, where the keys were never there."""

    async def main() -> None:
        auth = Verifier(Issuer(Jwks("http://127.0.0.1:1/")))
        app = create_app(supersoniq.connect("memory://"), auth=auth, max_failures=6)
        transport = httpx.ASGITransport(app=app)
        shown = {"authorization": f"Bearer {tokens.signed(tokens.ED, 'EdDSA')}"}
        async with app.service.broker, httpx.AsyncClient(transport=transport) as client:
            for _ in range(5):
                answer = await client.get("http://test/queues", headers=shown)
                assert answer.status_code == 503
                assert answer.headers["retry-after"] == "1"
                problem = answer.json()
                assert (problem["code"], problem["retry"]) == ("keys-unavailable", True)

    asyncio.run(main())


def test_what_is_kept_of_a_caller_is_nobody_elses() -> None:
    """Requests with one token share what checks them; another token has another, and so has a
    broker that was opened again."""

    async def main() -> None:
        broker = supersoniq.connect("memory://")
        auth = tokens.verifier()
        service = create_app(broker, auth=auth).service
        for _ in range(2):
            async with broker:
                one = await auth.verify(tokens.good(sub="anna"))
                two = await auth.verify(tokens.good(sub="bert"))
                mine = service.request_engine(one)
                assert service.request_engine(one) is mine
                theirs = service.request_engine(two)
                assert theirs is not mine
                for engine, sender in ((mine, "anna"), (theirs, "bert")):
                    assert engine.direct is not None
                    id = engine.direct.publish("q", prepare("x", sender="mallory")).id
                    assert (await broker.queue("q").message(id)).sender == sender
        async with broker:
            for _ in range(2 * MOST_CALLERS):
                service.request_engine(replace(one))
            assert len(service._guarded) <= MOST_CALLERS

    asyncio.run(main())
