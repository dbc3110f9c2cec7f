"""The blocking face: the same names, safe to use from any thread.

One event loop in a thread of its own does the work; every call here hands it a coroutine and waits
for the answer, so calls from many threads still meet in one batch. An interrupted wait (Ctrl-C)
cancels the call, whose outcome is then unknown, as everywhere.

A blocking block cannot be cancelled from outside. So where the asynchronous ``async with
delivery`` cancels its block when the lease is lost, here ``delivery.lost`` turns true at once, for
long work to look at, and ``LeaseLost`` is raised at the end of the block.
"""

from __future__ import annotations

from typing import Any

from supersoniq import registry
from supersoniq.sync.broker import Broker
from supersoniq.sync.delivery import Delivery
from supersoniq.sync.queue import Queue
from supersoniq.sync.watch import Watch

__all__ = ["Broker", "Delivery", "Queue", "Watch", "connect"]


def connect(url: str = "memory://", **options: Any) -> Broker:
    """A broker for a store, to be opened with ``with``. See ``supersoniq.connect``."""
    return Broker(registry.connect(url, **options))
