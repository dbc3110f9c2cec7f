"""The remote backend through the public suite and beside the machine, over a real socket."""

import os

import pytest

from supersoniq.testing import Conformance, Harness
from supersoniq.testing.simulate import simulate
from tests.backends.served import MemoryHarness, RemoteHarness
from tests.backends.test_sqlite_conformance import SqliteHarness


def onto_memory() -> Harness:
    return RemoteHarness(MemoryHarness())


def onto_sqlite() -> Harness:
    return RemoteHarness(SqliteHarness())


class TestOntoMemory(Conformance):
    harness = onto_memory


class TestOntoSqlite(Conformance):
    harness = onto_sqlite


@pytest.mark.parametrize("seed", range(3))
def test_answers_are_the_machines(seed: int) -> None:
    simulate(onto_memory, steps=1000, seed=seed, reopen_every=300)


@pytest.mark.soak
@pytest.mark.parametrize("harness", [onto_memory, onto_sqlite])
def test_many_answers_are_the_machines(harness: type[Harness]) -> None:
    simulate(harness, steps=100_000, seed=int.from_bytes(os.urandom(4)), reopen_every=1000)
