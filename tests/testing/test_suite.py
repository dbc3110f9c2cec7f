"""The suite's own manners: who is skipped, who may not be, and what hangs."""

from __future__ import annotations

import asyncio
import unittest
from typing import Any

import pytest

from supersoniq.clock import Clock
from supersoniq.core.errors import SupersoniqError
from supersoniq.port import Backend
from supersoniq.testing import Conformance, Harness, check
from supersoniq.testing.conformance import CHECKS, GUARANTEES, suite
from supersoniq.testing.faces import FACE_CHECKS
from supersoniq.testing.reference import ReferenceHarness
from tests.backends.test_memory import MemoryHarness


class Modest(MemoryHarness):
    """A harness that forgets a hook which is due."""

    medium = True


def test_every_guarantee_has_checks_and_every_check_says_what_it_is_about() -> None:
    words = {name.partition("_")[0] for name in CHECKS}
    assert set(GUARANTEES) <= words
    for entry in (*CHECKS.values(), *FACE_CHECKS.values()):
        assert (entry.function.__doc__ or "").strip().endswith("."), entry.name


def test_what_is_not_claimed_is_skipped() -> None:
    report = asyncio.run(check(MemoryHarness, ["g01"]))
    assert report.ok
    assert "g01_all_is_as_it_was_after_closing" in report.inapplicable
    case: Any = type("TestIt", (Conformance,), {"harness": MemoryHarness})()
    with pytest.raises(unittest.SkipTest, match="lasting"):
        case.test_g01_all_is_as_it_was_after_closing()


def test_what_is_claimed_is_not_skipped() -> None:
    report = asyncio.run(check(Modest, ["g11"]))
    assert report.broken == {"g11"}
    assert "has no corrupt()" in str(report)
    assert asyncio.run(check(ReferenceHarness, ["g11"])).inapplicable == []


def test_a_store_that_hangs_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stuck(MemoryHarness):
        async def backend(self, clock: Clock) -> Backend:
            backend = await super().backend(clock)

            async def never(batch: object) -> list[object]:
                await asyncio.sleep(60)
                return []

            backend.execute = never  # type: ignore[method-assign]
            return backend

    monkeypatch.setattr(suite, "LONGEST", 0.05)
    report = asyncio.run(check(Stuck, ["g01_a_large", "browse_by"]))
    assert report.broken == {"g01", "browse"}
    assert all(isinstance(error, TimeoutError) for error in report.failed.values())


def test_a_store_that_cannot_be_opened_has_failed() -> None:
    class Shut(Harness):
        async def backend(self, clock: Clock) -> Backend:
            raise SupersoniqError

    report = asyncio.run(check(Shut, ["g04"]))
    assert report.broken == {"g04"}
    assert report.passed == []


def test_the_base_class_is_no_test_itself() -> None:
    assert Conformance.__test__ is False
    assert not any(name.startswith("test") for name in vars(Conformance))
