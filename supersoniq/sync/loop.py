"""The event loop behind the blocking face."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

from supersoniq.core.errors import Closed

__all__ = ["Loop", "Run"]

T = TypeVar("T")


class Run(Protocol):
    """Has a loop run a coroutine, and waits for its result."""

    def __call__(self, call: Coroutine[Any, Any, T]) -> T: ...


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._pending: set[concurrent.futures.Future[Any]] = set()
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name="supersoniq", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.get_loop().run_forever()

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        """Have the loop run a coroutine, and wait for its result."""
        if self._stopped:
            call.close()
            raise Closed("the broker")
        future = asyncio.run_coroutine_threadsafe(call, self._loop)
        self._pending.add(future)
        if self._stopped:
            future.cancel()  # the loop stopped in between and will never look at it
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            if self._stopped:
                raise Closed("the broker") from None
            raise
        except BaseException:
            future.cancel()
            raise
        finally:
            self._pending.discard(future)

    def stop(self) -> None:
        """End the loop and its thread; whoever still waits gets ``Closed``."""
        self._stopped = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        for future in list(self._pending):
            future.cancel()
