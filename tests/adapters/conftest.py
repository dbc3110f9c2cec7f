"""Apps on every store, called in process or over a real socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

import supersoniq
from supersoniq.adapters import create_app
from supersoniq.adapters.http.app import App
from supersoniq.adapters.http.native import Server

Visit = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
Serving = Callable[..., AbstractAsyncContextManager[str]]


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store of one's own."""
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/store.db"


@pytest.fixture
def visit(url: str) -> Visit:
    """A client of an app, without a socket between them."""

    @asynccontextmanager
    async def visit(**options: Any) -> AsyncIterator[httpx.AsyncClient]:
        async with supersoniq.connect(url) as broker:
            transport = httpx.ASGITransport(create_app(broker, **options))
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                yield client

    return visit


@pytest.fixture
def serving() -> Serving:
    """An app on a real server; gives its URL."""

    @asynccontextmanager
    async def serving(app: App, **options: Any) -> AsyncIterator[str]:
        listener = socket.create_server(("127.0.0.1", 0))
        server = Server(app, **options)
        started = asyncio.Event()
        server.on_started = started.set
        task = asyncio.ensure_future(server.serve([listener]))
        try:
            await started.wait()
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.stop()
            await asyncio.wait_for(task, 15)
            listener.close()

    return serving


@pytest.fixture(params=["json", "msgpack"])
def protocol(request: pytest.FixtureRequest) -> str:
    """Which of the WebSocket's subprotocols."""
    name: str = request.param
    return name
