"""The subscriptions of one connection, each a task of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from supersoniq.adapters.ws.farewell import GOING_AWAY, Farewell
from supersoniq.adapters.ws.replies import Replies
from supersoniq.core.errors import Closed, SupersoniqError

__all__ = ["Subscription", "Subscriptions"]

log = logging.getLogger("supersoniq.ws")


class Subscription(Protocol):
    """What sends frames by itself."""

    number: int

    async def run(self) -> None:
        """Do so, until it is cancelled or cannot go on."""


class Subscriptions:
    """Those of one connection.

    Args:
        replies: tell the client of one that cannot go on.
        end: has the connection end.
        most: how many there may be.
    """

    def __init__(self, replies: Replies, end: Callable[[Farewell], None], most: int) -> None:
        self.active: dict[int, Subscription] = {}
        """By number."""
        self._replies = replies
        self._end = end
        self._most = most
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._numbers = 0

    @property
    def crowded(self) -> bool:
        """Whether it has as many subscriptions as it may have, beginning ones counted."""
        return len(self._tasks) >= self._most

    def next_number(self) -> int:
        """The number of a new subscription."""
        self._numbers += 1
        return self._numbers

    def keep(self, subscription: Subscription) -> None:
        """Begin a subscription."""
        number = subscription.number
        self.active[number] = subscription
        self.start(number, self._pump(subscription))

    def start(self, number: int, work: Coroutine[Any, Any, None]) -> None:
        """Run something in the background for as long as the session, or until ``stop``."""
        task = self._tasks[number] = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(lambda task: self._done(number, task))

    def stop(self, number: int) -> None:
        """End a subscription. Nothing comes of it any more."""
        del self.active[number]
        self._tasks.pop(number).cancel()

    def _done(self, number: int, task: asyncio.Task[None]) -> None:
        if self._tasks.get(number) is task:
            del self._tasks[number]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a WebSocket's subscription failed", exc_info=error)

    def cancel(self) -> list[asyncio.Task[None]]:
        """End them all; gives the tasks that are to be waited for."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        return tasks

    async def _pump(self, subscription: Subscription) -> None:
        number = subscription.number
        try:
            await subscription.run()
        except Closed:
            self._end(GOING_AWAY.because("the broker is closed"))
        except SupersoniqError as error:
            self.active.pop(number, None)
            self._replies.ended(number, error)
        except Exception:
            self.active.pop(number, None)
            self._replies.ended(number, None)
            raise
