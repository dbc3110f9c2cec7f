"""What tests of the remote backend share."""

from __future__ import annotations

import pytest

from supersoniq.backends.remote import batch, racing, shared


@pytest.fixture
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries again at once."""
    monkeypatch.setattr(batch, "SHORTEST", 0.001)


@pytest.fixture
def soon_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes a connection soon for dead, or lost, that says nothing: no other sign has HTTP/3."""
    monkeypatch.setattr(shared, "SILENCE", 0.1)
    monkeypatch.setattr(racing, "AGAIN", 0.1)
