"""Policies and the backoff."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supersoniq.core.errors import InvalidPolicy
from supersoniq.core.policy import Backoff, Policy, Terms, changed, policy_from_data

BAD: list[tuple[str, Any]] = [
    ("lease", 0.0999), ("lease", 43_200.001), ("lease", 0), ("lease", -1), ("lease", "30"),
    ("lease", None), ("lease", True), ("lease", float("nan")), ("max_deliveries", -1),
    ("max_deliveries", 1_000_001), ("max_deliveries", 1.0), ("max_deliveries", False),
    ("dedup_window", -0.001), ("dedup_window", float("inf")), ("keep_done", -1),
    ("keep_dead", None), ("max_length", 0), ("max_length", 2**40 + 1), ("max_length", 1.5),
    ("max_content", 0), ("max_content", 2**30 + 1), ("max_content", None), ("on_expiry", "keep"),
    ("on_expiry", None), ("on_expiry", []), ("backoff", "1"), ("backoff", True), ("backoff", -1),
    ("backoff", None), ("backoff", {"initial": 5, "maximum": 4}), ("backoff", {"factor": 0.9}),
    ("backoff", {"factor": 101}), ("backoff", {"jitter": -0.1}), ("backoff", {"jitter": 1.1}),
    ("backoff", {"jitter": "0"}), ("backoff", {"maximum": -1}), ("backoff", {"nope": 1}),
    ("backoff", 3601), ("nope", 1), ("", 1),
]  # fmt: skip
GOOD: list[tuple[str, Any, Any]] = [
    ("lease", 0.1, 0.1), ("lease", 43_200, 43_200.0), ("lease", timedelta(minutes=1), 60.0),
    ("max_deliveries", 0, 0), ("max_deliveries", 1_000_000, 1_000_000), ("dedup_window", 0, 0.0),
    ("keep_done", 0, 0.0), ("keep_dead", timedelta(days=1), 86_400.0), ("max_length", None, None),
    ("max_length", 1, 1), ("max_length", 2**40, 2**40), ("max_content", 1, 1),
    ("max_content", 2**30, 2**30), ("on_expiry", "dead", "dead"),
    ("backoff", 5, Backoff(initial=5.0)), ("backoff", timedelta(seconds=5), Backoff(initial=5.0)),
    ("backoff", {"factor": 1}, Backoff(factor=1.0)), ("backoff", Backoff(2, 3), Backoff(2, 3)),
    ("backoff", {"initial": 0, "maximum": 0}, Backoff(0.0, 2.0, 0.0)),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), BAD)
def test_bad_fields_are_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        changed(Policy(), {field: value})
    assert caught.value.field.partition(".")[0] == field


@pytest.mark.parametrize(("field", "value", "kept"), GOOD)
def test_good_fields_are_kept(field: str, value: Any, kept: Any) -> None:
    policy = changed(Policy(), {field: value})
    assert getattr(policy, field) == kept
    assert changed(policy, {}) == policy


def test_a_policy_survives_being_stored() -> None:
    policy = changed(Policy(), {"lease": 5, "backoff": {"initial": 2, "jitter": 0}})
    data = {name: getattr(policy, name) for name in policy.__struct_fields__}
    data["backoff"] = {name: getattr(policy.backoff, name) for name in Backoff.__struct_fields__}
    assert policy_from_data(data) == policy


def terms(**backoff: float) -> Terms:
    return Terms.of(changed(Policy(), {"backoff": backoff}))


def test_the_backoff_doubles_up_to_its_maximum() -> None:
    plain = terms(initial=1, factor=2, maximum=3600, jitter=0)
    waits = [plain.delay_after(n, 1) for n in range(1, 15)]
    assert waits == [min(2**n, 3600) * 1000 for n in range(14)]
    assert plain.delay_after(0, 1) == 1000  # a redriven one that was released


@given(
    deliveries=st.integers(0, 10**6),
    sequence=st.integers(1, 2**40),
    initial=st.floats(0, 100),
    factor=st.floats(1, 100),
    jitter=st.floats(0, 1),
)
def test_a_backoff_stays_in_its_bounds_and_is_derived(
    deliveries: int, sequence: int, initial: float, factor: float, jitter: float
) -> None:
    rule = terms(initial=initial, factor=factor, maximum=1000, jitter=jitter)
    wait = rule.delay_after(deliveries, sequence)
    full = terms(initial=initial, factor=factor, maximum=1000, jitter=0)
    most = full.delay_after(deliveries, sequence)
    assert 0 <= most <= 1_000_000
    assert (1 - jitter) * most - 2 <= wait <= most
    assert wait == rule.delay_after(deliveries, sequence)


def test_jitter_spreads() -> None:
    rule = terms(initial=10, factor=1, maximum=10, jitter=1)
    waits = [rule.delay_after(1, sequence) for sequence in range(1, 1001)]
    assert len(set(waits)) > 800
    assert min(waits) < 500
    assert max(waits) > 9500


def test_the_limit() -> None:
    for limit, deliveries, over in ((0, 10**9, False), (1, 1, True), (3, 2, False), (3, 4, True)):
        rule = Terms.of(changed(Policy(), {"max_deliveries": limit}))
        assert rule.at_limit(deliveries) is over
