"""The Redis backend beside the machine and beside SQLite: every answer is equal."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from supersoniq.testing.model import machine
from supersoniq.testing.simulate import simulate
from tests.backends.redis_server import needs_server
from tests.backends.test_redis_conformance import RedisHarness

pytestmark = needs_server

TestModel = machine(RedisHarness).TestCase
TestModel.settings = settings(
    max_examples=25, stateful_step_count=40, deadline=None, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


@pytest.mark.parametrize("seed", range(2))
def test_a_walk_beside_the_machine(seed: int) -> None:
    simulate(RedisHarness, 3000, seed, reopen_every=200)
