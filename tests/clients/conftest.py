"""Two servers for all of these tests: one in clear text on memory, one with TLS on a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.served import Served, make_certificate, served


@pytest.fixture(scope="session")
def clear(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """HTTP/1.1, HTTP/2 by prior knowledge, and WebSocket."""
    with served(tmp_path_factory.mktemp("clear"), "--backend", "memory://", patient=True) as server:
        yield server


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The same with TLS, and HTTP/3 beside it."""
    folder = tmp_path_factory.mktemp("tls")
    certificate = make_certificate(folder)
    store = f"sqlite:///{folder}/store.db"
    with served(folder, *certificate, "--backend", store, patient=True) as server:
        yield server


@pytest.fixture(params=["clear", "tls"])
def server(request: pytest.FixtureRequest) -> Served:
    """Both, one after the other."""
    found: Served = request.getfixturevalue(request.param)
    return found
