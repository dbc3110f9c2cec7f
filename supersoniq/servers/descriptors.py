"""Open files: every connection is one, and a process is often allowed just 1,024 of them."""

from __future__ import annotations

import logging

__all__ = ["make_room"]

log = logging.getLogger("supersoniq.servers")

OTHERS = 200
"""Open files that are no connections: the store's, the loop's, the libraries'."""


def make_room(connections: int, *, loud: bool) -> int:
    """Raise this process's limit of open files, as far as the system lets it.

    Args:
        connections: how many there shall be room for.
        loud: whether to warn if there is less.

    Returns:
        The connections that there is room for.
    """
    try:
        import resource
    except ModuleNotFoundError:  # Windows has no such limit
        return connections
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + OTHERS
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections
    new = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (new, hard))
    except (ValueError, OSError):
        new = soft
    room = max(new - OTHERS, 0)
    if room < connections:
        text = "about %d connections fit: this process may have %d files open (ulimit -n)"
        log.log(logging.WARNING if loud else logging.INFO, text, room, new)
    return min(room, connections)
