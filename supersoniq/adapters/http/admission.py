"""How many larger bodies are here at the same time: as many as there is room for, each in its turn.

Whoever uploads much, on many streams or connections, wants all of it stored, and the server's
memory is bounded. So they wait: not in memory, but at the client, whom flow control holds back.

**Room comes first.** Before a body is read its whole size is taken out of a pool: its
content-length, or, where that is not told, the largest body that may come. It is given back when
the store has answered, so that what arrives and what waits for the store is one count. Whoever was
let in can finish without any more room: there is nothing in which two could wait for each other.

**Whoever waits is not read.** ``receive`` is not called, on no server: HTTP/1.1 stops reading the
socket, HTTP/2 and HTTP/3 open no window. What is here then is what a client may send before anybody
has read: ``LITTLE``, as the project's own servers announce it, and about as much in others. Those
who wait are counted with that, and are refused with 503 where they would be too many. No time-out
runs meanwhile: a body's time begins when it is let in.

Not so over HTTP/2 on other servers than the project's: there one window is for all bodies of a
connection, and those that wait would be in the way of those that were let in. They are read as they
come, and above the limit the one that has taken longest is given up, as what comes of lines.

**In turn** (``turns.py``): first come, first served, but addresses take turns, and the connections
of each. Bodies of up to
``SMALL`` bytes have a pool of their own, half as large, and never wait for larger ones. Those of up
to ``LITTLE`` bytes need no room: nearly always they have come whole, and not reading them would
save nothing.

**Who dawdles leaves.** A body that has room has to come at least as fast as ``body_timeout`` asks
of it, which is looked at every ``PATIENCE`` seconds as long as others wait. Otherwise it is given
up, with 503. Without that a few clients who send a byte now and then would keep everybody waiting
for as long as that time-out.

WebSockets' half-sent messages and bodies of lines are never held back, as nobody knows where they
end. They have what room is left, a quarter at least; above that the one that has taken longest is
given up (``servers/arriving.py``).
"""

from __future__ import annotations

import asyncio

from supersoniq.adapters.http.arriving import Arriving, Cuttable
from supersoniq.adapters.http.problems import Refusal
from supersoniq.adapters.http.turns import NOBODY, Client, Turns

__all__ = ["LITTLE", "PATIENCE", "SMALL", "Admission", "Room"]

LITTLE = 16 * 1024
"""Bytes of a body that need no room."""
SMALL = 64 * 1024
"""Bytes of a body that does not wait for larger ones."""
PATIENCE = 2.0
"""Seconds between two looks at how a body gets on."""


class Admission:
    """Who may send a body now.

    Args:
        arriving: what comes without having been let in; it is told how much room is taken.
        timeout: seconds within which a body has to come.
        patience: seconds between two looks at how a body gets on.
    """

    def __init__(self, arriving: Arriving, timeout: float, patience: float = PATIENCE) -> None:
        self.arriving = arriving
        self.waiting = 0
        """Bytes of those who wait, about."""
        self.large = Pool(self, arriving.limit // 2)
        self.small = Pool(self, arriving.limit // 4)
        self.timeout = timeout
        self.patience = patience

    async def enter(self, size: int, client: Client = NOBODY, here: int = 0) -> Room:
        """Room for a body of so many bytes, once there is some; to be left by ``Room.leave``.

        Args:
            size: bytes of it at the most.
            client: whose turn it is.
            here: bytes of it that were read before.

        Raises:
            Refusal: too many others wait.
        """
        pool = self.small if size <= SMALL else self.large
        if not pool.enter(size):
            here = max(here, LITTLE)
            if self.waiting + here > self.arriving.limit:
                raise Refusal(503, "too many other bodies wait for their turn")
            self.waiting += here
            try:
                await pool.turn(size, client)
            finally:
                self.waiting -= here
        return Room(pool, size)


class Pool(Turns):
    """Bytes of which bodies take as many as they have.

    Args:
        of: whose it is.
        most: bytes in it. A single body may have more.
    """

    __slots__ = ("_admission", "_most", "_reading", "taken")

    def __init__(self, of: Admission, most: int) -> None:
        super().__init__()
        self.taken = 0
        """Bytes that are taken."""
        self._admission = of
        self._most = most
        self._reading: dict[Room, None] = {}
        """Those that still come, the one that was looked at longest ago first."""

    def fits(self, size: int) -> bool:
        return not self.taken or self.taken + size <= self._most

    def take(self, size: int) -> None:
        self.taken += size
        self._admission.arriving.reserve(size)

    def begins(self, room: Room) -> None:
        """That body comes now."""
        room.since = asyncio.get_running_loop().time()
        self._reading[room] = None

    def ends(self, room: Room) -> None:
        """It comes no more."""
        self._reading.pop(room, None)

    def look(self, now: float) -> None:
        """Give up who dawdles."""
        patience = self._admission.patience
        while self._reading:
            room = next(iter(self._reading))
            if now - room.since < patience:
                return
            del self._reading[room]
            if room.gets_on(self._admission.timeout / patience):
                self.begins(room)
            else:
                room.give_up()


class Room(Cuttable):
    """What one body has taken. A ``with`` block awaits it, as often as there is more to come.

    The block raises a ``Refusal`` at its end if the body was given up as it dawdled.

    Args:
        pool: out of which.
        size: bytes.
    """

    __slots__ = ("_pool", "_seen", "come", "since", "size")

    why = "others wait for the room that this body has, and it comes too slowly"

    def __init__(self, pool: Pool, size: int) -> None:
        super().__init__()
        self.size = size
        """Bytes that it may have."""
        self.come = 0
        """Bytes of it that came since it was let in."""
        self.since = 0.0
        """When it was looked at last."""
        self._seen = 0
        self._pool = pool

    def _begin(self) -> None:
        self._pool.begins(self)

    def _end(self) -> None:
        self._pool.ends(self)

    def gets_on(self, looks: float) -> bool:
        """Whether, as it came since the last look, it would be there after so many of them."""
        came, self._seen = self.come - self._seen, self.come
        return came * looks >= self.size

    def shrink(self, size: int) -> None:
        """It is whole, and has no more than so many bytes."""
        if size < self.size:
            spare, self.size = self.size - size, size
            self._pool.leave(spare)

    def leave(self) -> None:
        """It is not needed any more."""
        self.shrink(0)
