"""One queue: its messages, what can be done with them and with it, and each of them from within."""

from __future__ import annotations

import time
from typing import Any

from playwright.sync_api import Page, Route, WebSocketRoute, expect

from tests.clients.served import Served
from tests.console.conftest import Visit, asked


def rows(page: Page) -> Any:
    return page.locator(".messages tbody tr")


def toast(page: Page, text: str) -> None:
    expect(page.locator(".toast").filter(has_text=text)).to_be_visible()


def test_a_message_is_published_with_all_it_can_have(visit: Visit, server: Served) -> None:
    queue = server.new_queue()
    page = visit(server.url, f"#/q/{queue}")
    page.get_by_role("button", name="Publish…").click()
    with asked(page, "Publish a message") as dialog:
        expect(dialog.get_by_label("Content", exact=True)).to_be_focused()
        fields = {
            "Content": '{"n": 12345678901234567890, "f": 1.50}',
            "Priority": "7",
            "Delay, s": "3600",
            "Expires in, s": "7200",
            "Key": "k-1",
            "Recipient": "anna",
            "Headers": "tenant: acme\nurl: https://x/y",
        }
        for label, value in fields.items():
            dialog.get_by_label(label).first.fill(value)
        dialog.get_by_role("button", name="Publish").click()
    toast(page, f"Published to {queue}.")
    [found] = server.http.get(f"/queues/{queue}/messages?content=base64").json()
    assert found["content_type"] == "application/json"
    assert (found["priority"], found["key"], found["recipient"]) == (7, "k-1", "anna")
    assert found["headers"] == {"tenant": "acme", "url": "https://x/y"}
    assert (found["status"], found["available_at"] - found["created_at"]) == (
        "scheduled",
        3_600_000,
    )
    assert found["expires_at"] - found["created_at"] == 7_200_000
    expect(rows(page)).to_have_count(1)  # the list shows it by itself
    rows(page).get_by_role("link").click()
    content = page.get_by_role("region", name="Content")
    expect(content).to_have_text('{\n  "n": 12345678901234567890,\n  "f": 1.50\n}')
    page.get_by_role("button", name="As it is").click()
    expect(content).to_have_text(fields["Content"])
    page.get_by_role("button", name="Hex").click()
    expect(content).to_contain_text("000000  7b 22 6e 22 3a 20 31 32 33 34")
    expect(page.get_by_text("It is scheduled: ready in")).to_be_visible()


def test_what_cannot_be_published_is_said_and_nothing_is_lost(visit: Visit, server: Served) -> None:
    queue = server.new_queue()
    page = visit(server.url, f"#/q/{queue}")
    page.get_by_role("button", name="Publish…").click()
    with asked(page, "Publish a message") as dialog:
        dialog.get_by_label("Content", exact=True).fill('{"a": }')
        dialog.get_by_label("Format").select_option("json")
        dialog.get_by_role("button", name="Publish").click()
        expect(dialog.get_by_role("alert")).to_contain_text("JSON")
        dialog.get_by_label("Format").select_option("text")
        dialog.get_by_label("Headers").fill("no pair")
        dialog.get_by_role("button", name="Publish").click()
        expect(dialog.get_by_role("alert")).to_contain_text('"no pair" is no "name: value"')
        dialog.get_by_label("Headers").fill("")
        dialog.get_by_label("Key").fill("k" * 256)
        server.http.put(f"/queues/{queue}", json={"max_length": 0 + 1})
        server.publish(queue, "fills it")
        dialog.get_by_role("button", name="Publish").click()
        expect(dialog.get_by_role("alert")).to_contain_text("max_length is 1")
        expect(dialog.get_by_label("Content", exact=True)).to_have_value('{"a": }')
        page.keyboard.press("Escape")
    assert server.stats(queue)["published"] == 1


