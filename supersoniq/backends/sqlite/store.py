"""The store as the database thread sees it: one batch of operations is one transaction.

Nothing here knows of an event loop. ``run`` is one synchronous function from BEGIN to COMMIT, so
no cancellation can land in between and leave a transaction open: the caller may go away, the
function does not. Everything of a batch becomes durable by one fsync.

**Order.** The operations of a batch come from concurrent callers and may be reordered, so
between two operations of other kinds all settlements of a queue come first, then its publishes,
then its takes: each kind is then a handful of statements whatever the size of the batch.

**Cache.** Unpacked queues are kept between transactions while ``PRAGMA data_version`` says that
nobody else has written. A rollback drops them all.

**Failure.** An operation's own error is found before anything of it is written. Whatever SQLite
raises is a failure of the whole batch: it is rolled back and every caller gets to know which of
the two kinds it is. Only a COMMIT that fails with an I/O error is unknown: the log may hold the
transaction without being synced. The connection is then given up, since after a failed fsync the
kernel's pages cannot be trusted, and the next batch opens another.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any

from supersoniq.backends.sqlite import connection as files
from supersoniq.backends.sqlite.lock import WriteLock
from supersoniq.backends.sqlite.publishing import Publishing
from supersoniq.backends.sqlite.queue import StoredQueue
from supersoniq.backends.sqlite.schema import MAX_QUEUES, migrate
from supersoniq.backends.sqlite.settling import settle
from supersoniq.backends.sqlite.taking import take
from supersoniq.clock import Clock
from supersoniq.core import ops
from supersoniq.core.errors import (
    BackendUnavailable,
    IncompatibleStore,
    LeaseLost,
    OutcomeUnknown,
    QueueNotFound,
    StorageFull,
    SupersoniqError,
)
from supersoniq.core.ids import Seal
from supersoniq.core.messages import Durability
from supersoniq.port import Result

__all__ = ["Store", "Token"]

Token = tuple[int, int]
"""A queue's number and stirs: differs whenever somebody who waits should look again."""
GONE: Token = (0, 0)
_Groups = dict[str, tuple[list[int], list[int], list[int]]]


