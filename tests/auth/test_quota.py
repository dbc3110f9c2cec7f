"""What counts against a caller's quota, and what does not."""

from __future__ import annotations

import pytest

from supersoniq.auth import Caller, Quota, Rate
from supersoniq.auth.rates import MOST
from supersoniq.auth.scopes import Scopes
from supersoniq.core import ops
from supersoniq.core.errors import RateLimited
from supersoniq.core.messages import prepare_item
from supersoniq.core.ops import Outcome, Settlement


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def caller(name: str = "anna") -> Caller:
    return Caller(name, Scopes.parse("publish:*"), 9e9)


def publish(count: int, size: int = 1) -> ops.Publish:
    return ops.Publish("q", tuple(prepare_item(b"x" * size) for _ in range(count)))


def test_operations_of_each_caller() -> None:
    clock = Clock()
    quota = Quota(Rate(10, 5), None, clock)
    for _ in range(5):
        quota.charge(caller(), ops.Stats("q"))
    with pytest.raises(RateLimited) as refused:
        quota.charge(caller(), ops.Stats("q"))
    assert refused.value.retry_after == pytest.approx(0.1)
    quota.charge(caller("ben"), publish(5))  # somebody else has all of it
    clock.now += refused.value.retry_after
    quota.charge(caller(), ops.Stats("q"))  # as it was told
    with pytest.raises(RateLimited):
        quota.charge(caller(), ops.Stats("q"))


def test_what_is_refused_does_not_count() -> None:
    clock = Clock()
    quota = Quota(Rate(10, 5), Rate(100, 1000), clock)
    quota.charge(caller(), publish(1, 1000))
    for _ in range(100):
        with pytest.raises(RateLimited) as refused:
            quota.charge(caller(), publish(1, 100))
        assert refused.value.retry_after == pytest.approx(1.0)
    for _ in range(4):
        quota.charge(caller(), ops.Stats("q"))  # has no content


def test_a_batch_is_as_many_operations() -> None:
    clock = Clock()
    quota = Quota(Rate(10, 5), None, clock)
    quota.charge(caller(), publish(100))  # all that may come at once, and 95 on credit
    with pytest.raises(RateLimited) as refused:
        quota.charge(caller(), ops.Stats("q"))
    assert refused.value.retry_after == pytest.approx(9.6)
    quota.charge(caller("ben"), publish(4))
    with pytest.raises(RateLimited) as refused:
        quota.charge(caller("ben"), publish(4))
    assert refused.value.retry_after == pytest.approx(0.3)


def test_settling_counts_and_is_never_refused() -> None:
    clock = Clock()
    quota = Quota(Rate(10, 5), None, clock)
    for _ in range(7):
        quota.charge(caller(), ops.Settle("q", [Settlement("r", Outcome.ACK)]))
    with pytest.raises(RateLimited) as refused:
        quota.charge(caller(), ops.Take("q", 1))
    assert refused.value.retry_after == pytest.approx(0.3)


def test_callers_are_forgotten_when_there_are_too_many() -> None:
    buckets = Rate(1, 1).buckets(lambda: 0.0)
    for number in range(2 * MOST + 10):
        buckets.take(f"{number}")
    assert len(buckets._full_at) <= MOST
