"""The app alone, and mounted in others under any prefix, with lifespans of their own."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import fastapi
import httpx
import litestar
import pytest
from litestar.types import Receive, Scope, Send
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount

import supersoniq
from supersoniq.adapters import create_app

Visit = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@asynccontextmanager
async def living(app: Any, base: str = "http://test") -> AsyncIterator[httpx.AsyncClient]:
    """Run an app's lifespan as a server does, and call it."""
    inbox: asyncio.Queue[Any] = asyncio.Queue()
    outbox: asyncio.Queue[Any] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    task = asyncio.ensure_future(app(scope, inbox.get, outbox.put))
    await inbox.put({"type": "lifespan.startup"})
    assert (await outbox.get())["type"] == "lifespan.startup.complete"
    try:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base) as client:
            yield client
    finally:
        await inbox.put({"type": "lifespan.shutdown"})
        assert (await outbox.get())["type"] == "lifespan.shutdown.complete"
        await task


def is_open(broker: supersoniq.Broker) -> bool:
    try:
        return broker.engine is not None
    except supersoniq.Closed:
        return False


def test_alone_it_opens_and_closes_the_broker(url: str) -> None:
    async def main() -> None:
        broker = supersoniq.connect(url)
        for _ in range(2):
            async with living(create_app(broker)) as client:
                assert (await client.get("/queues")).json() == ["default"]
            assert not is_open(broker)
        async with broker:
            async with living(create_app(broker)) as client:
                assert (await client.get("/queues")).status_code == 200
            assert is_open(broker)

    asyncio.run(main())


def hosted(host: str, prefix: str, app: Any, lifespan: Any = None) -> Any:
    """An app of that framework, with another one mounted in it."""
    if host == "starlette":
        return Starlette(routes=[Mount(prefix, app)], lifespan=lifespan)
    if host == "fastapi":
        outer = fastapi.FastAPI(lifespan=lifespan)
        outer.mount(prefix, app)
        return outer

    @litestar.asgi(prefix, is_mount=True, copy_scope=True)
    async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)

    # Its logging would be set up for the whole process, these tests' too.
    lifespans = [lifespan] if lifespan else []
    return litestar.Litestar([mounted], lifespan=lifespans, logging_config=None)


HOSTS = ["starlette", "fastapi", "litestar"]


@pytest.mark.parametrize("prefix", ["/q", "/deep/in/side", "/qué"])
@pytest.mark.parametrize("host", HOSTS)
def test_mounted(url: str, prefix: str, host: str) -> None:
    async def main() -> None:
        broker = supersoniq.connect(url)
        lives: list[str] = []

        @asynccontextmanager
        async def lifespan(app: Any) -> AsyncIterator[None]:
            async with broker:
                lives.append("begun")
                yield
            lives.append("over")

        app = create_app(broker)
        outer = hosted(host, prefix, app, lifespan)
        async with living(outer) as client:
            front = (await client.get(f"{prefix}/")).json()
            assert front["links"]["queues"] == f"{prefix}/queues"
            for path in ("/messages", "/queues/jobs/messages"):
                posted = await client.post(prefix + path, json={"content": 1})
                assert posted.status_code == 201
                assert (await client.get(posted.headers["location"])).json()["content"] == 1
            made = await client.put(f"{prefix}/queues/made")
            assert (await client.get(made.headers["location"])).json()["queue"] == "made"
            await client.post(f"{prefix}/messages", json={"content": 2})
            page = await client.get(f"{prefix}/messages?limit=1")
            page = await client.get(page.links["next"]["url"])
            assert page.json()[0]["content"] == 2
            missing = await client.get(f"{prefix}/nothing")
            assert missing.status_code == 404
            assert missing.headers["content-type"] == "application/problem+json"
            assert f"GET {prefix}/" in missing.json()["detail"]
        assert lives == ["begun", "over"]

    asyncio.run(main())


@pytest.mark.parametrize("outermost", HOSTS)
@pytest.mark.parametrize("between", ["starlette", "fastapi"])
def test_mounted_in_a_mounted_app(outermost: str, between: str) -> None:
    async def main() -> None:
        async with supersoniq.connect("memory://") as broker:
            app = hosted(outermost, "/a", hosted(between, "/b", create_app(broker)))
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                posted = await client.post("/a/b/queues/q/messages", json={"content": 1})
                assert posted.headers["location"].startswith("/a/b/queues/q/messages/")
                assert (await client.get(posted.headers["location"])).json()["content"] == 1
                document = (await client.get("/a/b/openapi.json")).json()
                assert document["servers"] == [{"url": "/a/b"}]

    asyncio.run(main())


@pytest.mark.parametrize("host", HOSTS)
def test_websocket_and_events_through_the_mount(url: str, host: str) -> None:
    broker = supersoniq.connect(url)

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        async with broker:
            yield

    async def main() -> None:
        outer = hosted(host, "/in/side", create_app(broker), lifespan)
        async with living(outer) as client:
            frame = {"type": "publish", "id": 1, "queue": "q", "messages": [{"content": "x"}]}
            told = await connected(outer, "/in/side/ws", frame)
            assert told["type"] == "ok", told
            wanted = {"Prefer": "wait=0"}
            events = await client.get("/in/side/queues/q/events", headers=wanted)
            assert events.headers["content-type"] == "text/event-stream"
            assert '"content":"x"' in events.text

    asyncio.run(main())