class Store:
    """One database file, used by one thread.

    Args:
        path: of the file, absolute.
        clock: read once for each batch.
        synchronous: ``full`` or ``normal``.
        patience: seconds to wait for other writers.
        min_free: bytes that must stay free on the disk for a publish to be taken.
    """

    def __init__(
        self,
        path: str,
        clock: Clock,
        synchronous: files.Synchronous,
        patience: float,
        min_free: int,
    ) -> None:
        self.path = path
        self._folder = os.path.dirname(path)
        self._clock = clock
        self._synchronous: files.Synchronous = synchronous
        self._durability: Durability = "disk" if synchronous == "full" else "os"
        self._patience = patience
        self._min_free = min_free
        self._connection: sqlite3.Connection | None = None
        self._lock: WriteLock | None = None
        self._secret = b""
        self._seals: dict[int, Seal] = {}
        self._queues: dict[str, StoredQueue | None] = {}
        self._touched: set[str] = set()
        self._seen_version = -1
        self._now = 0
        self._refusal: StorageFull | None = None
        self._room_checked = False
        self._deleted: dict[str, Token] = {}

    # The file.

    def open(self) -> None:
        """Open the file, made if need be, and bring it up to date.

        Raises:
            BackendUnavailable, IncompatibleStore: nothing is left open.
        """
        files.check_place(self.path)
        try:
            if self._lock is None:
                self._lock = WriteLock(self.path + "-lock")
            self._lock.acquire(self._patience)
            try:
                self._open()
            finally:
                self._lock.release()
        except OSError as error:
            self._let_go()
            if isinstance(error, SupersoniqError):
                raise
            raise BackendUnavailable(f"{self.path} cannot be opened: {error}") from error
        except sqlite3.Error as error:
            self._let_go()
            raise _refused(error, self.path) from error

    def _open(self) -> None:
        files.create(self.path)
        made = files.open_writer(self.path, self._synchronous, self._patience)
        try:
            secret = migrate(made)
        except BaseException:
            made.close()
            raise
        if secret != self._secret:
            self._seals.clear()
        self._secret = secret
        self._connection = made
        self._forget()

    def close(self) -> None:
        """Close the file. The last one to do so empties and removes its log."""
        lock = self._lock
        held = False
        if lock is not None and self._connection is not None:
            try:
                # Closing may checkpoint, which only the holder of the lock does.
                lock.acquire(self._patience)
                held = True
            except BackendUnavailable:
                pass  # Then another process is there, and closing will not checkpoint.
        try:
            self._let_go()
        finally:
            if lock is not None:
                if held:
                    lock.release()
                lock.close()
                self._lock = None

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        self._forget()
        if connection is not None:
            try:
                connection.close()
            except sqlite3.Error:
                pass  # It was given up because of an error; there is nothing to save.

    def _forget(self) -> None:
        self._queues.clear()
        self._touched.clear()
        self._deleted.clear()
        self._seen_version = -1

    # A batch.

    def run(self, batch: Sequence[ops.AnyOp]) -> tuple[list[Result], dict[str, Token]]:
        """Execute a batch in one transaction. Gives the results, and the queues that stirred.

        Raises:
            BackendUnavailable: nothing was done.
            OutcomeUnknown: everything was done, or nothing.
        """
        try:
            return self._run(batch, None)
        except StorageFull as full:
            # Settlements need little room: perhaps they fit without the publishes, or where the
            # log has stood.
            if all(isinstance(op, ops.Publish) for op in batch):
                raise
            self._cut_log()
            return self._run(batch, full)

    def _run(
        self, batch: Sequence[ops.AnyOp], refusal: StorageFull | None
    ) -> tuple[list[Result], dict[str, Token]]:
        if self._connection is None:
            self.open()
        connection, lock = self._connection, self._lock
        assert connection is not None
        assert lock is not None
        lock.acquire(self._patience)
        try:
            self._begin(connection)
            self._refusal = refusal
            self._room_checked = refusal is not None
            try:
                results = self._work(connection, batch)
                stirred = self._save()
            except BaseException as error:
                self._roll_back(connection)
                if isinstance(error, sqlite3.Error):
                    raise self._failure(error) from error
                raise
            self._finish(connection)
        finally:
            lock.release()
        return results, stirred

    def _cut_log(self) -> None:
        """Move what is in the log into the database, and give the log's room back, if possible."""
        connection, lock = self._connection, self._lock
        if connection is None or lock is None:
            return
        lock.acquire(self._patience)
        try:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error:
            pass  # The next attempt to write will say what is wrong.
        finally:
            lock.release()

    def _begin(self, connection: sqlite3.Connection) -> None:
        """Start a transaction, wait for foreign writers, and see what others have changed."""
        end = time.monotonic() + self._patience
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                version = connection.execute("PRAGMA data_version").fetchone()[0]
                break
            except sqlite3.Error as error:
                self._roll_back(connection)
                if _primary(error) not in (_BUSY, _LOCKED) or time.monotonic() >= end:
                    raise self._failure(error) from error
                time.sleep(0.005)
        if version != self._seen_version:
            self._forget()
            self._seen_version = version
        self._now = max(self._now, self._clock.now())

    def _finish(self, connection: sqlite3.Connection) -> None:
        try:
            self._commit(connection)
        except sqlite3.Error as error:
            self._roll_back(connection)
            if _primary(error) in (_IOERR, _CORRUPT):
                self._let_go()
                raise OutcomeUnknown(f"the commit failed: {error}") from error
            raise self._failure(error) from error

    def _commit(self, connection: sqlite3.Connection) -> None:
        connection.execute("COMMIT")

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        self._forget()
        try:
            # Some errors have ended the transaction already.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            self._let_go()

    def _failure(self, error: sqlite3.Error) -> BackendUnavailable:
        """What to tell of an error after which nothing was done."""
        if _primary(error) in (_IOERR, _CORRUPT, _NOTADB):
            self._let_go()
        return _refused(error, self.path)

    def _check_room(self) -> None:
        """See, once in a batch, whether publishes have to be refused."""
        if self._room_checked or not self._min_free:
            return
        self._room_checked = True
        free = files.free_bytes(self._folder)
        if free < self._min_free:
            self._refusal = StorageFull(
                f"{free} bytes are free in {self._folder} and {self._min_free} are kept"
                " in reserve, so that what is there can still be settled"
            )

    # The operations.

    def _work(self, connection: sqlite3.Connection, batch: Sequence[Any]) -> list[Result]:
        results: list[Result] = [None] * len(batch)
        groups: _Groups = {}
        for place, op in enumerate(batch):
            slot = _SLOTS.get(type(op))
            if slot is not None:
                group = groups.get(op.queue)
                if group is None:
                    group = groups[op.queue] = ([], [], [])
                group[slot].append(place)
                continue
            for name in [op.queue] if isinstance(op, ops.Op) else list(groups):
                if name in groups:
                    self._group(connection, name, groups.pop(name), batch, results)
            try:
                results[place] = self._single(connection, op)
            except SupersoniqError as error:
                results[place] = error
        for name, group in groups.items():
            self._group(connection, name, group, batch, results)
        return results

    def _group(
        self,
        connection: sqlite3.Connection,
        name: str,
        group: tuple[list[int], list[int], list[int]],
        batch: Sequence[Any],
        results: list[Result],
    ) -> None:
        """Carry out settlements, publishes and takes of one queue."""
        try:
            queue = self._queue(connection, name)
            self._grouped(connection, name, queue, group, batch, results)
        except SupersoniqError as error:
            # The queue cannot be loaded or made: the others are not touched by that.
            for place in (*group[0], *group[1], *group[2]):
                results[place] = type(error)(**error.data)

    def _grouped(
        self,
        connection: sqlite3.Connection,
        name: str,
        queue: StoredQueue | None,
        group: tuple[list[int], list[int], list[int]],
        batch: Sequence[Any],
        results: list[Result],
    ) -> None:
        settles, publishes, takes = group
        now = self._now
        if settles:
            if queue is None:
                for place in settles:
                    results[place] = [
                        LeaseLost("its queue is gone") for _ in batch[place].settlements
                    ]
            else:
                queue.tick(now)
                answers = settle(queue, [batch[place] for place in settles], now)
                for place, answer in zip(settles, answers, strict=True):
                    results[place] = answer
        if publishes:
            self._publish(connection, name, publishes, batch, results)
        if takes:
            queue = self._queue(connection, name)
            if queue is None:
                for place in takes:
                    results[place] = ops.Taken([])
            else:
                queue.tick(now)
                taken = take(queue, [batch[place] for place in takes], now)
                for place, given in zip(takes, taken, strict=True):
                    results[place] = given

    def _publish(
        self,
        connection: sqlite3.Connection,
        name: str,
        places: list[int],
        batch: Sequence[Any],
        results: list[Result],
    ) -> None:
        self._check_room()
        if self._refusal is not None:
            for place in places:
                # Each caller gets an error of its own: a shared one would gather all tracebacks.
                results[place] = StorageFull(self._refusal.problem)
            return
        queue = self._queue(connection, name)
        made = queue is None
        if queue is None:
            queue = self._make(connection, name)
        queue.tick(self._now)
        publishing = Publishing(queue, self._now)
        if len(places) > 1 and not made:
            answers = publishing.publish_plain([batch[place].entries for place in places])
            if answers is not None:
                for place, published in zip(places, answers, strict=True):
                    results[place] = published
                places = []
        for place in places:
            try:
                results[place] = publishing.publish(batch[place].entries)
                made = False
            except SupersoniqError as error:
                results[place] = error
        publishing.flush()
        if made:
            self._drop(queue)  # Nobody's publish was taken: the queue was never there.

    def _single(self, connection: sqlite3.Connection, op: ops.AnyOp) -> Any:
        if isinstance(op, ops.Queues):
            return [name for (name,) in connection.execute("SELECT name FROM queues ORDER BY name")]
        queue = self._queue(connection, op.queue)
        if isinstance(op, ops.Configure):
            return self._configure(connection, queue, op)
        if queue is None:
            raise QueueNotFound(op.queue)
        if isinstance(op, ops.Describe):
            return queue.policy
        if isinstance(op, ops.Delete):
            self._drop(queue)
            self._deleted[op.queue] = GONE
            return None
        queue.tick(self._now)
        return _MEANING[type(op)](queue, op, self._now)

    def _configure(
        self, connection: sqlite3.Connection, queue: StoredQueue | None, op: ops.Configure
    ) -> Any:
        if queue is not None:
            queue.tick(self._now)
            return queue.configure(op.changes)
        made = self._make(connection, op.queue)
        try:
            return made.configure(op.changes)
        except SupersoniqError:
            self._drop(made)
            raise

    # The queues.

    def _queue(self, connection: sqlite3.Connection, name: str) -> StoredQueue | None:
        """The queue of that name, from the cache or its row."""
        self._touched.add(name)
        try:
            return self._queues[name]
        except KeyError:
            found = StoredQueue.load(connection, name, self._seal_of, self._durability)
            self._queues[name] = found
            return found

    def _make(self, connection: sqlite3.Connection, name: str) -> StoredQueue:
        made = StoredQueue.make(connection, name, self._seal_of, self._now, self._durability)
        if made.number > MAX_QUEUES:
            made.shelves.clear()
            raise StorageFull(f"the file has had {MAX_QUEUES} queues, which is all it can")
        self._queues[name] = made
        return made

    def _drop(self, queue: StoredQueue) -> None:
        queue.shelves.clear()
        self._queues[queue.name] = None

    def _seal_of(self, number: int) -> Seal:
        # One object for each queue, for as long as the backend lives: leases are compared by it.
        seal = self._seals.get(number)
        if seal is None:
            seal = self._seals[number] = Seal(self._secret, number)
        return seal

    def _save(self) -> dict[str, Token]:
        stirred = dict(self._deleted)
        self._deleted.clear()
        for name in self._touched:
            queue = self._queues.get(name)
            if queue is not None and queue.dirty:
                queue.save()
                if queue.stirs != queue.told:
                    queue.told = queue.stirs
                    stirred[name] = (queue.number, queue.stirs)
        self._touched.clear()
        return stirred


