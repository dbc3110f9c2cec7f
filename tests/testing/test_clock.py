"""The clock that a test moves."""

from __future__ import annotations

import pytest

from supersoniq.testing import ManualClock


def test_it_stands_still_until_it_is_moved() -> None:
    clock = ManualClock(1_000)
    assert clock.now() == clock.now() == 1_000
    assert clock.advance(1.5) == 2_500
    assert clock.advance(ms=1) == 2_501
    assert clock.advance(1, ms=-1) == 3_500
    assert clock.advance() == 3_500
    with pytest.raises(ValueError, match="cannot advance"):
        clock.advance(-1)
    assert clock.set(10) == clock.now() == 10


def test_subscribers_are_called_there_and_then() -> None:
    clock = ManualClock(0)
    seen: list[int] = []

    def jumped() -> None:
        seen.append(clock.now())

    first, second = clock.subscribe(jumped), clock.subscribe(jumped)
    clock.advance(ms=5)
    assert seen == [5, 5]
    first()
    first()
    clock.advance(ms=5)
    assert seen == [5, 5, 10]
    second()
    clock.set(0)
    assert seen == [5, 5, 10]
