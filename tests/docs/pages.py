"""The pages of the documents, and the fenced blocks in them."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [
    *sorted(DOCS.glob("*.md")),
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "clients" / "typescript" / "README.md",
]
FENCE = re.compile(r"^( *)```(\{[\w-]+\}|[\w-]*)[^\n`]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    kind: str
    text: str
    line: int
    """Where its fence is; counted from 1."""
    says: str | None
    """What it prints, if the page shows that in a block of text right after it."""


def blocks(page: Path, kind: str | None = None) -> list[Block]:
    """The page's blocks in their order; those of one kind."""
    text = page.read_text()
    found = list(FENCE.finditer(text))
    made = []
    for n, match in enumerate(found):
        said, after = None, found[n + 1] if n + 1 < len(found) else None
        if (
            after is not None
            and after[2] == "text"
            and not text[match.end() : after.start()].strip()
        ):
            said = after[3]
        line = text.count("\n", 0, match.start()) + 1
        made.append(Block(match[2], textwrap.dedent(match[3]), line, said))
    return [block for block in made if kind in (None, block.kind)]


def name(page: Path) -> str:
    """What tests call it."""
    return page.stem if page.parent == DOCS else str(page.relative_to(ROOT))


def pages_with(kind: str, *without: str) -> list[Path]:
    """The pages that have blocks of the kind, but for those that are named."""
    return [page for page in PAGES if blocks(page, kind) and name(page) not in without]
