"""The state table: every move is in it or refused, and a refused one changes nothing."""

from __future__ import annotations

import pytest

from supersoniq.core.errors import IllegalMove
from supersoniq.core.states import (
    ARCS,
    TABLE,
    Arc,
    Move,
    Pair,
    Status,
    arc,
    arcs_of,
    pair,
    take,
    take_all,
    take_pair,
)

PLACES = (None, *Status)
ALL = [(move, source, target) for move in Move for source in PLACES for target in PLACES]
LEGAL = [
    (move, source, target)
    for move, row in TABLE.items()
    for source, targets in row.items()
    for target in targets
]


class Thing:
    def __init__(self, status: Status | None) -> None:
        self.status = status


def test_the_table_is_the_contracts() -> None:
    s, r, d, x = Status.SCHEDULED, Status.READY, Status.DONE, Status.DEAD
    leased = Status.LEASED
    assert set(LEGAL) == {
        (Move.PUBLISH, None, r), (Move.PUBLISH, None, s), (Move.DUE, s, r), (Move.LEASE, r, leased),
        (Move.ACK, leased, d), (Move.NACK, leased, r), (Move.NACK, leased, s),
        (Move.NACK, leased, x), (Move.RELEASE, leased, r), (Move.RELEASE, leased, s),
        (Move.REJECT, leased, x), (Move.EXTEND, leased, leased), (Move.LAPSE, leased, r),
        (Move.LAPSE, leased, x), (Move.EXPIRE, s, None), (Move.EXPIRE, r, None),
        (Move.EXPIRE, s, x), (Move.EXPIRE, r, x), (Move.CANCEL, s, None), (Move.CANCEL, r, None),
        (Move.CANCEL, x, None), (Move.REDRIVE, x, r), (Move.PURGE, s, None), (Move.PURGE, r, None),
        (Move.PURGE, d, None), (Move.PURGE, x, None), (Move.FORGET, d, None),
        (Move.FORGET, x, None), (Move.CORRUPT, s, x), (Move.CORRUPT, r, x),
        (Move.CORRUPT, leased, x),
        (Move.IMPORT, None, r), (Move.IMPORT, None, s), (Move.IMPORT, None, d),
        (Move.IMPORT, None, x),
    }  # fmt: skip


@pytest.mark.parametrize(("move", "source", "target"), LEGAL)
def test_a_legal_move_moves_and_counts(move: Move, source: Status, target: Status) -> None:
    path = arc(move, source, target)
    thing, tally = Thing(source), [0] * len(ARCS)
    take(thing, path, tally)
    assert thing.status is target
    assert tally[path.slot] == 1
    assert sum(tally) == 1


def test_every_other_move_is_refused_by_name() -> None:
    for move, source, target in set(ALL) - set(LEGAL):
        with pytest.raises(IllegalMove) as caught:
            arc(move, source, target)
        assert caught.value.move == move
        assert caught.value.status == (source or "gone")


def test_a_move_that_starts_elsewhere_changes_nothing() -> None:
    for path in ARCS:
        for source in PLACES:
            if source is path.source:
                continue
            thing, tally = Thing(source), [0] * len(ARCS)
            with pytest.raises(IllegalMove):
                take(thing, path, tally)
            assert thing.status is source
            assert not any(tally)


PAIRS = [(one, two) for one in ARCS for two in ARCS if one.target is two.source]


def test_two_arcs_in_one_step_are_what_they_are_one_by_one() -> None:
    for one, two in PAIRS:
        thing, tally = Thing(one.source), [0] * len(ARCS)
        take_pair(thing, pair(one, two), tally)
        other, counted = Thing(one.source), [0] * len(ARCS)
        take(other, one, counted)
        take(other, two, counted)
        assert (thing.status, tally) == (other.status, counted)


def test_two_arcs_that_do_not_meet_are_refused() -> None:
    for one in ARCS:
        for two in ARCS:
            if (one, two) not in PAIRS:
                with pytest.raises(IllegalMove):
                    pair(one, two)


def test_a_pair_that_starts_elsewhere_changes_nothing() -> None:
    for one, two in PAIRS:
        for source in set(PLACES) - {one.source}:
            thing, tally = Thing(source), [0] * len(ARCS)
            with pytest.raises(IllegalMove):
                take_pair(thing, pair(one, two), tally)
            assert thing.status is source
            assert not any(tally)


def test_many_at_once_move_all_or_none() -> None:
    paths: list[Arc | Pair] = [*ARCS, *(pair(one, two) for one, two in PAIRS)]
    for path in paths:
        things, tally = [Thing(path.source) for _ in range(3)], [0] * len(ARCS)
        take_all(things, path, tally)
        assert {thing.status for thing in things} == {path.target}
        counted = [0] * len(ARCS)
        for _ in range(3):
            for slot in path.slots if isinstance(path, Pair) else (path.slot,):
                counted[slot] += 1
        assert tally == counted
        for source in set(PLACES) - {path.source}:
            things = [Thing(path.source), Thing(source)]
            with pytest.raises(IllegalMove):
                take_all(things, path, tally)
            assert [thing.status for thing in things] == [path.source, source]
            assert tally == counted


def test_slots_and_names_are_unique() -> None:
    assert [path.slot for path in ARCS] == list(range(len(ARCS)))
    assert len({str(path) for path in ARCS}) == len(ARCS)
    assert sum(len(arcs_of(move)) for move in Move) == len(ARCS)
