"""Whatever a message, or even a server, says is shown as text, and never does anything."""

from __future__ import annotations

import json
from typing import Any

from playwright.sync_api import Page, Route, WebSocketRoute, expect

from tests.clients.served import Served
from tests.console.conftest import Visit

EVIL = '<img src=x onerror="alert(1)"><script>alert(2)</script>"\'`${alert(3)}&lt;b&gt;'
OWN = "document.querySelectorAll('script').length"


def untouched(page: Page) -> None:
    assert page.evaluate(OWN) == 1
    assert (
        page.evaluate("document.querySelectorAll('main img, main script, main b[x]').length") == 0
    )


def test_contents_headers_and_reasons(visit: Visit, server: Served) -> None:
    queue = server.new_queue()
    every = {
        "content": EVIL,
        "headers": {EVIL: EVIL, "__proto__": "x", "constructor": "y"},
        "key": EVIL,
        "sender": EVIL,
        "recipient": EVIL,
        "content_type": "text/html",
    }
    answer = server.http.post(f"/queues/{queue}/messages", json=every)
    assert answer.status_code == 201, answer.text
    asked = {"recipient": EVIL}
    [leased] = server.http.post(f"/queues/{queue}/leases", json=asked).json()
    verdict = {"receipt": leased["receipt"], "outcome": "reject", "reason": EVIL}
    server.http.post(f"/queues/{queue}/settlements", json=[verdict])

    page = visit(server.url)
    expect(page.get_by_role("listitem").filter(has_text="1 dead message")).to_contain_text(EVIL)
    untouched(page)
    page.goto(f"{server.url}/console#/q/{queue}")
    expect(page.locator(".messages tbody tr")).to_contain_text(EVIL)
    page.locator(".messages tbody a").click()
    expect(page.get_by_role("region", name="Content")).to_have_text(EVIL)
    message = page.locator(".message")
    expect(message.get_by_role("term").filter(has_text="img")).to_have_text(EVIL)
    for label in ("Key", "Sender", "Recipient"):
        fact = message.locator(".facts > div").filter(
            has=page.get_by_role("term").get_by_text(label, exact=True)
        )
        expect(fact.get_by_role("definition")).to_have_text(EVIL)
    expect(page.locator(".why")).to_contain_text(EVIL)
    page.get_by_label("Search messages").fill(EVIL)
    page.get_by_label("Search messages").press("Enter")
    expect(page.get_by_text("1 message found in 1")).to_be_visible()
    page.get_by_role("button", name="Publish one like it…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Content", exact=True)).to_have_value(EVIL)
    page.keyboard.press("Escape")
    untouched(page)


def test_bytes_that_are_not_what_their_type_says(visit: Visit, server: Served) -> None:
    queue = server.new_queue()
    for kind in (
        "application/vnd.x+json",
        "text/plain",
        "text/html; charset=utf-16",
        "image/svg+xml",
    ):
        fields = {"content-type": kind}
        server.http.post(f"/queues/{queue}/messages", content=b"\xff\xfe<\x00", headers=fields)
    page = visit(server.url, f"#/q/{queue}")
    rows = page.locator(".messages tbody tr")
    expect(rows).to_have_count(4)
    expect(rows.first).to_contain_text("4 bytes: ff fe 3c 00")
    rows.first.get_by_role("link").click()
    expect(page.get_by_role("region", name="Content")).to_contain_text("ff fe 3c 00")


def test_addresses_that_somebody_else_made(visit: Visit, server: Served) -> None:
    for address in (f"#/q/{EVIL}", "#/q/../../x", "#/q/%00", "#//evil.example", "#/q/a/<b>?<i>"):
        page = visit(server.url, address)
        expect(page.locator(".link")).to_have_text("live")
        untouched(page)


def test_a_server_that_names_a_queue_like_that(visit: Visit, server: Served) -> None:
    queue = server.new_queue()

    def changed(text: str | bytes) -> str:
        frame: Any = json.loads(text)
        return json.dumps(frame).replace(json.dumps(queue), json.dumps(EVIL))

    def between(socket: WebSocketRoute) -> None:
        there = socket.connect_to_server()
        there.on_message(lambda text: socket.send(changed(text)))
        socket.on_message(
            lambda text: there.send(str(text).replace(json.dumps(EVIL), json.dumps(queue)))
        )

    def names(route: Route) -> None:
        route.fulfill(json=[EVIL], headers={"content-type": "application/json"})

    page = visit(server.url)
    page.route_web_socket("**/ws", between)
    page.route("**/queues", names)
    page.reload()
    expect(page.locator("table.queues tbody th").filter(has_text="img")).to_have_text(EVIL)
    untouched(page)
