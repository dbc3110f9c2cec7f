"""The faces behave alike on every store."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store of one's own."""
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/store.db"
