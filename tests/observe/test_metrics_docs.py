"""docs/metrics.md lists what there is, and its program runs."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

from tests.observe.scraping import app, scrape

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()


def test_the_table_is_the_answer() -> None:
    rows = re.findall(r"^\| `(supersoniq_\w+)` \| (\w+) \| ?([\w, ]*?) ?\| (\w+) \|", PAGE, re.M)
    listed = {
        name: (kind, {label for label in labels.split(", ") if label.strip()}, of)
        for name, kind, labels, of in rows
    }

    async def main() -> None:
        async with app() as (client, broker):
            await broker.queue("q").publish("x")
            seen = await scrape(client)
            found = {}
            for name, family in seen.families.items():
                if name.startswith("supersoniq_"):
                    of = family.documentation.rpartition("(")[2].rstrip(")")
                    labels = {
                        label for each in family.samples for label in each.labels if label != "le"
                    }
                    empty = not family.samples
                    found[name] = (family.type, listed[name][1] if empty else labels, of)
            assert found == listed

    asyncio.run(main())


def test_the_program_runs() -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    assert 'supersoniq_messages_published_total{queue="emails"} 1.0' in done.stdout
    assert done.stdout.rstrip().endswith("# EOF")
