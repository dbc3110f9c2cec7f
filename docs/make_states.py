"""Writes docs/states.md and docs/states.svg from the state table: ``python docs/make_states.py``.

Where boxes stand and arrows run is drawn here by hand. Which there are, and what moves a message
along them, is the table's: one that has no place here is a ``KeyError``.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from supersoniq.core.states import TABLE

PAGE = Path(__file__).with_name("states.md")
PICTURE = Path(__file__).with_name("states.svg")

HEAD = """# The states of a message

Generated from the table in `supersoniq/core/states.py` by `python docs/make_states.py`; a test
keeps it current. A move that is not here is refused, and changes nothing.

![The states and the moves between them; the table below says the same in words](states.svg)

In a box: by what a message comes into being there (`+`), and by what it ends there (`-`).

"""

WIDTH, HEIGHT = 860, 440
BOX = (190, 72)
BOXES = {
    "scheduled": (110, 150),
    "ready": (410, 150),
    "leased": (730, 150),
    "dead": (410, 370),
    "done": (730, 370),
}
"""Their middles."""
ARROWS = {
    ("scheduled", "ready"): ("M205,150 H307", 256, 140, "middle"),
    ("ready", "leased"): ("M505,150 H627", 566, 140, "middle"),
    ("leased", "ready"): ("M680,114 C640,70 500,70 460,106", 570, 70, "middle"),
    ("leased", "scheduled"): ("M730,114 C690,10 150,10 112,106", 420, 28, "middle"),
    ("leased", "leased"): ("M770,114 C770,70 812,70 808,106", 790, 68, "middle"),
    ("leased", "done"): ("M730,186 V326", 738, 262, "start"),
    ("leased", "dead"): ("M665,186 L511,342", 612, 288, "start"),
    ("ready", "dead"): ("M390,186 V326", 382, 262, "end"),
    ("dead", "ready"): ("M430,334 V194", 438, 262, "start"),
    ("scheduled", "dead"): ("M150,186 L309,344", 214, 292, "end"),
}
"""From, to: a path, and where its words stand."""


def page() -> str:
    """The page's text."""
    rows = ["| move | from | to |", "|---|---|---|"]
    for move, row in TABLE.items():
        for source, targets in row.items():
            ends = " or ".join(target or "gone" for target in targets)
            rows.append(f"| {move} | {source or '-'} | {ends} |")
    return HEAD + "\n".join(rows) + "\n"


def picture() -> str:
    """The picture's text."""
    moves: dict[tuple[str | None, str | None], list[str]] = defaultdict(list)
    for move, row in TABLE.items():
        for source, targets in row.items():
            for target in targets:
                moves[source, target].append(str(move))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="system-ui, sans-serif" font-size="14" fill="#1f2328">',
        "<title>The states of a message</title>",
        '<defs><marker id="tip" viewBox="0 0 10 10" refX="2" refY="5" markerWidth="8" '
        'markerHeight="8" orient="auto-start-reverse"><path d="M0,0 L10,5 L0,10 z" '
        'fill="#57606a"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="12" fill="#ffffff"/>',
    ]
    for (source, target), names in moves.items():
        if source is not None and target is not None:
            path, x, y, anchor = ARROWS[source, target]
            parts.append(
                f'<path d="{path}" fill="none" stroke="#57606a" stroke-width="1.5" '
                'marker-end="url(#tip)"/>'
            )
            parts += _words(names, x, y, anchor)
    for name, (x, y) in BOXES.items():
        width, height = BOX
        about = [(sign, moves[ends]) for sign, ends in (("+", (None, name)), ("-", (name, None)))]
        about = [(sign, names) for sign, names in about if names]
        parts += [
            f'<rect x="{x - width // 2}" y="{y - height // 2}" width="{width}" '
            f'height="{height}" rx="10" fill="#eef4fb" stroke="#0b57b0" stroke-width="1.5"/>',
            f'<text x="{x}" y="{y - 12 if about else y + 6}" text-anchor="middle" font-size="17" '
            f'font-weight="600">{name}</text>',
        ]
        parts += [
            f'<text x="{x}" y="{y + 9 + 18 * n}" text-anchor="middle" font-size="13" '
            f'fill="#57606a">{sign} {", ".join(names)}</text>'
            for n, (sign, names) in enumerate(about)
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _words(names: list[str], x: int, y: int, anchor: str) -> list[str]:
    """A line of words; beside an arrow that runs down, one below the other."""
    lines = [", ".join(names)] if anchor == "middle" else names
    first = y - 9 * (len(lines) - 1)
    return [
        f'<text x="{x}" y="{first + 18 * n}" text-anchor="{anchor}">{line}</text>'
        for n, line in enumerate(lines)
    ]


if __name__ == "__main__":
    PAGE.write_text(page())
    PICTURE.write_text(picture())
