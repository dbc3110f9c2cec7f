"""Fixtures of the servers' tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture
def no_traceback(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What a peer does wrong is no error of ours."""
    yield
    for record in caplog.records:
        if record.name.startswith("supersoniq"):
            assert record.levelname in ("DEBUG", "INFO"), record.getMessage()
