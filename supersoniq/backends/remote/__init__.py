"""The remote backend: queues that a SupersoniQ server holds.

Read it from the outside in: ``backend`` is what the engine sees, ``batch`` how a batch is brought
through the failures of a network, ``stirs`` how a waiter far away is woken. ``transport`` says what
both need of a connection. There are two: ``http``, over a ``line`` of any version (``connection``,
``http2``, ``http3``), and ``websocket``, over a ``socket``. ``failures`` says what a refusal means,
``address`` where a URL leads. What travels is decided in ``supersoniq.wire``.
"""

from __future__ import annotations

from typing import Any

from supersoniq.backends.remote.backend import RemoteBackend
from supersoniq.backends.remote.http import HttpTransport

__all__ = ["RemoteBackend", "connect"]


def connect(url: str, **options: Any) -> RemoteBackend:
    """The factory behind ``http://host:port/prefix`` and ``https://...``, ``ws://`` and ``wss://``.

    Args:
        url: where the server's app is.
        options: ``patience``, and those of ``HttpTransport`` or ``SocketTransport``.

    Raises:
        InvalidSetting: the URL or an option cannot be.
        MissingExtra: what it takes is not installed.
    """
    patience = options.pop("patience", RemoteBackend.PATIENCE)
    if url[:2].lower() != "ws":
        return RemoteBackend(HttpTransport(url, **options), patience=patience)
    from supersoniq.backends.remote.websocket import SocketTransport

    return RemoteBackend(SocketTransport(url, **options), patience=patience)
