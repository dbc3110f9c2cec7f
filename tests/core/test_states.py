"""The state table: every move is in it or refused, and a refused one changes nothing."""

from __future__ import annotations

import pytest

from supersoniq.core.errors import IllegalMove
from supersoniq.core.states import ARCS, TABLE, Move, Status, arc, arcs_of, take

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


def test_slots_and_names_are_unique() -> None:
    assert [path.slot for path in ARCS] == list(range(len(ARCS)))
    assert len({str(path) for path in ARCS}) == len(ARCS)
    assert sum(len(arcs_of(move)) for move in Move) == len(ARCS)