def test_pages_statuses_and_search(visit: Visit, server: Served) -> None:
    queue = server.new_queue()
    server.publish(queue, *(f"row {n}" for n in range(120)))
    server.http.post(
        f"/queues/{queue}/messages",
        json={"content": "late", "delay": 60, "headers": {"x": "Needle"}, "key": "k-77"},
    )
    page = visit(server.url, f"#/q/{queue}")
    expect(rows(page)).to_have_count(50)
    page.get_by_role("button", name="More", exact=True).click()
    expect(rows(page)).to_have_count(100)
    page.get_by_role("button", name="More", exact=True).click()
    expect(rows(page)).to_have_count(121)
    expect(page.get_by_role("button", name="More", exact=True)).to_be_hidden()
    page.get_by_role("button", name="1 scheduled").click()
    expect(rows(page)).to_have_count(1)
    expect(page).to_have_url(f"{server.url}/console#/q/{queue}?scheduled")
    page.get_by_role("button", name="121 all").click()
    search = page.get_by_label("Search messages")
    for wanted, count in (("ROW 11", 11), ("needle", 1), ("k-77", 1), ("not there", 0)):
        search.fill(wanted)
        search.press("Enter")
        said = "1 message" if count == 1 else f"{count} messages"
        expect(page.get_by_text(f"{said} found in 121")).to_be_visible()
        expect(rows(page)).to_have_count(count)
    [last] = server.publish(queue, "found by its id")
    search.fill(last)
    search.press("Enter")
    expect(page.get_by_role("region", name="Content")).to_have_text("found by its id")


def test_a_search_goes_on_to_the_end_of_a_long_queue(visit: Visit, server: Served) -> None:
    """By itself, telling how far it is, and until it has found enough."""
    queue = server.new_queue()
    for first in range(0, 25_000, 5_000):
        lines = [f'{{"content": "row {n}"}}' for n in range(first, first + 5_000)]
        kind = {"content-type": "application/x-ndjson"}
        server.http.post(f"/queues/{queue}/messages", content="\n".join(lines), headers=kind)
    page = visit(server.url, f"#/q/{queue}")
    expect(rows(page)).to_have_count(50)
    note = page.locator(".messages .note")
    note.evaluate(
        "(it) => new MutationObserver(() => (it.told += it.textContent + ';'))"
        ".observe(it, { childList: true, characterData: true, subtree: true })"
    )
    search = page.get_by_label("Search messages")
    search.fill("row 24999")
    search.press("Enter")
    expect(page.get_by_text("1 message found in 25,000", exact=True)).to_be_visible()
    assert "0 messages found in 3,000 of 25,000" in note.evaluate("(it) => it.told")
    expect(page.get_by_role("button", name="More", exact=True)).to_be_hidden()
    search.fill("row 1")
    search.press("Enter")
    expect(page.get_by_text("found in 1,000 of 25,000")).to_be_visible()
    found = rows(page).count()
    page.get_by_role("button", name="More", exact=True).click()
    expect(page.get_by_text("found in 2,000 of 25,000")).to_be_visible()
    assert rows(page).count() == found + 1000


def test_a_dead_message_tells_its_story_and_is_tried_again(visit: Visit, server: Served) -> None:
    queue = server.new_queue()
    [first] = server.publish(queue, "poison")
    page = visit(server.url, f"#/q/{queue}/{first}")
    history = page.locator(".history li")
    expect(history).to_have_count(1)
    page.wait_for_function("document.querySelector('#tab-Events')")
    page.get_by_role("tab", name="Events").click()
    events = page.locator(".events tbody tr")
    while events.count() == 0:  # they are followed from some moment on
        server.publish(queue, "another")
        page.wait_for_timeout(50)
    [leased] = server.http.post(f"/queues/{queue}/leases", json={}).json()
    expect(page.locator(".message .status")).to_have_text("leased")
    verdict = {"receipt": leased["receipt"], "outcome": "reject", "reason": "no such address"}
    server.http.post(f"/queues/{queue}/settlements", json=[verdict])
    expect(page.locator(".message .status")).to_have_text("dead")
    expect(page.locator(".why")).to_contain_text("It is dead because: rejected: no such address")
    expect(history.locator(".kind")).to_have_text(["published", "leased", "rejected"])
    expect(history.last).to_contain_text("no such address")
    expect(events.first).to_contain_text("rejected")
    page.get_by_role("button", name="Try again").click()
    toast(page, "The message is ready again.")
    expect(page.locator(".message .status")).to_have_text("ready")
    expect(history.locator(".kind").last).to_have_text("redriven")
    page.get_by_role("button", name="Cancel it…").click()
    with asked(page, "Cancel this message?") as dialog:
        dialog.get_by_role("button", name="Cancel the message").click()
    expect(page.locator(".why")).to_contain_text("It is not there any more: cancelled")
    assert server.stats(queue)["cancelled"] == 1


