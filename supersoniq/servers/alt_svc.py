"""Telling clients of the TCP side that the same app is there over HTTP/3 (RFC 7838)."""

from __future__ import annotations

__all__ = ["alt_svc"]


def alt_svc(port: int, max_age: int = 3600) -> tuple[str, str]:
    """The header field that announces HTTP/3, for uvicorn's ``headers`` option.

    Args:
        port: the UDP port.
        max_age: seconds for which a client may remember it.
    """
    return "alt-svc", f'h3=":{port}"; ma={max_age}'
