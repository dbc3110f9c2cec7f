"""Run the benchmarks; ``python benchmarks/run.py --help`` tells the options.

Without ``--quick`` all of it takes about fifteen minutes.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks import depth, doors, memory, operating, redis, sqlite, wakeup, ws  # noqa: E402  # found by the line above
from benchmarks.harness import Plan, Row, machine, table  # noqa: E402

SUBJECTS: dict[str, Callable[[Plan], Iterator[Row]]] = {
    "memory": memory.rows,
    "sqlite": sqlite.rows,
    "redis": redis.rows,
    "depth": depth.rows,
    "wakeup": wakeup.rows,
    "doors": doors.rows,
    "ws": ws.rows,
    "operating": operating.rows,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Benchmarks of SupersoniQ, as ratios.")
    parser.add_argument("--only", action="append", choices=SUBJECTS, help="just this subject")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each case (5)")
    parser.add_argument("--quick", action="store_true", help="smaller numbers, for a first look")
    parser.add_argument("--tiny", action="store_true", help="only to see that everything runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    options = parser.parse_args()
    plan = Plan(options.rounds, 2 if options.tiny else 1 if options.quick else 0)
    print(machine(), flush=True)
    print("median (smallest-largest) of the rounds; a ratio is ours over the other's\n", flush=True)
    results: dict[str, list[Row]] = {}
    for subject in options.only or SUBJECTS:
        started = time.monotonic()
        rows = results[subject] = list(SUBJECTS[subject](plan))
        if options.tiny:  # such figures say nothing
            for row in rows:
                row.goal = None
        print(f"## {subject} ({time.monotonic() - started:.0f} s)\n")
        print(table(rows), end="\n\n", flush=True)
    if options.json is not None:
        data = {name: [row.data() for row in rows] for name, rows in results.items()}
        data_and_machine = {"machine": machine(), "rounds": plan.rounds, "results": data}
        options.json.write_text(json.dumps(data_and_machine, indent=2) + "\n")


if __name__ == "__main__":
    main()
