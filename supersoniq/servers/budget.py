"""How often something is all right."""

from __future__ import annotations

__all__ = ["Budget"]


class Budget:
    """So many at once, and so many a second: a bucket of tokens.

    Args:
        burst: the tokens that it holds, and has at first.
        rate: tokens that come back each second.
    """

    __slots__ = ("_burst", "_left", "_rate", "_since")

    def __init__(self, burst: int, rate: float) -> None:
        self._burst = float(burst)
        self._rate = rate
        self._left = float(burst)
        self._since: float | None = None

    def take(self, now: float, tokens: int = 1) -> bool:
        """Take some, or none if there are not as many. Gives whether there were."""
        if self._since is not None and self._left < self._burst:
            self._left = min(self._burst, self._left + (now - self._since) * self._rate)
        self._since = now
        if self._left < tokens:
            return False  # and no debt, which a flood would leave to those who come after it
        self._left -= tokens
        return True

    def earn(self, tokens: int) -> None:
        """Give some back."""
        self._left = min(self._burst, self._left + tokens)
