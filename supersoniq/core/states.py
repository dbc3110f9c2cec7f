r"""The state table: every move a message can make. Nothing else changes a status.

A message is in one of five statuses. Before it is published and after it is finished it is in
none of them, which is written ``None``: the queue then has no memory of it beyond a count.

    publish ---> scheduled --due--> ready --lease--> leased --ack--> done --forget-->
       \___________________________/^ ^                | |
                                    | |                | +--reject, at the limit--> dead
                                    | +-nack, release, lapse-+                       |
                                    +------------------redrive-----------------------+

``TABLE`` below is the whole truth and ``docs/states.md`` is generated from it. One row is a move,
one entry of a row an *arc*: the move, where it starts and where it ends. Code names the arcs that
it takes when it is imported (``arc(...)`` refuses one that the table lacks), so an illegal move
cannot even be written; and ``take``, ``take_pair`` and ``take_all``, which alone change a status,
refuse an arc that does not start where the message is, in which case nothing has changed.

Each queue counts the arcs taken, its *tally*. All figures come from it: how many are ready now is
what entered ready less what left it. The conservation law (contract, guarantee 7) is therefore
one sum over one list, and a recount of the real messages must agree with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from supersoniq.core.errors import IllegalMove

__all__ = [
    "ARCS",
    "TABLE",
    "Arc",
    "Move",
    "Pair",
    "Status",
    "arc",
    "arcs_of",
    "illegal",
    "pair",
    "take",
    "take_all",
    "take_pair",
]


class Status(StrEnum):
    """Where a message is."""

    SCHEDULED = "scheduled"
    """Waits for its time."""
    READY = "ready"
    """Can be leased now."""
    LEASED = "leased"
    """One consumer holds it, until the deadline."""
    DONE = "done"
    """Acknowledged; kept for the policy's ``keep_done``."""
    DEAD = "dead"
    """Given up; kept for the policy's ``keep_dead``. The reason says why."""


class Move(StrEnum):
    """What can happen to a message."""

    PUBLISH = "publish"
    DUE = "due"
    LEASE = "lease"
    ACK = "ack"
    NACK = "nack"
    RELEASE = "release"
    REJECT = "reject"
    EXTEND = "extend"
    LAPSE = "lapse"
    EXPIRE = "expire"
    CANCEL = "cancel"
    REDRIVE = "redrive"
    PURGE = "purge"
    FORGET = "forget"
    CORRUPT = "corrupt"
    IMPORT = "import"


_S, _R, _L, _D, _X = Status
_Place = Status | None

TABLE: Mapping[Move, Mapping[_Place, tuple[_Place, ...]]] = {
    Move.PUBLISH: {None: (_R, _S)},
    Move.DUE: {_S: (_R,)},
    Move.LEASE: {_R: (_L,)},
    Move.ACK: {_L: (_D,)},
    Move.NACK: {_L: (_R, _S, _X)},  # dead at the delivery limit
    Move.RELEASE: {_L: (_R, _S)},
    Move.REJECT: {_L: (_X,)},
    Move.EXTEND: {_L: (_L,)},
    Move.LAPSE: {_L: (_R, _X)},  # dead at the delivery limit
    Move.EXPIRE: {_S: (None, _X), _R: (None, _X)},  # by the queue's on_expiry
    Move.CANCEL: {_S: (None,), _R: (None,), _X: (None,)},
    Move.REDRIVE: {_X: (_R,)},
    Move.PURGE: {_S: (None,), _R: (None,), _D: (None,), _X: (None,)},
    Move.FORGET: {_D: (None,), _X: (None,)},
    Move.CORRUPT: {_S: (_X,), _R: (_X,), _L: (_X,)},  # its content failed its checksum
    Move.IMPORT: {None: (_R, _S, _D, _X)},  # it comes from another store, as it stood there
}


class Arc(msgspec.Struct, frozen=True):
    """One entry of the table. ``slot`` is its place in a tally."""

    slot: int
    move: Move
    source: Status | None
    target: Status | None

    def __str__(self) -> str:
        """The arc's stable name, under which stores keep its count."""
        return f"{self.move}:{self.source or '-'}:{self.target or '-'}"


def _flatten() -> Iterable[Arc]:
    slot = 0
    for move, row in TABLE.items():
        for source, targets in row.items():
            for target in targets:
                yield Arc(slot, move, source, target)
                slot += 1


ARCS: tuple[Arc, ...] = tuple(_flatten())
_FOUND = {(a.move, a.source, a.target): a for a in ARCS}


def arc(move: Move, source: Status | None, target: Status | None) -> Arc:
    """The arc of that move between those places. O(1).

    Raises:
        IllegalMove: the table has no such arc.
    """
    try:
        return _FOUND[move, source, target]
    except KeyError:
        raise illegal(move, source) from None


class Pair(msgspec.Struct, frozen=True):
    """Two arcs taken in one step: nobody sees the message in between."""

    move: Move
    source: Status | None
    target: Status | None
    slots: tuple[int, int]


def pair(first: Arc, second: Arc) -> Pair:
    """Two arcs, the second of which starts where the first ends. O(1).

    Raises:
        IllegalMove: it does not.
    """
    if first.target is not second.source:
        raise illegal(second.move, first.target)
    return Pair(first.move, first.source, second.target, (first.slot, second.slot))


def arcs_of(move: Move) -> tuple[Arc, ...]:
    """Every arc of one move."""
    return tuple(a for a in ARCS if a.move is move)


def illegal(move: Move, source: Status | None) -> IllegalMove:
    """The error for a move that does not start at ``source``."""
    return IllegalMove(move=str(move), status=str(source or "gone"))


class Placed(Protocol):
    """What can take an arc: anything with a status."""

    status: Status | None


def take(message: Placed, path: Arc, tally: list[int]) -> None:
    """Move the message along the arc and count it. O(1).

    Raises:
        IllegalMove: the arc starts elsewhere. Nothing has changed.
    """
    if message.status is not path.source:
        raise illegal(path.move, message.status)
    message.status = path.target
    tally[path.slot] += 1


def take_pair(message: Placed, path: Pair, tally: list[int]) -> None:
    """Move the message along two arcs and count them. O(1).

    Raises:
        IllegalMove: the first one starts elsewhere. Nothing has changed.
    """
    if message.status is not path.source:
        raise illegal(path.move, message.status)
    message.status = path.target
    first, second = path.slots
    tally[first] += 1
    tally[second] += 1


def take_all(messages: Sequence[Placed], path: Arc | Pair, tally: list[int]) -> None:
    """Move all of them, which must be different ones, along the arc or pair. O(messages).

    Raises:
        IllegalMove: for one of them it starts elsewhere. Nothing has changed.
    """
    source, target = path.source, path.target
    for message in messages:
        if message.status is not source:
            raise illegal(path.move, message.status)
    for message in messages:
        message.status = target
    for slot in path.slots if isinstance(path, Pair) else (path.slot,):
        tally[slot] += len(messages)