HELD_BACK = """
  window.held = [];
  const { set } = Object.getOwnPropertyDescriptor(WebSocket.prototype, "onmessage");
  const late = (event) => String(event.data).includes('"cancelled","at"');
  Object.defineProperty(WebSocket.prototype, "onmessage", {
    set(handler) {
      set.call(this, (event) => late(event) ? held.push(() => handler(event)) : handler(event));
    },
  });
"""
"""Events of that kind come when ``held`` lets them."""


def test_what_a_message_ended_by_is_told_when_it_is_known(visit: Visit, server: Served) -> None:
    """The answer to a call may come before the event of what it did."""
    queue = server.new_queue()
    [first] = server.publish(queue, "x")
    page = visit(server.url, f"#/q/{queue}/{first}")
    page.add_init_script(HELD_BACK)
    page.reload()
    page.get_by_role("tab", name="Events").click()
    expect(page.get_by_role("button", name="Stop")).to_be_visible()  # they are followed by now
    page.get_by_role("button", name="Cancel it…").click()
    with asked(page, "Cancel this message?") as dialog:
        dialog.get_by_role("button", name="Cancel the message").click()
    why = page.locator(".why")
    expect(why).to_have_text("It is not there any more: done, cancelled, purged or expired.")
    page.evaluate("held.forEach((deliver) => deliver())")
    expect(why).to_contain_text("It is not there any more: cancelled at")


def test_only_those_that_were_found_are_tried_again(visit: Visit, server: Served) -> None:
    queue = server.new_queue()
    server.publish(queue, *(f"to {'anna' if n % 3 else 'bert'}" for n in range(9)), "alive: anna")
    leased = server.http.post(f"/queues/{queue}/leases", json={"limit": 9}).json()
    dead = [{"receipt": each["receipt"], "outcome": "reject"} for each in leased]
    server.http.post(f"/queues/{queue}/settlements", json=dead)
    page = visit(server.url, f"#/q/{queue}")
    expect(page.get_by_role("button", name="found…")).to_have_count(0)
    page.get_by_label("Search messages").fill("anna")
    page.get_by_label("Search messages").press("Enter")
    page.get_by_role("button", name="Redrive the 6 dead ones found…").click()
    with asked(page, "Try 6 messages again?") as dialog:
        dialog.get_by_role("button", name="Redrive").click()
    toast(page, f"6 messages of {queue} are ready again.")
    expect(rows(page).get_by_text("ready")).to_have_count(7)
    assert server.stats(queue)["dead"] == 3


def test_what_was_before_is_read_from_the_servers_log(visit: Visit, server: Served) -> None:
    queue = server.new_queue()
    server.http.get(f"/queues/{queue}/events", headers={"prefer": "wait=0"})  # recorded from here
    [first] = server.publish(queue, "x")
    page = visit(server.url, f"#/q/{queue}/{first}")
    expect(page.locator(".history .kind")).to_have_text(["published"])
    page.get_by_role("complementary", name="Message").get_by_role(
        "button", name="What was before"
    ).click()
    page.get_by_role("tab", name="Events").click()
    expect(page.locator(".events tbody .kind")).to_have_text(["published", "some events are lost"])
    expect(page.locator(".events tbody tr").get_by_role("link")).to_have_text(first[-12:])


