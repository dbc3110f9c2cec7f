"""How everything here is measured: rounds that alternate, and a ratio for each of them.

A figure by itself says little: the same case differs by a third from one half hour to the next on a
machine that others use too. So whatever is compared runs in turns within one run (A B, B A, A B,
after a warm-up of both), each round gives one ratio, and what is reported is their median with the
smallest and largest beside it. Both sides of a ratio have the same durability, and it is named.

Nothing here fails because it was slow: a goal that is missed is printed as missed.
"""

from __future__ import annotations

import gc
import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import msgspec

__all__ = ["Case", "Goal", "Plan", "Row", "absent", "child", "compare", "machine", "single"]

ROOT = Path(__file__).resolve().parent.parent
CONTENT = b"x" * 256
"""What is sent: 256 bytes, as in all the research."""


class Plan(NamedTuple):
    """How much to do."""

    rounds: int = 5
    scale: int = 0
    """0 for a real run, 1 for a quick one, 2 only to see that everything still runs."""

    def pick(self, full: int, quick: int, tiny: int) -> int:
        """The number for this scale."""
        return (full, quick, tiny)[self.scale]


class Case(NamedTuple):
    """One of the sides."""

    name: str
    measure: Callable[[], float]
    """Does one round and gives its figure."""


class Goal(NamedTuple):
    """What is to be reached."""

    value: float
    at_least: bool = True
    """Otherwise: at most."""

    def reached(self, figure: float) -> bool:
        """Whether the figure is good enough."""
        return figure >= self.value if self.at_least else figure <= self.value


class Row(msgspec.Struct):
    """A result: ours, the other's, and the goal for their ratio, or for ours where it is alone."""

    subject: str
    durability: str
    unit: str
    name: str
    figures: list[float]
    against: str = ""
    others: list[float] = []
    goal: Goal | None = None
    note: str = ""

    @property
    def ratios(self) -> list[float]:
        """Ours over the other's, round by round."""
        return [a / b for a, b in zip(self.figures, self.others, strict=False) if b]

    @property
    def reached(self) -> bool | None:
        """Whether the median reaches the goal; ``None`` if there is none or nothing to judge."""
        judged = self.ratios if self.against else self.figures
        return self.goal.reached(median(judged)) if self.goal is not None and judged else None

    def cells(self) -> list[str]:
        """The row of the table."""
        sign = "" if self.goal is None else (">= " if self.goal.at_least else "<= ")
        mark = "x" if self.against else ""
        return [
            self.subject,
            self.durability,
            self.unit,
            f"{self.name}: {spread(self.figures)}",
            f"{self.against}: {spread(self.others)}" if self.against else "",
            spread(self.ratios, mark) if self.ratios else "",
            "" if self.goal is None else f"{sign}{self.goal.value:g}{mark}",
            {None: "", True: "yes", False: "NO"}[self.reached],
            self.note,
        ]

    def data(self) -> dict[str, Any]:
        """The row as JSON."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        plain["goal"] = None if self.goal is None else self.goal._asdict()
        return plain | {"ratios": self.ratios, "reached": self.reached}


HEAD = ["subject", "durability", "unit", "ours", "against", "ratio", "goal", "reached", "note"]


def number(value: float) -> str:
    """Three digits that count."""
    for size, letter in ((1e6, " M"), (1e4, " k")):
        if abs(value) >= size:
            return f"{value / (1e6 if letter == ' M' else 1e3):.3g}{letter}"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def spread(figures: Sequence[float], mark: str = "") -> str:
    """Median, and in brackets the smallest and largest."""
    if not figures:
        return "absent"
    low, mid, high = min(figures), median(figures), max(figures)
    if len(figures) == 1:
        return f"{number(mid)}{mark}"
    return f"{number(mid)}{mark} ({number(low)}-{number(high)})"


def compare(plan: Plan, row: Row, ours: Case, other: Case | None) -> Row:
    """Run both in turns and fill in the row. An absent ``other`` stays absent."""
    cases = [(ours, row.figures)]
    row.name = ours.name
    if other is not None:
        row.against = other.name
        cases.append((other, row.others))
    for case, _ in cases:
        case.measure()
    for turn in range(plan.rounds):
        for case, figures in cases if turn % 2 == 0 else reversed(cases):
            gc.collect()
            figures.append(case.measure())
    return row


def absent(row: Row, package: str) -> Row:
    """The row of a comparison with something that is not installed."""
    row.note = f"{package} is not installed"
    row.goal = None
    return row


def single(plan: Plan, measure: Callable[[], dict[str, float]], rows: dict[str, Row]) -> list[Row]:
    """Run one measurement that gives several figures, each for its own row."""
    for _ in range(plan.rounds):
        gc.collect()
        for name, figure in measure().items():
            rows[name].figures.append(figure)
    return list(rows.values())


def child(call: str) -> str:
    """Evaluate an expression in a fresh Python process, and give what it printed."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{call}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout.strip()


def machine() -> str:
    """One line on where this runs, and how busy that was already."""
    return (
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, "
        f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"files on {_file_system(tempfile.gettempdir())}, load {os.getloadavg()[0]:.1f}"
    )


def _file_system(path: str) -> str:
    """What a path is stored on: a memory file system would flatter every flush."""
    best, kind = "", "an unknown file system"
    try:
        mounts = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return kind
    for line in mounts:
        _, where, name = line.split()[:3]
        if len(where) > len(best) and (path + "/").startswith(where.rstrip("/") + "/"):
            best, kind = where, name
    return kind


def table(rows: Sequence[Row]) -> str:
    """The results as a Markdown table."""
    lines = [HEAD, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    used = [column for column in range(len(HEAD)) if any(line[column] for line in lines[1:])]
    text = [
        "| " + " | ".join(line[column].ljust(widths[column]) for column in used) + " |"
        for line in lines
    ]
    text.insert(1, "|" + "|".join("-" * (widths[column] + 2) for column in used) + "|")
    return "\n".join(text)
