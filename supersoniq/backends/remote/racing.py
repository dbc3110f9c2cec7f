"""Connecting over datagrams, of which nobody says that they were lost.

Where nothing comes back, it may be the address that leads nowhere, the way from this one socket
that is gone, or a server that is not up yet, and whose next chance the protocol puts off twice as
far each time. Another socket is of use in all three. And who is merely slow shall not be cut off
for it: so attempts are made beside those that still wait, and the first that stands is taken.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar

from supersoniq.backends.remote.dialing import HEAD_START

__all__ = ["race"]

AGAIN = 1.0
"""Seconds of silence after which every address is tried anew; each time it is twice as long."""


class Closable(Protocol):
    """A connection."""

    def close(self) -> None:
        """End it."""


C = TypeVar("C", bound=Closable)


async def race(dial: Callable[[Any], Coroutine[Any, Any, C]], addresses: Sequence[Any]) -> C:
    """The first connection that stands. Waits for it without end.

    Of several addresses the next has its turn after a head start, or when one before it has failed.

    Args:
        dial: tries an address; leaves nothing open when it fails or is cancelled.
        addresses: at least one, the best first.

    Raises:
        Exception: all have failed; what the last of them raised.
    """
    clock = asyncio.get_running_loop()
    tried: list[asyncio.Task[C]] = []
    stands: asyncio.Task[C] | None = None
    try:
        for turn, address in enumerate(itertools.cycle(addresses), 1):
            tried.append(clock.create_task(dial(address)))
            rounds, others = divmod(turn, len(addresses))
            end = clock.time() + (HEAD_START if others else AGAIN * 2 ** (rounds - 1))
            while waiting := [each for each in tried if not each.done()]:
                left = max(end - clock.time(), 0)
                over, _ = await asyncio.wait(
                    waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED
                )
                stands = next((each for each in over if each.exception() is None), None)
                if stands is not None:
                    return stands.result()
                if others or not over:
                    break
            if not others and all(each.done() for each in tried):
                break
        return tried[-1].result()  # it raises
    finally:
        for each in tried:
            if each is not stands:
                each.cancel()
                each.add_done_callback(_let_go)


def _let_go(task: asyncio.Task[C]) -> None:
    """It may have come to stand in the same moment."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()
