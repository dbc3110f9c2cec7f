"""A bucket of tokens."""

from __future__ import annotations

from supersoniq.servers.budget import Budget


def test_a_burst_and_then_a_rate() -> None:
    budget = Budget(3, 2.0)
    assert [budget.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert [budget.take(100.5) for _ in range(2)] == [True, False]
    assert [budget.take(1000.0) for _ in range(4)] == [True, True, True, False]
    budget.earn(100)
    assert [budget.take(1000.0, 2) for _ in range(2)] == [True, False]
    assert budget.take(1000.0), "what was too much has taken nothing"


def test_who_is_refused_leaves_no_debt() -> None:
    budget = Budget(10, 1.0)
    for _ in range(10_000):
        budget.take(5.0)
    assert budget.take(6.0)
