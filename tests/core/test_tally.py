"""Figures from counted arcs."""

from __future__ import annotations

import random

import msgspec
import pytest

from supersoniq.core.states import ARCS, Status, take
from supersoniq.core.tally import Extra, conserved, figures, from_names, names, sizes


class Thing:
    def __init__(self) -> None:
        self.status: Status | None = None


@pytest.mark.parametrize("seed", range(5))
def test_any_walk_through_the_table_conserves(seed: int) -> None:
    rng = random.Random(seed)
    tally = [0] * len(ARCS)
    things = [Thing() for _ in range(40)]
    started: set[int] = set()
    for _ in range(2000):
        n = rng.randrange(len(things))
        thing = things[n]
        if thing.status is None and n in started:
            things[n] = thing = Thing()  # gone for good; another one comes
        started.add(n)
        take(thing, rng.choice([a for a in ARCS if a.source is thing.status]), tally)
        stats = figures("q", tally, Extra(), None)
        assert conserved(stats)
        counted = {s: sum(t.status is s for t in things) for s in Status}
        assert sizes(tally) == counted
        assert all(getattr(stats, s) == counted[s] for s in Status)
    assert from_names(names(tally)) == tally


def test_a_miscount_is_not_conserved() -> None:
    tally = [0] * len(ARCS)
    tally[0] = 3
    stats = figures("q", tally, Extra(duplicates=2, stale=1), 55)
    assert conserved(stats)
    assert (stats.published, stats.duplicates, stats.stale) == (3, 2, 1)
    assert (stats.paused, stats.paused_until) == (True, 55)
    assert not conserved(msgspec.structs.replace(stats, published=4))


def test_an_arc_from_the_future_is_not_lost_silently() -> None:
    with pytest.raises(KeyError):
        from_names({"teleport:ready:done": 1})
