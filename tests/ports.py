"""Ports for those who must know theirs before anybody listens there.

The system gives whoever connects, and whoever listens at no port in particular, one of a range of
its own, which begins at 32,768 on Linux and higher elsewhere. What was free there can be somebody's
a moment later: many tests run at once. These are from below it.
"""

from __future__ import annotations

import random
import socket

__all__ = ["free_port"]

FIRST, LAST = 20_000, 32_700
_dice = random.SystemRandom()  # others seed the one that all share


def free_port(*, beside: int = 0) -> int:
    """A port that is free for TCP and UDP, and so is the one that is so far above it."""
    for _ in range(1000):
        port = _dice.randint(FIRST, LAST - beside)
        if _free(port) and _free(port + beside):
            return port
    raise AssertionError("no free port")


def _free(port: int) -> bool:
    try:
        with (
            socket.create_server(("", port)),
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
        ):
            datagrams.bind(("", port))
    except OSError:
        return False
    return True
