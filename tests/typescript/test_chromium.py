"""The TypeScript client, as it is built for the console, in a page in Chromium."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.clients.browser import Wire, browsing
from tests.clients.served import PATIENCE, Served, needs, served

pytestmark = needs("chromium", "google-chrome")
PAGES = Path(__file__).parent / "pages"
SECRET = "0123456789abcdef0123456789abcdef-and-more"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("served"), "--backend", "memory://") as server:
        yield server


@pytest.fixture
def wire(server: Served) -> Iterator[Wire]:
    wire = Wire(server.port)
    yield wire
    wire.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as tools, browsing(tools) as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    context.set_default_timeout(PATIENCE * 1000)
    context.add_init_script(path=PAGES / "client.js")
    yield context.new_page()
    context.close()


def told(page: Page, function: str, server: Served, **more: Any) -> dict[str, Any]:
    page.goto(f"{more['url']}/health/live")
    given = {"name": server.new_queue(), **more}
    found: dict[str, Any] = page.evaluate(f"(given) => {function}(given)", given)
    return found


DID = {
    "acked": [{"n": [1, None, "é"]}, "text", [0, 255, 128], 42],
    "done": 60,
    "urgent": True,
    "tries": {"fails twice": 3, "hopeless": 1},
    "told": {"acked": 66, "nacked": 2, "rejected": 1},
    "published": 68,
    "grows": True,
    "dead": ["hopeless", "hopeless", "rejected: no such address"],
    "redriven": 1,
    "paused": True,
    "refused": "message-not-found",
    "twice": [False, True],
    "conflict": "key-conflict",
    "leased": 0,
}


@pytest.mark.parametrize("transport", ["websocket", "http"])
def test_everything_that_a_queue_can_do(page: Page, server: Served, transport: str) -> None:
    did = told(page, "everything", server, url=server.url, socket=transport == "websocket")
    assert 0 < did.pop("most") <= 5
    assert "dead because: rejected: no such address" in did.pop("why")
    assert did == {**DID, "transport": transport}


def test_a_lease_is_extended_for_as_long_as_the_work_takes(page: Page, server: Served) -> None:
    page.goto(f"{server.url}/health/live")
    given = [
        {"name": server.new_queue(), "url": server.url, "socket": socket}
        for socket in (True, False)
    ]
    for did in page.evaluate("(given) => Promise.all(given.map(holding))", given):
        assert did.pop("extended") >= 3
        assert did == {"lost": False, "lapsed": False}


def test_where_websockets_are_blocked_it_goes_by_fetch(
    page: Page, server: Served, wire: Wire
) -> None:
    wire.plain = True
    did = told(page, "everything", server, url=wire.url, socket=True)
    assert 0 < did.pop("most") <= 5
    del did["why"]
    assert did == {**DID, "transport": "http"}


def test_a_cut_connection_loses_its_leases_and_no_event(
    page: Page, server: Served, wire: Wire
) -> None:
    page.goto(f"{wire.url}/health/live")
    queue = server.new_queue()
    page.evaluate("(given) => begin(given)", {"name": queue, "url": wire.url})
    while not page.evaluate("state.told.length"):
        server.publish(queue, "before")  # what is told begins at some moment
    page.wait_for_function("state.worked.length")
    wire.down = True
    wire.cut()
    page.wait_for_function("state.settled")  # at once: it does not wait for the lease to end
    assert page.evaluate("[state.aborted, state.settled]") == ["lease-lost"] * 2
    server.publish(queue, "while", "it was", "away")
    wire.down = False
    page.wait_for_function("state.told.at(-1) == 'away'")
    server.publish(queue, "after")
    page.wait_for_function("state.told.at(-1) == 'after'")
    seen = page.evaluate("state.told.filter((each) => each != 'before')")
    assert seen == ["while", "it was", "away", "after"]
    # Somebody got the lost one again: this very page, once it was back.
    count = server.stats(queue)["published"]
    page.wait_for_function(f"state.worked.length > {count}")
    server.all_done(queue, count)


def test_a_token_is_renewed_on_the_connection_that_is_open(page: Page, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)

    def mint(seconds: float) -> str:
        claims = {"sub": "anna", "exp": time.time() + seconds, "scope": "publish:* watch:*"}
        return jwt.encode(claims, SECRET)

    opened: list[str] = []
    page.on("websocket", lambda socket: opened.append(socket.url))
    page.expose_function("mint", mint)
    with served(tmp_path, "--backend", "memory://", "--auth-secret-file", str(secret)) as server:
        page.goto(f"{server.url}/health/live")
        given = {"name": "orders", "url": server.url}
        did = page.evaluate("(given) => renewed(given)", given)
    assert did == {"transport": "websocket", "told": "after", "tokens": 2}
    assert opened == [f"{server.url.replace('http', 'ws', 1)}/ws"]