def test_one_like_it(visit: Visit, server: Served) -> None:
    queue = server.new_queue()
    raw = b"\x00\xff\x80 not text"
    kind = {"content-type": "image/png"}
    server.http.post(f"/queues/{queue}/messages?headers.a=b&priority=3", content=raw, headers=kind)
    page = visit(server.url, f"#/q/{queue}")
    rows(page).get_by_role("link").click()
    page.get_by_role("button", name="Publish one like it…").click()
    with asked(page, "Publish one like it") as dialog:
        dialog.get_by_role("button", name="Publish").click()
    toast(page, "Published")
    found = server.http.get(f"/queues/{queue}/messages").json()
    same = ("content_base64", "content_type", "headers", "priority")
    assert [found[0][name] for name in same] == [found[1][name] for name in same]


def test_pausing_purging_and_deleting_ask_first(visit: Visit, server: Served) -> None:
    queue = server.new_queue()
    server.publish(queue, *range(5))
    page = visit(server.url, f"#/q/{queue}")
    page.get_by_role("button", name="Pause…").click()
    with asked(page, f"Pause {queue}?") as dialog:
        dialog.get_by_label("How long").select_option("for an hour")
        dialog.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("Paused for another 59 min")).to_be_visible()
    left = server.stats(queue)["paused_until"] - time.time() * 1000
    assert 3_500_000 < left <= 3_600_000
    page.locator(".deeds").get_by_role("button", name="Resume").click()
    expect(page.get_by_role("button", name="Pause…")).to_be_visible()

    page.get_by_role("button", name="More ▾").click()
    page.get_by_role("button", name="Purge…").click()
    with asked(page, f"Purge {queue}?") as dialog:
        purge = dialog.get_by_role("button", name="Purge")
        expect(purge).to_be_disabled()
        dialog.get_by_label("Drop").select_option("the ready ones: 5")
        dialog.get_by_label("To go on, type").fill(queue[:-1])
        expect(purge).to_be_disabled()
        dialog.get_by_label("To go on, type").fill(queue)
        purge.click()
    toast(page, f"5 messages of {queue} purged.")
    expect(rows(page)).to_have_count(0)

    page.get_by_role("button", name="More ▾").click()
    page.get_by_role("button", name="Delete…").click()
    with asked(page, f"Delete {queue}?") as dialog:
        dialog.get_by_role("button", name="Cancel").click()
    assert server.http.get(f"/queues/{queue}").status_code == 200
    page.get_by_role("button", name="More ▾").click()
    page.get_by_role("button", name="Delete…").click()
    with asked(page, f"Delete {queue}?") as dialog:
        dialog.get_by_label("To go on, type").fill(queue)
        dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="Queues")).to_be_visible()
    assert server.http.get(f"/queues/{queue}").status_code == 404


def test_policy_and_totals(visit: Visit, server: Served) -> None:
    queue = server.new_queue()
    server.http.put(f"/queues/{queue}", json={"lease": 90, "max_length": 1234})
    page = visit(server.url, f"#/q/{queue}")
    page.get_by_role("tab", name="Policy").click()
    for name, value in (("lease", "1 min 30 s"), ("max length", "1,234"), ("keep dead", "14 d")):
        fact = page.locator(".policy .facts > div").filter(
            has=page.get_by_role("term").get_by_text(name, exact=True)
        )
        expect(fact.get_by_role("definition")).to_have_text(value)


def test_a_queue_that_is_not_there(visit: Visit, server: Served) -> None:
    page = visit(server.url, "#/q/nowhere")
    expect(page.get_by_text("There is no queue nowhere.")).to_be_visible()
    assert server.http.get("/queues/nowhere").status_code == 404  # looking makes none


def test_messages_grow_older_where_nothing_happens(visit: Visit, server: Served) -> None:
    queue = server.new_queue()
    server.publish(queue, "x")
    age = visit(server.url, f"#/q/{queue}").locator(".messages td.age")
    expect(age).not_to_have_text(age.inner_text())


def slowly(route: Route) -> None:
    time.sleep(0.3)
    route.continue_()


