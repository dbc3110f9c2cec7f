"""Writes docs/states.md from the state table: ``python docs/make_states.py``."""

from __future__ import annotations

from pathlib import Path

from supersoniq.core.states import TABLE

PAGE = Path(__file__).with_name("states.md")

HEAD = """# The states of a message

Generated from the table in `supersoniq/core/states.py` by `python docs/make_states.py`; a test
keeps it current. A move that is not here is refused, and changes nothing.

"""


def page() -> str:
    """The page's text."""
    diagram = ["```mermaid", "stateDiagram-v2"]
    rows = ["| move | from | to |", "|---|---|---|"]
    for move, row in TABLE.items():
        for source, targets in row.items():
            diagram += [
                f"    {source or '[*]'} --> {target or '[*]'}: {move}" for target in targets
            ]
            ends = " or ".join(target or "gone" for target in targets)
            rows.append(f"| {move} | {source or '-'} | {ends} |")
    diagram.append("```")
    return HEAD + "\n".join([*diagram, "", *rows]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
