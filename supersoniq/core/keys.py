"""Deduplication: which keys were used, by which message, until when."""

from __future__ import annotations

from hashlib import blake2b
from heapq import heappop, heappush

import msgspec

__all__ = ["KeyBook", "KeyUse", "digest"]


def digest(content: bytes) -> bytes:
    """What tells one content from another: 128 bits of BLAKE2b. O(length)."""
    return blake2b(content, digest_size=16).digest()


class KeyUse(msgspec.Struct, frozen=True, gc=False):
    """The first use of a key within its window."""

    number: int
    """Of the message's id."""
    digest: bytes
    until: int
    """The key can be used anew at this instant."""


class KeyBook:
    """The keys in use."""

    __slots__ = ("_ends", "_uses")

    def __init__(self) -> None:
        self._uses: dict[str, KeyUse] = {}
        self._ends: list[tuple[int, str]] = []

    def find(self, key: str, now: int) -> KeyUse | None:
        """The use of a key that still holds. O(1)."""
        use = self._uses.get(key)
        return use if use is not None and now < use.until else None

    def note(self, key: str, use: KeyUse) -> None:
        """Remember a use. O(log n)."""
        self._uses[key] = use
        heappush(self._ends, (use.until, key))

    def prune(self, now: int) -> None:
        """Forget what no longer holds. Amortised O(log n) a key."""
        while self._ends and self._ends[0][0] <= now:
            until, key = heappop(self._ends)
            use = self._uses.get(key)
            if use is not None and use.until == until:
                del self._uses[key]

    def __len__(self) -> int:
        return len(self._uses)
