"""Telling clients of the TCP side that the same app is there over HTTP/3 (RFC 7838)."""

from __future__ import annotations

__all__ = ["alt_svc"]


def alt_svc(port: int, max_age: int = 3600) -> tuple[bytes, bytes]:
    """The header field that announces HTTP/3.

    Args:
        port: the UDP port.
        max_age: seconds for which a client may remember it.
    """
    return b"alt-svc", b'h3=":%d"; ma=%d' % (port, max_age)
