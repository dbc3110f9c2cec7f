"""Tokens: asked for, kept in the tab, and what they do not allow is not offered."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import jwt
import pytest
from playwright.sync_api import Page, expect

from tests.clients.served import Served, served
from tests.console.conftest import UNKNOWN, Visit, asked

SECRET = "0123456789abcdef0123456789abcdef-and-more"
ALL = "publish:* consume:* browse:* watch:* manage:* metrics:*"
DEEDS = ["Publish…", "Pause…", "Redrive…", "More ▾"]


def mint(scope: str = ALL, seconds: float = 600, sub: str = "anna") -> str:
    return jwt.encode({"sub": sub, "scope": scope, "exp": time.time() + seconds}, SECRET)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "secret").write_text(SECRET)
    (folder / "secret").chmod(0o600)
    flags = ("--backend", "memory://", "--auth-secret-file", str(folder / "secret"))
    with served(folder, *flags) as server:
        bearer = {"authorization": f"Bearer {mint(seconds=36_000)}"}
        with httpx.Client(base_url=server.url, headers=bearer) as http:
            for queue in ("orders", "mail.in", "mail.out"):
                http.post(f"/queues/{queue}/messages", json=[{"content": n} for n in range(3)])
                [leased] = http.post(f"/queues/{queue}/leases", json={}).json()
                dead = [{"receipt": leased["receipt"], "outcome": "reject"}]
                http.post(f"/queues/{queue}/settlements", json=dead)
        yield server


def let_in(page: Page, token: str) -> None:
    with asked(page, "A token, please") as dialog:
        dialog.get_by_label("Token").fill(token)
        dialog.get_by_role("button", name="Use it").click()


def offered(page: Page) -> list[str]:
    """The buttons above a queue, once its figures have come."""
    expect(page.locator(".tile b").first).not_to_have_text(UNKNOWN)
    buttons = page.locator(".deeds").get_by_role("button").filter(visible=True)
    return list(buttons.all_inner_texts())


def names(page: Page) -> Any:
    return page.locator("table.queues tbody th")


def test_nobody_gets_in_without_one(visit: Visit, guarded: Served) -> None:
    page = visit(guarded.url)
    expect(page.get_by_role("dialog", name="A token, please")).to_contain_text("nobody in without")
    for token, why in (
        ("nonsense", "three parts of base64url"),
        ("two words", "three parts of base64url"),
        (mint(seconds=-5), "expired"),
        (jwt.encode({"sub": "a", "exp": time.time() + 60}, SECRET[::-1]), "signature"),
    ):
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Token").fill(token)
        dialog.get_by_role("button", name="Use it").click()
        expect(dialog.get_by_role("alert")).to_contain_text(why)
    expect(names(page)).to_have_count(0)
    let_in(page, f"  Bearer {mint()}\n")
    expect(names(page)).to_have_text(["default", "mail.in", "mail.out", "orders"])
    expect(page.get_by_role("button", name="anna")).to_be_visible()


def test_it_stays_in_the_tab_and_nowhere_else(visit: Visit, guarded: Served) -> None:
    urls: list[str] = []
    page = visit(guarded.url)
    page.on("request", lambda request: urls.append(request.url))
    page.on("websocket", lambda socket: urls.append(socket.url))
    token = mint()
    let_in(page, token)
    expect(names(page)).to_have_count(4)
    page.reload()
    expect(names(page)).to_have_count(4)
    kept = page.evaluate("[JSON.stringify(localStorage), document.cookie]")
    assert token not in str([*kept, *urls])
    assert page.evaluate("sessionStorage.length") == 1
    page.get_by_role("button", name="anna").click()
    with asked(page, "You are anna") as dialog:
        expect(dialog.get_by_role("listitem")).to_have_text(ALL.split())
        dialog.get_by_role("button", name="Forget it").click()
    expect(page.get_by_role("dialog", name="A token, please")).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0
    expect(names(page)).to_have_count(0)


@pytest.mark.parametrize(
    ("scope", "seen", "deeds", "tabs"),
    [
        (ALL, 4, DEEDS, True),
        ("browse:orders", 1, [], True),
        ("browse:orders publish:orders", 1, DEEDS[:1], True),
        ("manage:orders", 1, DEEDS[1:], False),
        ("metrics:*", 4, [], False),
        ("browse:mail.* manage:orders", 3, DEEDS[1:], False),
    ],
)
def test_what_is_not_allowed_is_not_offered(
    visit: Visit, guarded: Served, scope: str, seen: int, deeds: list[str], tabs: bool
) -> None:
    page = visit(guarded.url)
    let_in(page, mint(scope))
    expect(names(page)).to_have_count(seen)
    found = page.get_by_role("listitem").filter(has_text="1 dead message")
    mend = found.filter(has_text="orders").get_by_role("button", name="Redrive…")
    expect(mend).to_have_count(1 if "manage" in scope else 0)
    page.goto(f"{guarded.url}/console#/q/orders")
    assert offered(page) == deeds
    expect(page.locator(".messages tbody tr")).to_have_count(3 if tabs else 0)
    if not tabs:
        expect(page.get_by_text("That takes a token with browse:orders.")).to_be_visible()
        return
    page.locator(".messages tbody a").first.click()
    expect(page.locator(".why")).not_to_be_empty()
    asides = page.get_by_role("complementary", name="Message")
    manage = page.locator(".message").get_by_role("button", name="Try again")
    expect(manage.filter(visible=True)).to_have_count(1 if "manage" in scope else 0)
    expect(asides.get_by_role("button", name="What was before")).to_have_count(
        int("watch" in scope)
    )


def test_a_queue_of_which_only_the_name_is_known(visit: Visit, guarded: Served) -> None:
    page = visit(guarded.url)
    let_in(page, mint("publish:orders"))
    expect(names(page)).to_have_text(["orders"])
    expect(page.locator("td.ready")).to_have_text(UNKNOWN)
    page.get_by_role("link", name="orders").click()
    page.get_by_role("button", name="Publish…").click()
    with asked(page, "Publish a message") as dialog:
        dialog.get_by_label("Content", exact=True).fill("hello")
        dialog.get_by_role("button", name="Publish").click()
    expect(page.locator(".toast")).to_contain_text("Published to orders.")


def test_a_token_that_ends_while_one_looks(visit: Visit, guarded: Served) -> None:
    page = visit(guarded.url)
    let_in(page, mint(seconds=8))
    expect(names(page)).to_have_count(4)
    expect(page.get_by_role("button", name="token ends in")).to_be_visible()
    dialog = page.get_by_role("dialog", name="A token, please")
    expect(dialog).to_contain_text("The one in use does not do")
    let_in(page, mint("metrics:orders", sub="bert"))
    expect(names(page)).to_have_text(["orders"])
    expect(page.get_by_role("button", name="bert")).to_be_visible()
