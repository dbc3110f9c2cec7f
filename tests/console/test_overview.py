"""All queues: live figures, and what needs attention with what mends it."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.clients.served import Served
from tests.console.conftest import Visit, asked


def line(page: Page, queue: str) -> Any:
    return page.get_by_role("row").filter(has=page.get_by_role("link", name=queue, exact=True))


def trouble(page: Page, queue: str, text: str) -> Any:
    found = page.get_by_role("listitem").filter(has_text=text)
    return found.filter(has=page.get_by_role("link", name=queue, exact=True))


def kill(server: Served, queue: str, reason: str) -> None:
    leased = server.http.post(f"/queues/{queue}/leases", json={"limit": 100}).json()
    rejected = [{"receipt": m["receipt"], "outcome": "reject", "reason": reason} for m in leased]
    server.http.post(f"/queues/{queue}/settlements", json=rejected)


def test_figures_are_live_over_the_websocket(visit: Visit, server: Served) -> None:
    queue, other = server.new_queue(), "made-meanwhile"
    page = visit(server.url)
    cell = line(page, queue).locator("td.ready")
    expect(cell).to_have_text("0")
    asked_for: list[str] = []
    page.on("request", lambda request: asked_for.append(request.url))
    server.publish(queue, *range(1500))
    expect(cell).to_have_text("1,500")
    assert f"{server.url}/stats" not in asked_for  # no, it came over the WebSocket
    expect(line(page, queue).locator("td.in")).not_to_have_text("0")
    expect(page.get_by_role("status").filter(has_text="live")).to_have_text("live")
    server.publish(other, 1)
    expect(line(page, other).locator("td.ready")).to_have_text("1")
    server.http.delete(f"/queues/{other}")
    expect(line(page, other)).to_have_count(0)


def test_what_is_dead_says_why_and_is_tried_again(visit: Visit, server: Served) -> None:
    queue = server.new_queue()
    server.publish(queue, *range(7))
    kill(server, queue, "connection refused")
    page = visit(server.url)
    found = trouble(page, queue, "7 dead messages")
    expect(found).to_contain_text("rejected: connection refused. The oldest was published")
    found.get_by_role("button", name="Redrive").click()
    with asked(page, f"Try dead messages of {queue} again?") as dialog:
        dialog.get_by_label("At most").fill("3")
        dialog.get_by_role("button", name="Redrive").click()
    expect(page.locator(".toast")).to_contain_text(f"3 messages of {queue} are ready again.")
    expect(trouble(page, queue, "4 dead messages")).to_be_visible()
    assert server.stats(queue)["ready"] == 3


def test_what_is_paused_goes_on(visit: Visit, server: Served) -> None:
    queue = server.new_queue()
    server.publish(queue, 1, 2)
    server.http.post(f"/queues/{queue}/pause")
    page = visit(server.url)
    found = trouble(page, queue, "Paused until it is resumed, with 2 messages waiting")
    expect(line(page, queue)).to_contain_text("paused")
    found.get_by_role("button", name="Resume").click()
    expect(found).to_have_count(0)
    assert server.stats(queue)["paused"] is False


def test_lines_are_found_and_sorted(visit: Visit, server: Served) -> None:
    for queue, count in (("sort-a", 2), ("sort-b", 3), ("sort-c", 1)):
        server.publish(queue, *range(count))
    page = visit(server.url)
    page.get_by_label("Find a queue").fill("SORT-")
    names = page.locator("table.queues tbody th")
    expect(names).to_have_text(["sort-a", "sort-b", "sort-c"])
    page.get_by_role("button", name="Ready", exact=True).click()
    expect(names).to_have_text(["sort-b", "sort-a", "sort-c"])
    expect(page.get_by_role("columnheader", name="Ready", exact=True)).to_have_attribute(
        "aria-sort", "descending"
    )
    page.get_by_role("button", name="Ready", exact=True).click()
    expect(names).to_have_text(["sort-c", "sort-a", "sort-b"])
    page.get_by_label("Find a queue").fill("nothing like it")
    expect(page.get_by_text("No queue's name has")).to_be_visible()


JUDGED = """async ([samples, oldest]) => {
  const { Track } = await import("/console/feed.js");
  const { troubles, condition } = await import("/console/trouble.js");
  const none = Object.fromEntries(["ready", "leased", "scheduled", "dead", "done", "published",
    "acked", "leases", "nacked", "rejected", "lapsed", "corrupt"].map((name) => [name, 0]));
  const track = new Track("q");
  for (const [at, some] of samples) {
    track.add(1000 * at, { ...none, paused: false, paused_until: null, ...some });
  }
  track.oldest = oldest === null ? null : Date.now() - 1000 * oldest;
  const found = troubles(track);
  return [condition(track, found).word, ...found.map(({ level, text }) => `${level}: ${text}`)];
}"""
CASES: dict[str, tuple[list[Any], float | None, list[str]]] = {
    "nothing": ([[0, {}], [2, {}]], None, ["idle"]),
    "work": (
        [[0, {"ready": 5}], [2, {"ready": 5, "published": 9, "leases": 9, "acked": 9}]],
        None,
        ["working"],
    ),
    "just come": ([[0, {"ready": 5}], [2, {"ready": 5}]], 2, ["waiting"]),
    "nobody since it is watched": (
        [[0, {"ready": 5}], [16, {"ready": 5}]],
        16,
        ["stuck", "bad: 5 messages ready, and nobody takes them"],
    ),
    "nobody for long": (
        [[0, {"ready": 1}], [2, {"ready": 1}]],
        3600,
        ["stuck", "bad: 1 message ready, and nobody takes it"],
    ),
    "an old one that is not its turn": (
        [[0, {"ready": 5}], [2, {"ready": 5, "leases": 3, "acked": 3}]],
        3600,
        ["working"],
    ),
    "dying": (
        [[0, {"dead": 2}], [20, {"dead": 5}]],
        None,
        ["dead letters", "bad: 5 dead messages, 3 of them in the last 20 s"],
    ),
    "falling behind": (
        [
            [0, {"ready": 10, "leased": 1}],
            [60, {"ready": 1000, "leased": 1, "published": 1200, "acked": 210, "leases": 210}],
        ],
        None,
        ["behind", "warn: Consumers fall behind: 20 a second come in, 3.5 are done"],
    ),
    "failing": (
        [[0, {}], [30, {"leases": 20, "acked": 10, "nacked": 8, "lapsed": 2}]],
        None,
        [
            "failing",
            "warn: 50% of the deliveries of the last 30 s failed",
            "warn: 2 leases lapsed: a consumer died, or is too slow",
        ],
    ),
    "rotten": (
        [[0, {"corrupt": 1}], [2, {"corrupt": 1}]],
        None,
        ["corrupt", "bad: 1 message failed the checksum: look at the disk"],
    ),
    "made anew": ([[0, {"published": 9, "leases": 9}], [2, {"published": 1}]], None, ["idle"]),
}


@pytest.fixture(scope="module")
def blank(browser: Any, server: Served) -> Page:
    page: Page = browser.new_context().new_page()
    page.goto(f"{server.url}/health/live")
    return page


@pytest.mark.parametrize("case", CASES)
def test_troubles_are_told_from_figures(blank: Page, case: str) -> None:
    samples, oldest, told = CASES[case]
    assert blank.evaluate(JUDGED, [samples, oldest]) == told
