"""Long walks of the backends along the machine, and many examples of Hypothesis.

``SUPERSONIQ_TEST_SOAK`` scales them and ``SUPERSONIQ_TEST_SEED`` is the first seed: a run of every
night with another one sees other walks.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from supersoniq.testing.harness import HarnessFactory
from supersoniq.testing.model import machine
from supersoniq.testing.simulate import simulate
from tests.backends.test_memory import MemoryHarness
from tests.backends.test_sqlite_conformance import SqliteHarness
from tests.soak.conftest import scaled

SEED = int(os.environ.get("SUPERSONIQ_TEST_SEED", "1"))


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize(
    ("harness", "steps"), [(MemoryHarness, 1_000_000), (SqliteHarness, 100_000)]
)
def test_long_walks(harness: HarnessFactory, steps: int) -> None:
    for seed in range(SEED, SEED + 10):
        print(simulate(harness, scaled(steps // 10), seed))


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize(("harness", "examples"), [(MemoryHarness, 2000), (SqliteHarness, 300)])
def test_many_examples(harness: HarnessFactory, examples: int) -> None:
    many = settings(
        max_examples=scaled(examples), stateful_step_count=60, deadline=None, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    run_state_machine_as_test(machine(harness), settings=many)
