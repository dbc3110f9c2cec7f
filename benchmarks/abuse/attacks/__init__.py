"""The attacks, by subject. Each is a function of the server's port and the scale; see ``trial``."""

from __future__ import annotations

from benchmarks.abuse.attacks import (
    bodies,
    crumbs,
    floods,
    halves,
    heads,
    quic_floods,
    sockets,
    stalls,
)
from benchmarks.abuse.trial import Attack

__all__ = ["ATTACKS"]

ATTACKS: list[Attack] = [
    *stalls.ATTACKS,
    *bodies.ATTACKS,
    *heads.ATTACKS,
    *floods.ATTACKS,
    *crumbs.ATTACKS,
    *sockets.ATTACKS,
    *halves.ATTACKS,
    *quic_floods.ATTACKS,
]
