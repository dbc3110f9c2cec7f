"""From the arcs that a queue's messages took to its figures."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from supersoniq.core.ops import QueueStats
from supersoniq.core.states import ARCS, Move, Status, arcs_of
from supersoniq.core.timers import NEVER

__all__ = ["Extra", "conserved", "figures", "from_names", "names", "sizes"]

_NAMES = tuple(str(a) for a in ARCS)
_OF = {move: tuple(a.slot for a in arcs_of(move)) for move in Move}
_IN = {s: tuple(a.slot for a in ARCS if a.target is s and a.source is not s) for s in Status}
_OUT = {s: tuple(a.slot for a in ARCS if a.source is s and a.target is not s) for s in Status}
_EXPIRED = tuple(a.slot for a in arcs_of(Move.EXPIRE) if a.target is None)
_FORGOTTEN = tuple(a.slot for a in arcs_of(Move.FORGET) if a.source is Status.DEAD)
_STORED = tuple(a.slot for a in ARCS if a.source is None)
_ACKED = tuple(a.slot for a in ARCS if a.target is Status.DONE)
_PURGED = tuple(a.slot for a in arcs_of(Move.PURGE) if a.source is not Status.DONE)


class Extra(msgspec.Struct):
    """What is counted beside the arcs."""

    duplicates: int = 0
    stale: int = 0


def sizes(tally: Sequence[int]) -> dict[Status, int]:
    """How many messages are in each status. O(arcs)."""
    return {
        status: sum(tally[i] for i in _IN[status]) - sum(tally[i] for i in _OUT[status])
        for status in Status
    }


def figures(name: str, tally: Sequence[int], extra: Extra, paused_until: int | None) -> QueueStats:
    """A queue's stats. O(arcs)."""

    def total(indexes: tuple[int, ...]) -> int:
        return sum(tally[index] for index in indexes)

    size = sizes(tally)
    return QueueStats(
        queue=name,
        scheduled=size[Status.SCHEDULED],
        ready=size[Status.READY],
        leased=size[Status.LEASED],
        done=size[Status.DONE],
        dead=size[Status.DEAD],
        published=total(_STORED),
        acked=total(_ACKED),
        expired=total(_EXPIRED),
        cancelled=total(_OF[Move.CANCEL]),
        purged=total(_PURGED),
        forgotten=total(_FORGOTTEN),
        leases=total(_OF[Move.LEASE]),
        nacked=total(_OF[Move.NACK]),
        released=total(_OF[Move.RELEASE]),
        rejected=total(_OF[Move.REJECT]),
        lapsed=total(_OF[Move.LAPSE]),
        redriven=total(_OF[Move.REDRIVE]),
        corrupt=total(_OF[Move.CORRUPT]),
        duplicates=extra.duplicates,
        stale=extra.stale,
        paused=paused_until is not None,
        paused_until=paused_until if paused_until is not None and paused_until < NEVER else None,
    )


def conserved(stats: QueueStats) -> bool:
    """The conservation law (contract, guarantee 7)."""
    return stats.published == (
        stats.scheduled
        + stats.ready
        + stats.leased
        + stats.dead
        + stats.acked
        + stats.expired
        + stats.cancelled
        + stats.purged
        + stats.forgotten
    )


def names(tally: Sequence[int]) -> dict[str, int]:
    """A tally as stores keep it: by the names of its arcs, without zeros."""
    return {name: count for name, count in zip(_NAMES, tally, strict=True) if count}


def from_names(named: dict[str, int]) -> list[int]:
    """A tally from its stored form. Arcs that a newer version knows are not lost silently.

    Raises:
        KeyError: an arc that this version does not know.
    """
    tally = [0] * len(ARCS)
    slot = {str(a): a.slot for a in ARCS}
    for name, count in named.items():
        tally[slot[name]] = count
    return tally
