"""What ``top`` shows: what it saw, how that is sorted, which queue is picked; and the pictures."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import msgspec
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from supersoniq.cli.output import plain, preview
from supersoniq.core.messages import Message
from supersoniq.core.ops import QueueStats
from supersoniq.core.policy import Policy
from supersoniq.core.states import Status

__all__ = ["Close", "Look", "Row", "Screen", "age"]

BARS = " ▁▂▃▄▅▆▇█"
UNITS = ((86_400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s"))
PAST = 30
"""Looks that the trend remembers."""


class Row(msgspec.Struct):
    """One queue as it was."""

    figures: QueueStats
    oldest: float | None
    """Seconds since its oldest ready message was published."""
    into: float = 0.0
    """Published a second, since the look before."""
    out: float = 0.0
    """Acknowledged a second."""
    failing: float = 0.0
    """Nacked, rejected or lapsed a second."""


class Close(msgspec.Struct):
    """One queue from near."""

    name: str
    policy: Policy
    pages: Mapping[Status, Sequence[Message]]


class Look(msgspec.Struct):
    """What was seen at one moment."""

    at: float
    rows: list[Row]
    close: Close | None = None


COLUMNS: dict[str, Callable[[Row], float | str]] = {
    "queue": lambda row: row.figures.queue,
    "ready": lambda row: row.figures.ready,
    "leased": lambda row: row.figures.leased,
    "scheduled": lambda row: row.figures.scheduled,
    "dead": lambda row: row.figures.dead,
    "in/s": lambda row: row.into,
    "out/s": lambda row: row.out,
    "fail/s": lambda row: row.failing,
    "oldest": lambda row: row.oldest or 0.0,
}
"""The columns, each with what it is sorted by."""


class Screen:
    """The state of the screen. Keys change it, and looks; it never asks the store itself.

    Args:
        title: the store's.
    """

    def __init__(self, title: str) -> None:
        self.opened: str | None = None
        self.held = False
        self.trouble = ""
        self._title = title
        self._sort = "ready"
        self._reverse = False
        self._picked: str | None = None
        self._last: Look | None = None
        self._trends: dict[str, deque[int]] = {}

    def key(self, key: str) -> bool:
        """Obey a key; false if it is to end."""
        names = [row.figures.queue for row in self._sorted()]
        if key == "q":
            return False
        if key in ("up", "k", "down", "j") and names:
            place = names.index(self._picked) if self._picked in names else 0
            step = -1 if key in ("up", "k") else 1
            self._picked = names[max(0, min(len(names) - 1, place + step))]
        elif key == "enter" and names:
            self.opened = self._picked if self._picked in names else names[0]
        elif key == "escape":
            self.opened = None
        elif key == "s":
            order = list(COLUMNS)
            self._sort = order[(order.index(self._sort) + 1) % len(order)]
        elif key == "r":
            self._reverse = not self._reverse
        elif key == " ":
            self.held = not self.held
        return True

    def show(self, look: Look) -> None:
        """Take what was seen; rates are against the look before."""
        before = {row.figures.queue: row.figures for row in self._last.rows} if self._last else {}
        seconds = look.at - self._last.at if self._last else 0.0
        for row in look.rows:
            now, old = row.figures, before.get(row.figures.queue)
            if old is not None and seconds > 0:
                row.into = max(0, now.published - old.published) / seconds
                row.out = max(0, now.acked - old.acked) / seconds
                row.failing = max(0, _failed(now) - _failed(old)) / seconds
            self._trends.setdefault(now.queue, deque(maxlen=PAST)).append(now.ready)
        names = {row.figures.queue for row in look.rows}
        for name in self._trends.keys() - names:
            del self._trends[name]
        if self.opened not in names:
            self.opened = None
        self.trouble = ""
        self._last = look

    def render(self, height: int, width: int) -> RenderableType:
        """The picture, for a terminal of so many lines and columns."""
        close = self._last.close if self._last else None
        if self.opened is not None and close is not None and close.name == self.opened:
            body: list[RenderableType] = [_closely(close, height - 4)]
            keys = "escape back   space hold   q end"
        else:
            body = [self._queues(height - 5)]
            keys = "up/down pick   enter look into   s sort   r reverse   space hold   q end"
        head = Text(f"supersoniq top   {self._title}   {time.strftime('%H:%M:%S')}", style="bold")
        if self.held:
            head.append("   held", style="yellow")
        if self.trouble:
            body.insert(0, Text(plain(self.trouble, width), style="red"))
        return Group(head, Text(), *body, Text(), Text(keys, style="dim"))

    def _sorted(self) -> list[Row]:
        rows = list(self._last.rows) if self._last else []
        rows.sort(key=lambda row: row.figures.queue)
        # The most first, but names from A: what one looks for is on top.
        largest = self._sort != "queue"
        rows.sort(key=COLUMNS[self._sort], reverse=largest != self._reverse)
        return rows

    def _queues(self, most: int) -> RenderableType:
        rows = self._sorted()
        if not rows:
            return Text("No queues yet." if self._last else "Looking ...", style="dim")
        names = [row.figures.queue for row in rows]
        picked = names.index(self._picked) if self._picked in names else 0
        first = max(0, min(picked - most // 2, len(rows) - most))
        made = Table(box=None, pad_edge=False, header_style="bold", expand=True)
        for name in COLUMNS:
            arrow = ("↑" if self._reverse else "↓") if name == self._sort else ""
            made.add_column(name + arrow, justify="right", no_wrap=True, overflow="ellipsis")
        made.columns[0].justify = "left"
        made.add_column("ready, of late", no_wrap=True)
        for place, row in enumerate(rows[first : first + most], first):
            made.add_row(*self._cells(row), style="reverse" if place == picked else "")
        if len(rows) <= most:
            return made
        shown = f"{first + 1} to {min(first + most, len(rows))} of {len(rows)} queues"
        return Group(made, Text(shown, style="dim"))

    def _cells(self, row: Row) -> list[str]:
        figures = row.figures
        name = escape(figures.queue) + (" [yellow](paused)[/]" if figures.paused else "")
        dead = f"{figures.dead:,}"
        failing = f"{row.failing:,.1f}"
        return [
            name,
            f"{figures.ready:,}",
            f"{figures.leased:,}",
            f"{figures.scheduled:,}",
            f"[red]{dead}[/]" if figures.dead else dead,
            f"{row.into:,.0f}",
            f"{row.out:,.0f}",
            f"[yellow]{failing}[/]" if row.failing else failing,
            age(row.oldest),
            _trend(self._trends.get(figures.queue, ())),
        ]


def _failed(figures: QueueStats) -> int:
    return figures.nacked + figures.rejected + figures.lapsed


def _trend(past: Sequence[int]) -> str:
    """A line of bars, the highest as high as the line."""
    most = max(past, default=0)
    return "".join(BARS[-(-count * 8 // most) if most else 0] for count in past)


def age(seconds: float | None) -> str:
    """A length of time in two figures, for people."""
    if seconds is None:
        return "-"
    for length, unit, part, smaller in UNITS:
        if seconds >= length:
            return f"{int(seconds // length)}{unit}{int(seconds % length // part):02}{smaller}"
    return f"{seconds:.1f}s" if seconds < 10 else f"{seconds:.0f}s"


def _closely(close: Close, most: int) -> RenderableType:
    policy = close.policy
    facts = (
        f"lease {age(policy.lease)}   deliveries {policy.max_deliveries}   "
        f"max length {policy.max_length or 'none'}"
    )
    parts: list[RenderableType] = [Text(close.name, style="bold"), Text(facts, style="dim")]
    room = most - len(parts)
    now = time.time()
    for status, page in close.pages.items():
        if not page or room < 3:
            continue
        parts.append(Text(f"\n{status.value}, oldest first", style="bold"))
        made = Table(box=None, pad_edge=False, show_header=False)
        for message in page[: min(len(page), max(1, room // 3))]:
            made.add_row(
                message.id,
                f"p{message.priority}",
                age(max(0.0, now - message.created_at / 1000)),
                f"{message.deliveries} deliveries",
                escape(preview(message, 40)),
                f"[red]{escape(plain(message.reason, 60))}[/]" if message.reason else "",
            )
        room -= 2 + made.row_count
        parts.append(made)
    if len(parts) == 2:
        parts.append(Text("It holds no message.", style="dim"))
    return Group(*parts)