async def connected(app: Any, path: str, frame: dict[str, Any]) -> dict[str, Any]:
    """Send one frame over a WebSocket and give the answer to it."""
    inbox: asyncio.Queue[Any] = asyncio.Queue()
    outbox: asyncio.Queue[Any] = asyncio.Queue()
    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0"},
        "scheme": "ws",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"test")],
        "subprotocols": ["supersoniq.v1.json"],
        "state": {},
    }
    task = asyncio.ensure_future(app(scope, inbox.get, outbox.put))
    async with asyncio.timeout(20):
        await inbox.put({"type": "websocket.connect"})
        assert (await outbox.get())["type"] == "websocket.accept"
        await inbox.put({"type": "websocket.receive", "text": json.dumps(frame)})
        while True:
            told: dict[str, Any] = json.loads((await outbox.get())["text"])
            if told.get("id") == frame["id"]:
                break
        await inbox.put({"type": "websocket.disconnect", "code": 1000})
        await task
    return told


def test_behind_a_proxy_that_strips_a_prefix(url: str) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            transport = httpx.ASGITransport(create_app(broker), root_path="/api")
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                posted = await client.post("/api/messages", json={"content": 1})
                assert posted.headers["location"].startswith("/api/messages/")

    asyncio.run(main())


def test_two_apps_of_two_brokers_and_two_of_one(url: str) -> None:
    async def main() -> None:
        one, two = supersoniq.connect(url), supersoniq.connect("memory://")

        @asynccontextmanager
        async def lifespan(app: Any) -> AsyncIterator[None]:
            async with one, two:
                yield

        mounts = [
            Mount("/a", create_app(one)),
            Mount("/b", create_app(two, max_body=10)),
            Mount("/c", create_app(one)),
        ]
        async with living(Starlette(routes=mounts, lifespan=lifespan)) as client:
            await client.post("/a/messages", json={"content": 1})
            assert len((await client.get("/a/messages")).json()) == 1
            assert len((await client.get("/b/messages")).json()) == 0
            assert len((await client.get("/c/messages")).json()) == 1
            assert (await client.post("/b/messages", content=b"x" * 11)).status_code == 413

    asyncio.run(main())


def test_middleware_can_be_added(url: str) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            app = create_app(broker)
            app.add_middleware(GZipMiddleware, minimum_size=10)
            outer = Starlette(
                routes=[Mount("/", app)], middleware=[Middleware(GZipMiddleware, minimum_size=10)]
            )
            for wrapped in (app, outer):
                transport = httpx.ASGITransport(wrapped)
                async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                    answer = await client.get("/")
                    assert answer.headers["content-encoding"] == "gzip"
                    assert answer.json()["name"] == "supersoniq"
                    assert (await client.get("/nothing")).json()["code"] == "not-found"

    asyncio.run(main())


def test_options_are_checked() -> None:
    broker = supersoniq.connect("memory://")
    for name, value in (
        ("max_body", 0),
        ("max_body", 1.5),
        ("max_body", True),
        ("max_batch", 10_001),
        ("max_wait", -1),
        ("max_wait", float("nan")),
        ("keep_alive", "1"),
    ):
        options: dict[str, Any] = {name: value}
        with pytest.raises(supersoniq.InvalidSetting, match=name):
            create_app(broker, **options)
    with pytest.raises(supersoniq.InvalidSetting, match="broker"):
        create_app("memory://")  # type: ignore[arg-type]


def test_a_missing_extra_says_what_to_install() -> None:
    program = (
        "import sys\n"
        "sys.modules['starlette'] = None\n"
        "import supersoniq.adapters\n"
        "try:\n"
        "    from supersoniq.adapters import create_app\n"
        "except supersoniq.MissingExtra as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr == ""
    assert "pip install 'supersoniq[http]'" in done.stdout


def test_routes_of_ones_own_and_websockets(url: str) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            app = create_app(broker)

            async def hello(request: Request) -> PlainTextResponse:
                return PlainTextResponse(f"hello {request.path_params['name']}")

            app.router.add_route("/hello/{name}", hello)
            outer = Starlette(routes=[Mount("/of/{queue}", app)])
            transport = httpx.ASGITransport(outer)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                assert (await client.get("/of/me/hello/ada")).text == "hello ada"
                # The host's path parameters are not ours.
                posted = await client.post("/of/me/messages", json={"content": 1})
                assert posted.headers["location"].startswith("/of/me/messages/")
                assert (await client.get("/of/me/queues")).json() == ["default"]
                assert (await client.get("/of/me/hello/ada/x")).json()["code"] == "not-found"
            sent: list[Any] = []

            async def receive() -> Any:
                return {"type": "websocket.connect"}

            async def send(message: Any) -> None:
                sent.append(message["type"])

            scope = {"type": "websocket", "path": "/nothing", "root_path": "", "headers": []}
            await app(scope, receive, send)
            assert sent == ["websocket.close"]

    asyncio.run(main())
