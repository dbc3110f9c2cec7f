"""Every deliberate fault is caught, by the guarantee that it breaks."""

from __future__ import annotations

import asyncio

import pytest

from supersoniq.testing import check
from supersoniq.testing.conformance import GUARANTEES
from supersoniq.testing.faults import FAULTS, harness
from supersoniq.testing.reference import ReferenceHarness, Store


def test_the_reference_store_passes() -> None:
    report = asyncio.run(check(ReferenceHarness))
    assert report.ok, str(report)
    assert report.inapplicable == []


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_is_caught_by_its_guarantee(fault: type[Store]) -> None:
    word = FAULTS[fault]
    report = asyncio.run(check(harness(fault), [word]))
    assert report.broken == {word}, str(report)


def test_every_guarantee_has_a_fault() -> None:
    assert set(GUARANTEES) <= set(FAULTS.values())


def test_a_report_says_what_broke() -> None:
    fault = next(fault for fault, word in FAULTS.items() if word == "g03")
    text = str(asyncio.run(check(harness(fault), ["g03"])))
    assert "guarantee 3: stale receipts change nothing" in text
    assert "Violation: " in text
