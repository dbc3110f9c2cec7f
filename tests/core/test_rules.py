"""What each move does to a record, and that an illegal one leaves it as it was."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from supersoniq.core import rules
from supersoniq.core.errors import IllegalMove
from supersoniq.core.messages import Record, prepare
from supersoniq.core.ops import Outcome
from supersoniq.core.policy import Policy, Terms, changed
from supersoniq.core.states import ARCS, TABLE, Move, Status

NOW = 1_000_000
TERMS = Terms.of(changed(Policy(), {"keep_done": 50, "max_deliveries": 3, "on_expiry": "dead"}))

Rule = Callable[[Record, list[int]], None]
RULES: dict[Move, Rule] = {
    Move.DUE: rules.due,
    Move.LEASE: lambda record, tally: rules.lease(record, NOW + 5, tally),
    Move.ACK: lambda record, tally: rules.ack(record, NOW, TERMS, tally),
    Move.NACK: lambda record, tally: rules.nack(record, NOW, TERMS, tally, 7, "why"),
    Move.RELEASE: lambda record, tally: rules.release(record, NOW, tally, None),
    Move.REJECT: lambda record, tally: rules.reject(record, NOW, TERMS, tally, "why"),
    Move.EXTEND: lambda record, tally: rules.extend(record, NOW + 9, tally),
    Move.LAPSE: lambda record, tally: rules.lapse(record, NOW, TERMS, tally),
    Move.EXPIRE: lambda record, tally: rules.expire(record, NOW, TERMS, tally),
    Move.CANCEL: rules.cancel,
    Move.REDRIVE: lambda record, tally: rules.redrive(record, NOW, tally),
    Move.PURGE: rules.purge,
    Move.FORGET: rules.forget,
    Move.CORRUPT: lambda record, tally: rules.corrupt(record, NOW, TERMS, tally),
}


def record_in(status: Status | None) -> Record:
    record = rules.born(prepare(b"x", ttl=1), 7, NOW - 10)
    record.status = status
    record.leases = 2
    record.until = NOW - 1
    return record


def test_every_move_but_publish_has_a_rule() -> None:
    assert set(RULES) == set(Move) - {Move.PUBLISH, Move.IMPORT}


@pytest.mark.parametrize("move", RULES, ids=str)
def test_a_rule_goes_where_the_table_says_or_changes_nothing(move: Move) -> None:
    for status in (None, *Status):
        record, tally = record_in(status), [0] * len(ARCS)
        before = msgspec.json.encode(record)
        if status in TABLE[move]:
            RULES[move](record, tally)
            reached = set(TABLE[move][status])
            assert record.status in reached
            assert sum(tally) == 1
        else:
            with pytest.raises(IllegalMove):
                RULES[move](record, tally)
            assert msgspec.json.encode(record) == before
            assert not any(tally)


def test_zero_retention_forgets_in_the_same_step() -> None:
    terms = Terms.of(changed(Policy(), {"keep_done": 0, "keep_dead": 0, "max_deliveries": 1}))
    finishes: tuple[Rule, ...] = (
        lambda record, tally: rules.ack(record, NOW, terms, tally),
        lambda record, tally: rules.nack(record, NOW, terms, tally, None, None),
        lambda record, tally: rules.reject(record, NOW, terms, tally, None),
        lambda record, tally: rules.lapse(record, NOW, terms, tally),
        lambda record, tally: rules.corrupt(record, NOW, terms, tally),
    )
    for finish in finishes:
        record, tally = record_in(Status.LEASED), [0] * len(ARCS)
        finish(record, tally)
        assert record.status is None
        assert sum(tally) == 2


def test_a_settlement_is_remembered_for_so_many_terms() -> None:
    terms = Terms.of(changed(Policy(), {"max_deliveries": 0}))
    record, tally = rules.born(prepare(b"x"), 1, NOW), [0] * len(ARCS)
    for n in range(rules.REMEMBERED + 5):
        rules.lease(record, NOW + 5, tally)
        if n % 2:
            rules.nack(record, NOW, terms, tally, 0, None)
        else:
            rules.release(record, NOW, tally, 0)
    last = record.leases
    for term in range(1, last + 1):
        told = rules.repeated(record, term, Outcome.NACK if term % 2 == 0 else Outcome.RELEASE)
        assert told is (term > last - rules.REMEMBERED)
        assert not rules.repeated(record, term, Outcome.ACK)
        assert not rules.repeated(record, term, Outcome.EXTEND)
    assert not rules.repeated(record, last + 1, Outcome.NACK)


def test_a_term_that_ended_by_corruption_counts_as_ended() -> None:
    # Or the outcome of the term before it would be taken for its own.
    record, tally = rules.born(prepare(b"x"), 1, NOW), [0] * len(ARCS)
    rules.lease(record, NOW + 5, tally)
    rules.nack(record, NOW, TERMS, tally, 0, None)
    rules.lease(record, NOW + 5, tally)
    rules.corrupt(record, NOW, TERMS, tally)
    assert rules.repeated(record, 1, Outcome.NACK)
    assert not rules.repeated(record, 2, Outcome.NACK)
    assert record.reason() == "corrupt"


def test_a_redrive_takes_off_an_expiry_that_has_passed_and_keeps_one_to_come() -> None:
    for expires_at, left in ((NOW, None), (NOW - 1, None), (NOW + 1, NOW + 1), (None, None)):
        record = record_in(Status.DEAD)
        record.details = msgspec.structs.replace(record.details, expires_at=expires_at)
        rules.redrive(record, NOW, [0] * len(ARCS))
        assert record.details.expires_at == left
        assert (record.deliveries, record.available_at) == (0, NOW)
