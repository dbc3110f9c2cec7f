"""docs/logs.md lists the events that there are, and shows lines as they are."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import supersoniq
from supersoniq.core import ops
from supersoniq.observe import Meter
from supersoniq.observe.events import Narrator, Obituaries
from supersoniq.observe.logs import as_json, as_text, within
from tests.docs.pages import blocks


class Written(logging.Handler):
    """Keeps lines as they are written, in the context of whoever wrote them."""

    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []
        self.json: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.text.append(as_text(record))
        self.json.append(json.loads(as_json(record)))


ROOT = Path(__file__).parents[2]


def test_every_event_is_listed() -> None:
    page = (ROOT / "docs" / "logs.md").read_text()
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    listed = {name for row in rows for name in re.findall(r"`([a-z-]+)`", row)}
    text = "".join(path.read_text() for path in (ROOT / "supersoniq").rglob("*.py"))
    told = set(re.findall(r'event\(\s*log,\s*logging\.[A-Z]+,\s*"([a-z-]+)"', text))
    told |= set(re.findall(r'\{"event": "([a-z-]+)"\}', text))
    told |= set(re.findall(r'ops\.\w+: \(\s*"(queue-[a-z]+)"', text))
    assert listed == told


def test_the_lines_of_the_page_look_like_that() -> None:
    page = ROOT / "docs" / "logs.md"
    [text], [line] = blocks(page, "text"), blocks(page, "json")
    written, log = Written(), logging.getLogger("supersoniq.store")
    log.addHandler(written)
    before = log.level
    log.setLevel(logging.INFO)
    try:
        obituaries = Obituaries(Meter(supersoniq.connect("memory://")).figures)
        for dead in (15, 17):
            count = SimpleNamespace(dead=dead, redriven=0, forgotten=0)
            obituaries.look({"emails": count})
        with within({"headers": [(b"x-request-id", b"order-17")]}):
            Narrator().called(ops.Pause("emails"), None)
    finally:
        log.removeHandler(written)
        log.setLevel(before)
    assert written.text == text.text.splitlines()
    shown = json.loads(line.text)
    assert written.json[-1] | {"time": shown["time"]} == shown
    assert len(written.json[-1]["time"]) == len(shown["time"])
