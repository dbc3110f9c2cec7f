"""The remote backend: queues that a SupersoniQ server holds.

Read it from the outside in: ``backend`` is what the engine sees, ``batch`` how a batch is brought
through the failures of a network, ``stirs`` how a waiter far away is woken. ``transport`` says what
both need of a connection; ``http`` is one way, over ``connection``. What travels is decided in
``supersoniq.wire``.
"""

from __future__ import annotations

from typing import Any

from supersoniq.backends.remote.backend import RemoteBackend
from supersoniq.backends.remote.http import HttpTransport

__all__ = ["RemoteBackend", "connect"]


def connect(url: str, **options: Any) -> RemoteBackend:
    """The factory behind ``http://host:port/prefix`` and ``https://...``.

    Args:
        url: where the server's app is.
        options: ``patience``, and those of ``HttpTransport``.

    Raises:
        InvalidSetting: the URL or an option cannot be.
    """
    patience = options.pop("patience", RemoteBackend.PATIENCE)
    return RemoteBackend(HttpTransport(url, **options), patience=patience)
