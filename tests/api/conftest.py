"""The faces behave alike on every store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends.served import hosted


@pytest.fixture(params=["memory", "sqlite", "http", "ws"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A store of one's own."""
    if request.param in ("http", "ws"):
        with hosted() as address:
            yield address.replace("http", request.param, 1)
    else:
        yield "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/store.db"
