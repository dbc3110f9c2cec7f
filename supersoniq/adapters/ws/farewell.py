"""How connections end."""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "BAD_FRAME",
    "BUG",
    "EXPIRED",
    "GOING_AWAY",
    "NO_HELLO",
    "SLOW_READER",
    "TOO_BIG",
    "TOO_MANY",
    "Farewell",
]


class Farewell(NamedTuple):
    """Why the server closes a connection: what ``bye`` says, and the close code."""

    code: int
    reason: str
    """Stable; also the reason in the closing frame."""
    retry_after: int | None = None
    """Seconds after which to come back; ``None``: the same would only happen again."""
    detail: str = ""

    def because(self, detail: str) -> Farewell:
        """The same, told more exactly."""
        return self._replace(detail=detail)


GOING_AWAY = Farewell(1001, "going-away", 1, "the server stops")
TOO_BIG = Farewell(1009, "frame-too-large")
BUG = Farewell(1011, "internal-error", 1, "a bug; the server's log says more")
EXPIRED = Farewell(4401, "token-expired", None, "the token has expired; come with a newer one")
BAD_FRAME = Farewell(4400, "bad-frame")
NO_HELLO = Farewell(4408, "too-slow")
SLOW_READER = Farewell(4429, "slow-reader", 1)
TOO_MANY = Farewell(4429, "too-many-connections", 5)
