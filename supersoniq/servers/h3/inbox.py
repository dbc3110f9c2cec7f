"""What has arrived at the one UDP socket, by whom it is from, so that all have their turn.

A socket gives datagrams in the order in which they came. Whoever sends most would be served most,
and the others would wait behind all of it, or be lost, since the kernel keeps only so many. So they
are taken from it at once, which costs little, and worked on in turns, which costs much.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["Inbox"]

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Inbox(Generic[K, T]):
    """Items of many senders, who take turns.

    Args:
        each: items that one sender may have here; more of them are lost.
        most: senders that may have any, and items of all together above which nobody may have more
            than one: twice as many are the most that are ever here.
    """

    def __init__(self, each: int = 512, most: int = 4096) -> None:
        self._each = each
        self._most = most
        self._waiting: dict[K, deque[T]] = {}
        """By sender; whose turn is next comes first. None is empty."""
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def put(self, sender: K, item: T) -> bool:
        """Have an item wait. Gives whether there was room for it."""
        queue = self._waiting.get(sender)
        if queue is None:
            if len(self._waiting) >= self._most:
                return False
            self._waiting[sender] = deque((item,))
        elif len(queue) >= self._each or self._size >= self._most:
            return False
        else:
            queue.append(item)
        self._size += 1
        return True

    def take(self, share: int) -> tuple[K, list[T]]:
        """So many items, or fewer, of the sender whose turn it is; then all others have theirs.

        Raises:
            StopIteration: there is none.
        """
        sender = next(iter(self._waiting))
        queue = self._waiting.pop(sender)
        taken = [queue.popleft() for _ in range(min(share, len(queue)))]
        if queue:
            self._waiting[sender] = queue
        self._size -= len(taken)
        return sender, taken

    def clear(self) -> None:
        """Forget all."""
        self._waiting.clear()
        self._size = 0
