"""What the page does when its server cannot be reached, or not by WebSocket, or lies elsewhere."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from playwright.sync_api import expect
from starlette.applications import Starlette
from starlette.routing import Mount

import supersoniq
from supersoniq.adapters import create_app
from tests.clients.browser import Wire
from tests.clients.served import PATIENCE, Served
from tests.console.conftest import Visit, asked


@pytest.fixture
def wire(server: Served) -> Iterator[Wire]:
    wire = Wire(server.port)
    yield wire
    wire.close()


def test_an_outage_is_told_and_its_end(visit: Visit, server: Served, wire: Wire) -> None:
    queue = server.new_queue()
    server.publish(queue, 1)
    page = visit(wire.url, f"#/q/{queue}")
    ready = page.get_by_role("button", name="ready")
    expect(ready).to_have_text("1ready")
    wire.down = True
    wire.cut()
    expect(page.locator(".link")).to_contain_text("not connected for")
    expect(ready).to_have_text("1ready")  # what was known stays to be seen
    page.get_by_role("button", name="Pause…").click()
    with asked(page, f"Pause {queue}?") as dialog:
        dialog.get_by_role("button", name="Pause").click()
        expect(dialog.get_by_role("alert")).to_contain_text(wire.url)
        wire.down = False
        expect(page.locator(".link")).to_have_text("live")
        dialog.get_by_role("button", name="Pause").click()
    server.publish(queue, 2)
    expect(ready).to_have_text("2ready")
    assert server.stats(queue)["paused"] is True


def test_without_websockets_it_goes_by_fetch(visit: Visit, server: Served, wire: Wire) -> None:
    wire.plain = True
    queue = server.new_queue()
    page = visit(wire.url, f"#/q/{queue}")
    expect(page.locator(".link")).to_have_text("live over HTTP")
    page.get_by_role("tab", name="Events").click()
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    server.publish(queue, "x")
    expect(page.locator(".tile.ready b")).to_have_text("1")
    while page.locator(".events tbody tr").count() == 0:  # the stream begins at some moment
        server.publish(queue, "again")


@pytest.fixture
def mounted() -> Iterator[str]:
    """The app below a prefix of another one."""
    broker = supersoniq.connect("memory://")
    inner = create_app(broker)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with broker:
            yield

    app = Starlette(routes=[Mount("/a/queue", inner)], lifespan=lifespan)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", ws="websockets-sansio"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started and thread.is_alive():
        thread.join(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/a/queue"
    inner.drain()
    server.should_exit = True
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_it_works_below_a_prefix(visit: Visit, mounted: str) -> None:
    page = visit(mounted, "/")  # with a slash too many
    expect(page.locator(".link")).to_have_text("live")
    assert page.url == f"{mounted}/console"
    page.get_by_role("button", name="Publish…").click()
    with asked(page, "Publish a message") as dialog:
        dialog.get_by_label("Queue").fill("first")
        dialog.get_by_label("Content", exact=True).fill("hello")
        dialog.get_by_role("button", name="Publish").click()
    page.get_by_role("link", name="first").click()
    expect(page.locator(".messages tbody code")).to_have_text("hello")
