"""Soak tests take minutes to hours: they are left out unless a ``-m`` says otherwise."""

from __future__ import annotations

import os

import pytest


def scaled(count: int) -> int:
    """So many, times the environment's ``SUPERSONIQ_TEST_SOAK`` (1 by default; 0.1 is a taste)."""
    return max(1, int(count * float(os.environ.get("SUPERSONIQ_TEST_SOAK", "1"))))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("markexpr"):
        return
    long = [item for item in items if item.get_closest_marker("soak")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
