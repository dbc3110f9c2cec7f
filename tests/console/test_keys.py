"""The console without a mouse."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page, expect

from tests.clients.served import Served
from tests.console.conftest import Visit, asked


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def focused(page: Page) -> Any:
    return page.locator(":focus")


def test_a_dead_message_is_found_and_mended_by_keys_alone(visit: Visit, server: Served) -> None:
    queue = server.new_queue()
    server.publish(queue, "first", "second", "third")
    leased = server.http.post(f"/queues/{queue}/leases", json={"limit": 2}).json()
    dead = [{"receipt": each["receipt"], "outcome": "reject"} for each in leased]
    server.http.post(f"/queues/{queue}/settlements", json=dead)
    page = visit(server.url)
    expect(page.locator("table.queues tbody th").filter(has_text=queue)).to_be_visible()
    press(page, "/")
    expect(page.get_by_label("Find a queue")).to_be_focused()
    page.keyboard.type(queue)
    press(page, "Escape", "j", "Enter")
    expect(page.get_by_role("heading", name=queue)).to_be_visible()
    expect(page.locator(".messages tbody tr")).to_have_count(3)
    press(page, "j", "j", "k", "Enter")
    expect(page.get_by_role("region", name="Content")).to_have_text("first")
    expect(page.get_by_role("complementary", name="Message")).to_be_focused()
    mend = page.get_by_role("button", name="Try again")
    for _ in range(10):
        press(page, "Tab")
        if mend.evaluate("(it) => it == document.activeElement"):
            break
    press(page, "Enter")
    expect(page.locator(".message .status")).to_have_text("ready")
    press(page, "Escape")
    expect(page.locator(".message")).to_have_count(0)
    expect(focused(page)).to_have_text(leased[0]["id"][-12:])  # where one was before
    press(page, "ArrowDown")
    expect(focused(page)).to_have_text(leased[1]["id"][-12:])
    press(page, "Escape")
    expect(page.get_by_role("heading", name="Queues")).to_be_visible()
    assert server.stats(queue)["dead"] == 1


def test_publishing_and_purging(visit: Visit, server: Served) -> None:
    queue = server.new_queue()
    page = visit(server.url, f"#/q/{queue}")
    expect(page.get_by_role("button", name="More ▾")).to_be_visible()
    press(page, "p")
    with asked(page, "Publish a message"):
        page.keyboard.type("/ p ? g j")  # no shortcuts here
        press(page, *["Tab"] * 9)
        expect(focused(page)).to_have_text("Publish")
        press(page, "Enter")
    expect(page.locator(".messages tbody code")).to_have_text("/ p ? g j")
    page.get_by_role("button", name="More ▾").focus()
    press(page, "Enter", "Escape")
    expect(page.get_by_role("button", name="Purge…")).to_be_hidden()
    expect(page.get_by_role("button", name="More ▾")).to_be_focused()
    press(page, "Enter", "Tab", "Enter")
    with asked(page, f"Purge {queue}?"):
        page.keyboard.type(queue)
        press(page, "Enter")
    expect(page.locator(".messages tbody tr")).to_have_count(0)


def test_a_dialog_keeps_the_focus_and_gives_it_back(visit: Visit, server: Served) -> None:
    queue = server.new_queue()
    page = visit(server.url, f"#/q/{queue}")
    page.get_by_role("button", name="Pause…").focus()
    press(page, "Enter")
    with asked(page, f"Pause {queue}?") as dialog:
        for _ in range(8):
            press(page, "Tab")
            assert page.evaluate("!document.querySelector('main').contains(document.activeElement)")
        expect(dialog).to_be_visible()
        press(page, "Escape")
    expect(page.get_by_role("button", name="Pause…")).to_be_focused()
    assert server.stats(queue)["paused"] is False


def test_tabs_help_and_the_way_past_the_head(visit: Visit, server: Served) -> None:
    queue = server.new_queue()
    page = visit(server.url, f"#/q/{queue}")
    expect(page.get_by_role("heading", name=queue)).to_be_visible()
    press(page, "Tab")
    expect(focused(page)).to_have_text("Skip to the content")
    press(page, "Enter")
    expect(page.get_by_role("main")).to_be_focused()
    page.get_by_role("tab", name="Messages").focus()
    press(page, "ArrowRight", "ArrowRight")
    expect(page.get_by_role("tab", name="Policy")).to_be_focused()
    expect(page.get_by_role("tabpanel", name="Policy")).to_be_visible()
    press(page, "?")
    with asked(page, "Keys") as dialog:
        expect(dialog).to_contain_text("all queues")
        press(page, "Enter")
    press(page, "g")
    expect(page.get_by_role("heading", name="Queues")).to_be_visible()
