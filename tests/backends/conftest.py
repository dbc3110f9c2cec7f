"""What tests of the remote backend share."""

from __future__ import annotations

import pytest

from supersoniq.backends.remote import batch


@pytest.fixture
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries again at once."""
    monkeypatch.setattr(batch, "SHORTEST", 0.001)
