"""Run the attacks; ``python -m benchmarks.abuse --help`` tells the options."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from benchmarks.abuse.attacks import ATTACKS
from benchmarks.abuse.honest import beside
from benchmarks.abuse.serving import MIB, serving
from benchmarks.abuse.trial import Result, Scale, dumped, fill, table, trials
from benchmarks.harness import machine


def main() -> int:
    parser = argparse.ArgumentParser(description="Abuse of a real server, and what it costs.")
    parser.add_argument("--only", action="append", metavar="TEXT", help="attacks with it in a name")
    parser.add_argument("--quick", action="store_true", help="a taste of each")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there")
    options = parser.parse_args()
    scale = Scale(not options.quick)
    attacks = [
        each
        for each in ATTACKS
        if not (each.patient and options.quick)
        and any(text in str(each) for text in options.only or [""])
    ]
    results: list[Result] = []
    with (
        tempfile.TemporaryDirectory() as directory,
        serving(Path(directory)) as served,
        beside(served.port) as honest,
    ):
        asyncio.run(fill(served.port, scale.pick(200, 40)))
        first = served.rss()
        for result in trials(served, honest, attacks, scale):
            results.append(result)
            print(table([result]).splitlines()[-1], flush=True)
        alive = served.alive()
        last = f"{first / MIB:.0f} MiB before, {served.rss() / MIB:.0f} after" if alive else "dead"
    report = f"{machine()}\n\nMemory of the server: {last}.\n\n{table(results)}\n"
    print(f"\n{report}")
    if options.markdown is not None:
        options.markdown.write_text(report)
    if options.json is not None:
        options.json.write_text(dumped(results))
    return int(not alive or any(each.faults for each in results))


if __name__ == "__main__":
    sys.exit(main())