_SLOTS: dict[type[Any], int] = {ops.Settle: 0, ops.Publish: 1, ops.Take: 2}
_MEANING: dict[type[Any], Callable[[StoredQueue, Any, int], Any]] = {
    ops.Look: lambda q, op, now: q.look(op.id),
    ops.Browse: lambda q, op, now: q.browse(op.status, op.after, op.limit),
    ops.Cancel: lambda q, op, now: q.cancel(op.id, now),
    ops.Redrive: lambda q, op, now: q.redrive(op.ids, op.limit, now),
    ops.Purge: lambda q, op, now: q.purge(op.status, now),
    ops.Pause: lambda q, op, now: q.pause(op.until, op.duration, now),
    ops.Resume: lambda q, op, now: q.resume(),
    ops.Stats: lambda q, op, now: q.stats(),
    ops.Explain: lambda q, op, now: q.explain(op.id, now),
    ops.Follow: lambda q, op, now: q.follow(op.since, op.kinds, op.limit, now),
}

_BUSY, _LOCKED, _IOERR, _CORRUPT = 5, 6, 10, 11
_FULL, _CANTOPEN, _NOTADB, _READONLY = 13, 14, 26, 8


def _primary(error: sqlite3.Error) -> int:
    """SQLite's primary result code."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _refused(error: sqlite3.Error, path: str) -> BackendUnavailable:
    code = _primary(error)
    if code == _FULL:
        return StorageFull(f"the disk of {path} is full")
    if code == _NOTADB:
        return IncompatibleStore(f"{path} is not an SQLite database")
    if code in (_BUSY, _LOCKED):
        return BackendUnavailable(f"another program is writing to {path}: {error}")
    if code == _CORRUPT:
        return BackendUnavailable(f"{path} is damaged: {error}; restore it, or dump what is left")
    if code == _READONLY:
        return BackendUnavailable(f"{path} is read-only: {error}")
    if code == _CANTOPEN:
        return BackendUnavailable(f"{path} cannot be opened: {error}")
    return BackendUnavailable(f"{path}: {type(error).__name__}: {error}")
