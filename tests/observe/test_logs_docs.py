"""docs/logs.md lists the events that there are."""

from __future__ import annotations

import re
from pathlib import Path

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
