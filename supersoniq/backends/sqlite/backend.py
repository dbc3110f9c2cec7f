"""The SQLite backend as the event loop sees it.

Everything that touches the file happens on one thread of its own, a batch at a time (``store``).
The loop hands a batch over and awaits a future that the thread never looks at, so whoever is
cancelled is cancelled alone: the transaction goes on. What stirred is told to local listeners when
the batch is back in the loop, and to other processes by the database thread right after its commit
(``wake``).
"""

from __future__ import annotations

import asyncio
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from supersoniq.backends.sqlite import connection as files
from supersoniq.backends.sqlite.store import Store
from supersoniq.backends.sqlite.wake import Bell, Ear, Token, Watchman, decode, folder_for
from supersoniq.clock import Clock, SystemClock
from supersoniq.core.errors import BackendUnavailable, Closed, InvalidSetting
from supersoniq.core.ops import AnyOp
from supersoniq.port import Backend, Capabilities, Result, Stir

__all__ = ["SqliteBackend"]

MIN_FREE = 16 << 20
"""Bytes: twice over what the log and the room to empty it need."""
LOOK_EVERY, LOOK_DEAF = 0.5, 0.1
"""Seconds between two looks for writes that no datagram told of, and where none can be heard."""


class SqliteBackend(Backend):
    """Queues in one SQLite file, which several processes may share.

    Args:
        path: of the file; made if need be. Beside it stand its log (``-wal``, ``-shm``), a lock
            file (``-lock``) and a directory of sockets (``-wake``).
        clock: the store's clock.
        synchronous: ``full``: what is answered survives power loss. ``normal``: it survives the
            process, and a power cut may take the last moments.
        patience: seconds to wait for other writers before a call is refused.
        min_free: bytes; publishes are refused while less is free on the disk, so that messages
            can still be settled. 0 is no such reserve.

    Raises:
        InvalidSetting: one of them cannot be.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        clock: Clock | None = None,
        synchronous: files.Synchronous = "full",
        patience: float = 10.0,
        min_free: int = MIN_FREE,
    ) -> None:
        name = os.fspath(path)
        if not isinstance(name, str) or not name or "\0" in name or name == ":memory:":
            raise InvalidSetting("path", name, "takes the path of a file; memory:// is in memory")
        if name.endswith("/") or os.path.isdir(name):
            raise InvalidSetting("path", name, "is a directory; name a file in it")
        if synchronous not in ("full", "normal"):
            raise InvalidSetting("synchronous", synchronous, "takes 'full' or 'normal'")
        if isinstance(patience, bool) or not 0 <= patience <= 3600:
            raise InvalidSetting("patience", patience, "takes seconds from 0 to 3600")
        if isinstance(min_free, bool) or not isinstance(min_free, int) or min_free < 0:
            raise InvalidSetting("min_free", min_free, "takes a number of bytes")
        self.path = os.path.realpath(name)
        self.capabilities = Capabilities(
            durability="disk" if synchronous == "full" else "os",
            lasting=True,
            shared=True,
            bounds_queues=True,
        )
        self._clock = clock or SystemClock()
        self._store = Store(self.path, self._clock, synchronous, patience, min_free)
        self._folder = folder_for(self.path)
        self._bell = Bell(self._folder)
        self._thread: ThreadPoolExecutor | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0
        self._unsubscribe: Callable[[], None] = lambda: None
        self._ears: dict[str, set[Stir]] = {}
        self._heard: dict[str, Token] = {}
        self._ear: Ear | None = None
        self._watchman: Watchman | None = None
        self._look: asyncio.TimerHandle | None = None

    # Opening and closing.

    # The store must not know of this: what its thread still holds of its last call would keep a
    # store that nobody has closed from saying so.
    @property
    def max_queues(self) -> int | None:
        """How many queues there may be; ``None``: any number."""
        return self._store.max_queues

    @max_queues.setter
    def max_queues(self, most: int | None) -> None:
        self._store.max_queues = most

    async def open(self) -> None:
        """Open the file, made if need be. Opening twice is fine."""
        if self._thread is not None:
            self._check()
            return
        loop = asyncio.get_running_loop()
        thread = ThreadPoolExecutor(1, thread_name_prefix="supersoniq-sqlite")
        try:
            await asyncio.shield(loop.run_in_executor(thread, self._open_files))
        except BaseException:
            # Also when this was cancelled: whatever the thread opens is closed after it.
            thread.submit(self._close_files)
            thread.shutdown(wait=False)
            raise
        self._thread, self._loop, self._pid = thread, loop, os.getpid()
        self._unsubscribe = self._clock.subscribe(self._stir_all)

    async def close(self) -> None:
        """Finish what is in flight and close the file. Closing twice is fine."""
        thread, self._thread = self._thread, None
        if thread is None or self._pid != os.getpid():
            return
        self._unsubscribe()
        self._stop_hearing()
        self._heard.clear()
        try:
            await asyncio.shield(asyncio.wrap_future(thread.submit(self._close_files)))
        finally:
            thread.shutdown(wait=False)

    def _open_files(self) -> None:
        self._store.open()
        try:
            self._watchman = Watchman(files.open_reader(self.path))
        except BaseException:
            self._store.close()
            raise

    def _close_files(self) -> None:
        # The reader first, so that the writer's is the last connection and empties the log.
        watchman, self._watchman = self._watchman, None
        if watchman is not None:
            watchman.close()
        self._store.close()
        self._bell.close()

    def __del__(self) -> None:
        thread = self.__dict__.get("_thread")
        if thread is not None and self._pid == os.getpid():
            warnings.warn(f"{self!r} was not closed", ResourceWarning, source=self, stacklevel=2)
            try:
                for each in (self._watchman, self._store, self._bell):
                    if each is not None:
                        thread.submit(each.close)
            except RuntimeError:
                pass  # The interpreter is ending, and with it the connections.
            thread.shutdown(wait=False)

    def __repr__(self) -> str:
        return f"SqliteBackend({self.path!r})"

    def _check(self) -> ThreadPoolExecutor:
        thread = self._thread
        if thread is None:
            raise Closed(f"the store {self.path}")
        if self._pid != os.getpid():
            raise BackendUnavailable(
                "the store was opened before this process was forked; open it anew in the child"
            )
        return thread

    # Executing.

    async def execute(self, batch: Sequence[AnyOp]) -> list[Result]:
        """Execute operations in one transaction."""
        thread = self._check()
        loop = self._loop
        assert loop is not None
        answer: asyncio.Future[list[Result]] = loop.create_future()
        # Not run_in_executor: its futures, chained and shielded, take half of the way's time.
        thread.submit(self._run, batch, loop, answer)
        return await answer

    def _run(
        self,
        batch: Sequence[AnyOp],
        loop: asyncio.AbstractEventLoop,
        answer: asyncio.Future[list[Result]],
    ) -> None:
        """On the thread: carry a batch out, and have the loop told."""
        try:
            results, stirred = self._store.run(batch)
            if stirred:
                self._bell.ring(stirred)
        except BaseException as error:
            loop.call_soon_threadsafe(_fail, answer, error)
        else:
            loop.call_soon_threadsafe(self._done, answer, results, stirred)

    def _done(
        self, answer: asyncio.Future[list[Result]], results: list[Result], stirred: dict[str, Token]
    ) -> None:
        if not answer.done():
            answer.set_result(results)
        # Also if nobody awaits it any more: others may be waiting for what it did.
        if self._ears:
            self._hear(stirred)

    # Listening.

    def listen(self, queue: str, stir: Stir) -> Callable[[], None]:
        """Have ``stir`` called when something in the queue may have become ready."""
        self._check()
        if self._ear is None:
            self._start_hearing()
        ears = self._ears.setdefault(queue, set())
        ears.add(stir)
        if self._look is None and self._watchman is not None:
            self._watchman.changed()  # What was written before now is not news.
            self._look = self._soon()

        def stop() -> None:
            ears.discard(stir)
            if not ears and self._ears.get(queue) is ears:
                del self._ears[queue]
                self._heard.pop(queue, None)

        return stop

    def _start_hearing(self) -> None:
        assert self._loop is not None
        try:
            self._ear = Ear(self._folder)
        except OSError:
            return  # The net beneath does it alone.
        self._bell.own = self._ear.path
        self._loop.add_reader(self._ear.fileno(), self._on_datagram)

    def _stop_hearing(self) -> None:
        if self._look is not None:
            self._look.cancel()
            self._look = None
        if self._ear is not None:
            assert self._loop is not None
            self._loop.remove_reader(self._ear.fileno())
            self._ear.close()
            self._ear = None

    def _on_datagram(self) -> None:
        if self._ear is None:
            return
        for datagram in self._ear.hear():
            stirred = decode(datagram)
            if stirred is None:
                self._stir_all()
            else:
                self._hear(stirred)

    def _look_again(self) -> None:
        """See whether others have written, and come back in a moment, while anybody listens."""
        self._look = None
        watchman = self._watchman
        if not self._ears or watchman is None or self._loop is None:
            return
        if watchman.changed():
            for queue in list(self._ears):
                token = watchman.token(queue)
                if token is not None:
                    self._hear({queue: token})
        self._look = self._soon()

    def _soon(self) -> asyncio.TimerHandle | None:
        pause = LOOK_DEAF if self._ear is None else LOOK_EVERY
        return self._loop.call_later(pause, self._look_again) if self._loop else None

    def _hear(self, stirred: dict[str, Token]) -> None:
        for queue, token in stirred.items():
            ears = self._ears.get(queue)
            if ears and self._heard.get(queue) != token:
                self._heard[queue] = token
                for stir in list(ears):
                    stir()

    def _stir_all(self) -> None:
        for ears in list(self._ears.values()):
            for stir in list(ears):
                stir()


def _fail(answer: asyncio.Future[list[Result]], error: BaseException) -> None:
    if not answer.done():
        answer.set_exception(error)


def options_of(options: dict[str, Any]) -> dict[str, Any]:
    """Options as a URL spells them, all texts, in their own types; others as they are.

    Raises:
        InvalidSetting: an unknown one, or not a number where there must be one.
    """
    known: dict[str, Callable[[Any], Any]] = {
        "clock": lambda value: value,
        "synchronous": lambda value: value,
        "patience": float,
        "min_free": int,
    }
    made: dict[str, Any] = {}
    for name, value in options.items():
        if name not in known:
            raise InvalidSetting(name, value, f"no such option; sqlite has: {', '.join(known)}")
        try:
            made[name] = known[name](value)
        except (TypeError, ValueError):
            raise InvalidSetting(name, value, "takes a number") from None
    return made