def test_what_happens_too_soon_to_be_read_is_shown_later(visit: Visit, server: Served) -> None:
    """Reading may take a tenth of the time; the last thing that happens is shown all the same."""
    queue = server.new_queue()
    server.publish(queue, "x")
    page = visit(server.url, f"#/q/{queue}")
    rows = page.locator(".messages tbody tr")
    expect(rows).to_have_count(1)
    page.route("**/messages?*", slowly)
    server.publish(queue, "y")
    expect(rows).to_have_count(2)  # which took long
    leases = server.http.post(f"/queues/{queue}/leases", json={"limit": 2}).json()
    acked = [{"receipt": each["receipt"], "outcome": "ack"} for each in leases]
    server.http.post(f"/queues/{queue}/settlements", json=acked)
    expect(rows).to_have_count(0)  # and from now on no figure changes


def test_what_happens_before_the_first_figures_come_is_shown(visit: Visit, server: Served) -> None:
    """The list was read already, and no figure will change any more."""
    queue = server.new_queue()
    server.publish(queue, "x")
    held: list[tuple[WebSocketRoute, str | bytes]] = []
    free: list[bool] = []

    def between(socket: WebSocketRoute) -> None:
        there = socket.connect_to_server()
        socket.on_message(lambda text: there.send(text) if free else held.append((there, text)))

    page = visit(server.url)
    page.route_web_socket("**/ws", between)
    page.goto(f"{server.url}/console#/q/{queue}")
    page.reload()
    expect(rows(page)).to_have_count(1)
    server.publish(queue, "y")
    free.append(True)
    for there, text in held:
        there.send(text)
    expect(rows(page)).to_have_count(2)


READ = """async () => {
  const { Messages } = await import("/console/messages.js");
  const asked = [];
  const queue = { browse: () => new Promise((answer) => asked.push(answer)) };
  const view = new Messages(queue, () => null, () => "#", () => {}, null);
  const reading = view.refresh();
  view.happened();
  view.happened();
  const meanwhile = asked.length;
  asked[0]([]);
  await reading;
  const note = view.note.textContent;
  while (asked.length < 2) {
    await new Promise((done) => setTimeout(done, 5));
    view.older();
  }
  return [meanwhile, note];
}"""


def test_reading_that_takes_long_is_not_begun_anew_for_ever(visit: Visit, server: Served) -> None:
    """Whatever happens meanwhile, what was read is shown, and then read again."""
    page = visit(server.url)
    assert page.evaluate(READ) == [1, "No message is here."]


def test_figures_without_a_head_say_what_they_are(visit: Visit, server: Served) -> None:
    """On a phone, where a line of the table is a card."""
    queue = server.new_queue()
    server.publish(queue, "x")
    page = visit(server.url, f"#/q/{queue}", viewport={"width": 390, "height": 844})
    said = """(row) => [...row.querySelectorAll("td.number")].map((cell) => {
      const [before, after] = ["::before", "::after"].map((each) => getComputedStyle(cell, each).content);
      return [before, cell.textContent, after].map((each) => each === "none" ? "" : each.replaceAll('"', "")).join("");
    }).filter((each) => /\\d/.test(each)).map((each) => each.replace(/\\d+ s/, "N s"))"""  # noqa: E501
    row = page.locator(".messages tbody tr")
    expect(row).to_be_visible()
    assert row.evaluate(said) == ["N s old"]
    for tries, told in (1, "1 try"), (2, "2 tries"):
        [lease] = server.http.post(f"/queues/{queue}/leases", json={}).json()
        failed = [{"receipt": lease["receipt"], "outcome": "nack", "delay": 0}]
        server.http.post(f"/queues/{queue}/settlements", json=failed)
        expect(row.locator(".tries")).to_have_text(str(tries))
        assert row.evaluate(said) == ["N s old", told]
    server.http.post(f"/queues/{queue}/messages", json={"content": "y", "priority": 7, "delay": 90})
    waiting = row.filter(has_text="scheduled")
    expect(waiting).to_be_visible()
    age, priority = waiting.evaluate(said)
    assert age.startswith("in ")
    assert not age.endswith("old")
    assert priority == "priority 7"
