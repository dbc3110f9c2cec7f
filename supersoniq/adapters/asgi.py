"""ASGI's three arguments, and what is read from the first by everybody."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

__all__ = ["Receive", "Scope", "Send", "protocol_of"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_PROTOCOLS = {"1.0": "http/1.0", "1.1": "http/1.1", "2": "http/2", "3": "http/3"}


def protocol_of(scope: Scope) -> str:
    """Which HTTP a call came over: ``http/1.1``, ``http/2``, ``http/3``, or ``webtransport``."""
    if "webtransport" in scope.get("extensions", ()):
        return "webtransport"
    return _PROTOCOLS.get(scope.get("http_version", "1.1"), "_other")
