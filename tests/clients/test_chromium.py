"""A browser at work: fetch and server-sent events over HTTP/2 and 3, WebSocket, WebTransport."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

import supersoniq.sync
from tests.clients.browser import browsing
from tests.clients.served import PATIENCE, Served, needs, served
from tests.docs.pages import DOCS, blocks
from tests.ports import free_port

pytestmark = needs("chromium", "google-chrome")
PAGES = Path(__file__).parent / "pages"


def script(name: str) -> str:
    return (PAGES / name).read_text()


def certificate(file: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(file.read_bytes())


def trusting(*files: Path) -> str:
    """The flag that makes Chromium take certificates: those with these public keys."""
    pins = []
    for file in files:
        key = certificate(file).public_key()
        raw = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        pins.append(base64.b64encode(hashlib.sha256(raw).digest()).decode())
    return f"--ignore-certificate-errors-spki-list={','.join(pins)}"


@pytest.fixture(scope="module")
def tools() -> Iterator[Playwright]:
    with sync_playwright() as tools:
        yield tools


@pytest.fixture(scope="module")
def quic(tools: Playwright, tls: Served) -> Iterator[Browser]:
    """A browser that speaks HTTP/3 with 127.0.0.1, and HTTP/2 with localhost."""
    assert tls.certfile is not None
    where = f"127.0.0.1:{tls.port}"
    with browsing(tools, trusting(tls.certfile), f"--origin-to-force-quic-on={where}") as browser:
        yield browser


@pytest.fixture
def page(quic: Browser) -> Iterator[Page]:
    context = quic.new_context(ignore_https_errors=False)
    context.set_default_timeout(PATIENCE * 1000)
    context.add_init_script(path=PAGES / "work.js")
    try:
        yield context.new_page()
    finally:
        context.close()


def test_fetch_and_events_over_http_2(page: Page, tls: Served) -> None:
    works_by_fetch(page, tls, "localhost", "h2")


def test_fetch_and_events_over_http_3(page: Page, tls: Served) -> None:
    works_by_fetch(page, tls, "127.0.0.1", "h3")


def works_by_fetch(page: Page, tls: Served, host: str, spoken: str) -> None:
    queue = tls.new_queue()
    page.goto(f"https://{host}:{tls.port}/")
    assert page.evaluate(script("fetch.js"), [queue, 300_000]) == {
        "made": 201,
        "sizes": [5, 300_000, 2],
        "settled": [{"ok": True}] * 3,
        "again": "lease-lost",
        "missing": [404, "application/problem+json", "queue-not-found"],
        "kinds": ["acked"] * 3 + ["published"] * 3,
        "lines": [["start", None], ["published", True]],
        "binary": ["AP8=", 7, True],
        "spoken": [spoken],
    }
    tls.all_done(queue, 4)


WORKED = {
    "type": "welcome",
    "durability": "disk",
    "published": 100,
    "refused": "invalid-name",
    "acked": 100,
    "ordered": True,
    "distinct": 100,
}


def within_credit(did: dict[str, Any]) -> dict[str, Any]:
    """What it did, if it never held more than its credit of 10."""
    assert 0 < did.pop("most") <= 10
    return did


def test_websocket_over_http_2(page: Page, tls: Served) -> None:
    queue = tls.new_queue()
    status: list[int] = []
    spy = page.context.new_cdp_session(page)
    spy.send("Network.enable")
    spy.on(
        "Network.webSocketHandshakeResponseReceived",
        lambda event: status.append(event["response"]["status"]),
    )
    page.goto(f"https://localhost:{tls.port}/")
    told = page.evaluate(script("websocket.js"), [queue, 100])
    assert within_credit(told) == {**WORKED, "protocol": "supersoniq.v1.json", "code": 1000}
    assert status == [200]  # an extended CONNECT; over HTTP/1.1 it were 101
    tls.all_done(queue, 100)


def test_webtransport(page: Page, tls: Served) -> None:
    assert tls.certfile is not None
    der = certificate(tls.certfile).public_bytes(Encoding.DER)
    *queues, last = (tls.new_queue() for _ in range(4))
    page.goto(f"https://127.0.0.1:{tls.port}/")
    asked = [tls.port, list(hashlib.sha256(der).digest()), queues, last, 100]
    told = page.evaluate(script("webtransport.js"), asked)
    told["did"] = [*map(within_credit, told["did"])]
    assert told == {"did": [WORKED] * 3, "whole": True, "end": [8, 4000]}
    for queue in queues:
        tls.all_done(queue, 100)
    tls.all_done(last, 1)


def test_what_the_page_shows_of_webtransport(page: Page, tls: Served) -> None:
    """docs/http3.md: it opens a stream, on which the server speaks first."""
    assert tls.certfile is not None
    der = certificate(tls.certfile).public_bytes(Encoding.DER)
    [shown] = blocks(DOCS / "http3.md", "js")
    program = shown.text.replace("localhost:8000", f"127.0.0.1:{tls.port}")
    page.goto(f"https://127.0.0.1:{tls.port}/")
    begins = page.evaluate(
        f"""async (bytes) => {{
          const hash = new Uint8Array(bytes);
          {program}
          const {{ value }} = await readable.getReader().read();
          transport.close();
          return new TextDecoder().decode(value);
        }}""",
        list(hashlib.sha256(der).digest()),
    )
    assert '{"type":"welcome",' in begins


LISTEN = """
queue => {
  globalThis.seen = [];
  const source = new EventSource(`/queues/${queue}/events`);
  source.addEventListener("published", ({data}) => seen.push(JSON.parse(data).message.content));
  source.addEventListener("gap", () => seen.push("gap"));
  return new Promise(done => source.addEventListener("start", done, {once: true}));
}
"""


def test_an_event_source_resumes_with_another_server(tools: Playwright, tmp_path: Path) -> None:
    """The server stops, somebody publishes into its file, and it comes back: nothing is missed."""
    store = f"sqlite:///{tmp_path}/store.db"
    flags = ("--dev", "--backend", store, "--port", str(free_port()))
    with ExitStack() as first:
        server = first.enter_context(served(tmp_path, *flags))
        assert server.certfile is not None
        with browsing(tools, trusting(server.certfile), "--disable-quic") as browser:
            page = browser.new_page()
            page.set_default_timeout(PATIENCE * 1000)
            page.goto(server.url)
            queue = server.new_queue()
            page.evaluate(LISTEN, queue)
            server.publish(queue, "before")
            page.wait_for_function("seen.length == 1")
            first.close()
            with supersoniq.sync.connect(store) as broker:
                broker.queue(queue).publish_many(["while", "it was", "away"])
            with served(tmp_path, *flags) as again:
                page.wait_for_function("seen.length == 4")
                again.publish(queue, "after")
                page.wait_for_function("seen.length == 5")
                assert page.evaluate("seen") == ["before", "while", "it was", "away", "after"]
