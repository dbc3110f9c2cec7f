"""How the console looks: nothing is cut off or too pale, everything has a name, and fingers hit it.

With SUPERSONIQ_SCREENSHOTS=docs the pictures of docs/console.md are taken anew; with the name of a
folder, pictures of everything are put there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.clients.served import Served, served
from tests.console.conftest import Visit

PICTURES = Path(__file__).parents[2] / "docs" / "console"
TAKEN = os.environ.get("SUPERSONIQ_SCREENSHOTS")
KEPT = {
    "queues-desk-light",
    "queue-desk-dark",
    "message-desk-light",
    "queues-phone-dark",
    "message-phone-light",
}
"""Those that the docs show."""
DESK: dict[str, Any] = {"viewport": {"width": 1280, "height": 860}}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "is_mobile": True,
    "has_touch": True,
}
KINDS = [(size, scheme) for size in ("desk", "phone") for scheme in ("light", "dark")]

SCRIPT = (Path(__file__).parent / "looks.js").read_text()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with something of everything in it."""
    with served(tmp_path_factory.mktemp("shop"), "--backend", "memory://") as server:
        stock(server)
        yield server


def stock(server: Served) -> None:

    def publish(queue: str, *envelopes: dict[str, Any]) -> None:
        server.http.post(f"/queues/{queue}/messages", json=list(envelopes))

    def take(queue: str, limit: int) -> list[str]:
        leased = server.http.post(f"/queues/{queue}/leases", json={"limit": limit}).json()
        return [each["receipt"] for each in leased]

    def settle(queue: str, outcome: str, receipts: list[str], **more: Any) -> None:
        asked = [{"receipt": receipt, "outcome": outcome, **more} for receipt in receipts]
        server.http.post(f"/queues/{queue}/settlements", json=asked)

    publish(
        "invoices",
        *(
            {
                "content": {"invoice": 1000 + n, "customer": f"c-{n}", "total": 12.5 * n},
                "key": f"invoice-{1000 + n}",
                "headers": {"tenant": "acme"},
                "sender": "billing",
                "priority": n % 2,
            }
            for n in range(12)
        ),
    )
    receipts = take("invoices", 9)
    settle("invoices", "reject", receipts[:6], reason="connection refused: smtp.example.com:587")
    settle("invoices", "reject", receipts[6:8], reason="no such customer")
    settle("invoices", "nack", receipts[8:], delay=900, reason="421 try again later")
    publish(
        "images.thumbnails", *({"content_base64": "iVBORw0KGgo=", "priority": n} for n in range(4))
    )
    server.http.post("/queues/images.thumbnails/pause", json={"duration": 5000})
    publish("reports.monthly", *({"content": f"month {n}", "delay": 3600 * n} for n in range(1, 7)))
    publish("emails", *({"content": {"to": f"user{n}@example.com"}} for n in range(250)))
    settle("emails", "ack", take("emails", 200))
    take("emails", 5)
    server.http.put("/queues/z-queue-with-a-very-long-name." + "x" * 90, json={})


def opened(visit: Visit, shop: Served, size: str, scheme: str, address: str) -> Page:
    options = DESK if size == "desk" else PHONE
    page = visit(shop.url, address, color_scheme=scheme, reduced_motion="reduce", **options)
    expect(page.locator(".link")).to_have_text("live")
    return page


def traffic(shop: Served, page: Page, name: str) -> None:
    """Some work, while the page draws it."""
    for n in range(30 if name in KEPT else 3):
        envelopes = [{"content": {"to": f"user{m}@example.com"}} for m in range(9 + 4 * (n % 3))]
        shop.http.post("/queues/emails/messages", json=envelopes)
        leased = shop.http.post("/queues/emails/leases", json={"limit": 10 + n % 7}).json()
        acks = [{"receipt": each["receipt"], "outcome": "ack"} for each in leased]
        shop.http.post("/queues/emails/settlements", json=acks)
        drawn = page.locator(".line").first.get_attribute("d") or ""
        page.wait_for_function(
            "(old) => document.querySelector('.line').getAttribute('d') != old", arg=drawn
        )


def picture(page: Page, name: str) -> None:
    if TAKEN and (TAKEN != "docs" or name in KEPT):
        folder = PICTURES if TAKEN == "docs" else Path(TAKEN)
        folder.mkdir(exist_ok=True)
        page.screenshot(path=folder / f"{name}.png", animations="disabled", caret="hide")


@pytest.mark.parametrize(("size", "scheme"), KINDS)
def test_everything_can_be_read_and_hit(visit: Visit, shop: Served, size: str, scheme: str) -> None:
    def looked(page: Page, name: str) -> None:
        if TAKEN and name in ("queues", "queue", "message"):
            traffic(shop, page, f"{name}-{size}-{scheme}")
        picture(page, f"{name}-{size}-{scheme}")
        assert page.evaluate(SCRIPT, 40 if size == "phone" else 24) == []

    page = opened(visit, shop, size, scheme, "")
    expect(page.get_by_role("listitem").filter(has_text="8 dead messages")).to_contain_text("(6 of")
    looked(page, "queues")
    page = opened(visit, shop, size, scheme, "#/q/emails")
    expect(page.locator(".messages tbody tr").first).to_be_visible()
    looked(page, "queue")
    for tab in ("Events", "Policy"):
        page.get_by_role("tab", name=tab).click()
        expect(page.get_by_role("tabpanel", name=tab)).to_be_visible()
        looked(page, tab.lower())
    page = opened(visit, shop, size, scheme, "#/q/invoices?dead")
    page.locator(".messages tbody a").first.click()
    expect(page.locator(".why")).not_to_be_empty()
    looked(page, "message")
    page.keyboard.press("Escape")
    for deed in ("Publish…", "Pause…", "Redrive…"):
        page.locator(".deeds").get_by_role("button", name=deed).click()
        looked(page, deed.strip("…").lower())
        page.keyboard.press("Escape")
    for deed in ("Purge…", "Delete…"):
        page.get_by_role("button", name="More ▾").click()
        page.get_by_role("button", name=deed).click()
        looked(page, deed.strip("…").lower())
        page.keyboard.press("Escape")
    page.get_by_role("button", name="Keys and help").click()
    looked(page, "help")


def test_colours_can_be_chosen(visit: Visit, shop: Served) -> None:
    page = opened(visit, shop, "desk", "light", "")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    switch = page.get_by_role("button", name="Colours")
    switch.click()
    assert page.evaluate(ground) == light
    switch.click()
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    assert page.evaluate(ground) == dark
    page.get_by_role("button", name="Colours: dark").click()
    assert page.evaluate(ground) == light


def test_nothing_moves_for_those_who_do_not_want_it(visit: Visit, shop: Served) -> None:
    moves = """() => {
      const toast = Object.assign(document.createElement("div"), { className: "toast" });
      document.getElementById("toasts").append(toast);
      return document.getAnimations().length;
    }"""
    assert opened(visit, shop, "desk", "light", "").evaluate(moves) == 0
    assert visit(shop.url, reduced_motion="no-preference").evaluate(moves) == 1


def test_pointing_at_a_chart_tells_what_was_then(visit: Visit, shop: Served) -> None:
    page = opened(visit, shop, "desk", "light", "#/q/emails")
    chart = page.get_by_role("figure").first
    shop.http.post("/queues/emails/messages", json=[{"content": "x"}])
    expect(chart.locator(".when")).to_be_empty()
    chart.locator("svg").hover()
    expect(chart.locator(".when")).to_contain_text(" at ")
