"""Not written yet."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.harness import Plan, Row


def rows(plan: Plan) -> Iterator[Row]:
    """The results of this subject."""
    yield from ()
