"""What the demo shows: headings, and a live picture of the counts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

__all__ = ["Picture"]

COLOURS = {
    "scheduled": "yellow",
    "ready": "cyan",
    "leased": "magenta",
    "acked": "green",
    "dead": "red",
}
WIDTH = 50
"""Characters of the longest bar."""
EVERY = 1.0
"""Seconds between two lines where there is no terminal."""


class Picture:
    """Tells what goes on: on a terminal as bars that move, elsewhere as a line each second.

    Args:
        console: where to.
        whole: how many messages the longest bar stands for.
    """

    def __init__(self, console: Console, whole: int) -> None:
        self.console = console
        self._whole = whole
        self._began = time.monotonic()
        self._last = -EVERY
        self._live: Live | None = None

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    def heading(self, text: str) -> None:
        """Begin a chapter."""
        self.console.print(f"\n[bold]{escape(text)}[/]", soft_wrap=True)

    def say(self, text: str) -> None:
        """Tell a fact."""
        self.console.print(f"  {escape(text)}", soft_wrap=True)

    def verdict(self, holds: bool, text: str) -> None:
        """Tell whether something that must hold does."""
        mark = "[green]ok[/]    " if holds else "[bold red]FAILED[/]"
        self.console.print(f"  {mark} {escape(text)}", soft_wrap=True)

    def counts(self, counts: Mapping[str, int], now: bool = False) -> None:
        """Show the counts by state.

        Args:
            counts: by name.
            now: even if there is no terminal, and the last line was just now.
        """
        if self._live is not None:
            self._live.update(self._bars(counts), refresh=True)
        elif now or self.elapsed - self._last >= EVERY:
            self._last = self.elapsed
            words = "  ".join(f"{name} {counts[name]}" for name in ("published", *COLOURS))
            self.say(f"{self.elapsed:4.1f} s  {words}")

    def _bars(self, counts: Mapping[str, int]) -> Table:
        bars = Table(box=None, show_header=False, padding=(0, 1, 0, 2))
        bars.add_column(justify="left")
        bars.add_column(justify="right", min_width=len(str(self._whole)))
        bars.add_column(min_width=WIDTH)
        for name, colour in COLOURS.items():
            count = counts[name]
            length = -(-count * WIDTH // self._whole)  # rounded up: one message is seen
            bars.add_row(name, str(count), f"[{colour}]{'█' * length}[/]")
        bars.add_row("published", str(counts["published"]), f"[dim]{self.elapsed:.1f} s[/]")
        return bars

    def __enter__(self) -> Picture:
        if self.console.is_terminal:
            self._live = Live(console=self.console, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
