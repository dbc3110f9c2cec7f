"""Connecting over TCP, on whatever event loop."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable
from typing import Any, TypeVar

from supersoniq.backends.remote.address import Address

__all__ = ["dial_tcp"]

P = TypeVar("P", bound=asyncio.BaseProtocol)
HEAD_START = 0.25
"""Seconds after which the next of a name's addresses is tried beside the one before (RFC 8305)."""


async def dial_tcp(protocol: Callable[[], P], address: Address) -> tuple[asyncio.Transport, P]:
    """Connect to a server.

    Of a name's addresses the first that answers is taken; on an event loop that cannot try them
    side by side, as uvloop cannot, they are tried one after the other.

    Args:
        protocol: makes what speaks on the connection.
        address: where it leads, and whether with TLS.

    Raises:
        OSError: refused, no such host, a certificate that is not trusted.
    """
    loop = asyncio.get_running_loop()
    options: dict[str, Any] = {}
    host, port, trust = address
    # One address needs no race, and its tasks.
    if isinstance(loop, asyncio.BaseEventLoop) and not _is_address(host):
        options["happy_eyeballs_delay"] = HEAD_START
    return await loop.create_connection(protocol, host, port, ssl=trust, **options)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
