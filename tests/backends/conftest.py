"""What tests of the remote backend share."""

from __future__ import annotations

import pytest

from supersoniq.backends.remote import batch, racing, shared


@pytest.fixture
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries again at once, and takes a connection soon for dead, or lost, that says nothing."""
    monkeypatch.setattr(batch, "SHORTEST", 0.001)
    monkeypatch.setattr(shared, "SILENCE", 0.1)
    monkeypatch.setattr(racing, "AGAIN", 0.1)
