"""The sketch: its percentiles are right to a hundredth."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supersoniq.load import Latency


@given(st.lists(st.floats(1e-6, 3600), min_size=1), st.floats(0, 1))
def test_every_percentile_is_right_to_one_percent(values: list[float], share: float) -> None:
    latency = Latency()
    for value in values:
        latency.add(value)
    exact = sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
    assert latency.at(share) == pytest.approx(exact, rel=Latency.ACCURACY * 1.001)


def test_its_summary_is_in_milliseconds() -> None:
    latency = Latency()
    for ms in range(1, 1001):
        latency.add(ms / 1000)
    found = latency.summary()
    assert found is not None
    assert (found.count, found.min, found.max, found.mean) == (1000, 1.0, 1000.0, 500.5)
    assert found.p50 == pytest.approx(500, rel=0.01)
    assert found.p999 == pytest.approx(999, rel=0.01)


def test_nothing_has_no_summary() -> None:
    assert Latency().summary() is None
    assert Latency().curve() == []
    assert Latency().at(0.5) == 0


def test_the_curve_rises_and_reaches_the_nines() -> None:
    dice, latency = random.Random(1), Latency()
    for _ in range(10_000):
        latency.add(dice.expovariate(100))
    curve = latency.curve()
    assert curve == sorted(curve)
    assert curve[-1][0] == pytest.approx(0.9999)


def test_it_stays_small() -> None:
    latency = Latency()
    for exponent in range(-60, 36):
        for step in range(100):
            latency.add(10 ** ((exponent + step / 100) / 10))
    assert len(latency._buckets) < 1_200
