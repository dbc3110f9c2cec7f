"""The memory backend and the reference store against the machine."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from supersoniq.testing.faults import FAULTS, harness
from supersoniq.testing.model import machine
from supersoniq.testing.reference import ReferenceHarness, Store
from supersoniq.testing.simulate import simulate
from supersoniq.testing.twins import Disagreement
from tests.backends.test_memory import MemoryHarness

SETTINGS = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)

TestMemory = machine(MemoryHarness).TestCase
TestMemory.settings = SETTINGS
TestReference = machine(ReferenceHarness).TestCase
TestReference.settings = SETTINGS

# What a comparison of answers cannot see: who is woken, and what rots.
OUT_OF_SIGHT = {
    "WakesNobody",
    "DeafToReturns",
    "SleepsTooLong",
    "DeliversCorruption",
    "CleansUpCorruption",
}


@pytest.mark.parametrize("seed", range(3))
def test_a_walk_agrees(seed: int) -> None:
    walked = simulate(MemoryHarness, 6_000, seed)
    assert walked.steps == 6_000
    assert f"seed {seed}" in str(walked)
    simulate(ReferenceHarness, 3_000, seed, reopen_every=100)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_walk_finds_the_faults(fault: type[Store]) -> None:
    if fault.__name__ in OUT_OF_SIGHT:
        simulate(harness(fault), 1_000, 0)
        return
    with pytest.raises(Exception) as caught:
        simulate(harness(fault), 10_000, 0, reopen_every=200)
    assert "seed=0" in "".join(caught.value.__notes__)


@pytest.mark.parametrize("name", ["LosesPlace", "DoesNotFence", "PublishesPiecemeal"])
def test_hypothesis_finds_faults_too(name: str) -> None:
    (fault,) = (fault for fault in FAULTS if fault.__name__ == name)
    # Without shrinking, which would take most of a minute here and prove nothing more.
    quick = settings(
        SETTINGS, max_examples=300, phases=[Phase.generate], report_multiple_bugs=False
    )
    with pytest.raises(Disagreement):
        run_state_machine_as_test(machine(harness(fault)), settings=quick)
