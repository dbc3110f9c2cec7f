"""docs/metrics.md lists what there is, and its program runs."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import yaml

from supersoniq.auth import Scopes, Verb
from tests.docs.pages import blocks
from tests.observe.scraping import app, scrape

FILE = Path(__file__).parents[2] / "docs" / "metrics.md"
PAGE = FILE.read_text()


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


def test_prometheus_is_told_of_what_there_is() -> None:
    """The alerts name samples that are made, with labels that they have."""
    scraping, alerts = (yaml.safe_load(block.text) for block in blocks(FILE, "yaml"))
    [job] = scraping["scrape_configs"]
    assert "metrics_path" not in job, "/metrics is what Prometheus asks for"
    [scope] = re.findall(r"--scope '(.*)'", blocks(FILE, "yaml")[0].text)
    assert Scopes.parse(scope).everywhere(Verb("metrics"))

    async def main() -> None:
        async with app() as (client, broker):
            await broker.queue("q").publish("x")
            seen = await scrape(client)
            made = {
                each.name: set(each.labels)
                for family in seen.families.values()
                for each in family.samples
            }
            # A store in memory has no commits: of theirs only the family is there.
            made["supersoniq_backend_commit_seconds_bucket"] = {"le"}
            assert "supersoniq_backend_commit_seconds" in seen.families
            for rule in alerts["groups"][0]["rules"]:
                [name] = re.findall(r"supersoniq_\w+", rule["expr"])
                named = set(re.findall(r"by \((\w+)\)|(\w+)=\"", rule["expr"]))
                assert {label for pair in named for label in pair if label} <= made[name], name

    asyncio.run(main())
