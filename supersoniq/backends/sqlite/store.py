"""The store as the database thread sees it: one batch of operations is one transaction.

Where time has much to do first (``passing``), that takes transactions of its own before it.

Nothing here knows of an event loop. ``run`` is one synchronous function from BEGIN to COMMIT, so
no cancellation can land in between and leave a transaction open: the caller may go away, the
function does not. Everything of a batch becomes durable by one fsync.

Whatever SQLite raises is a failure of the whole batch: it is rolled back and every caller gets to
know which of the two kinds it is. Only a COMMIT that fails with an I/O error is unknown: the log
may hold the transaction without being synced. The connection is then given up, since after a
failed fsync the kernel's pages cannot be trusted, and the next batch opens another.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Sequence

from supersoniq.backends.sqlite import connection as files
from supersoniq.backends.sqlite.lock import WriteLock
from supersoniq.backends.sqlite.operations import Operations
from supersoniq.backends.sqlite.schema import migrate
from supersoniq.backends.sqlite.wake import Token
from supersoniq.clock import Clock
from supersoniq.core import ops
from supersoniq.core.errors import (
    BackendUnavailable,
    IncompatibleStore,
    OutcomeUnknown,
    StorageFull,
    SupersoniqError,
)
from supersoniq.core.ids import Seal
from supersoniq.core.messages import Durability
from supersoniq.port import Result

__all__ = ["Store"]


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
        self.max_queues: int | None = None
        """How many queues there may be; ``None``: any number."""
        self._connection: sqlite3.Connection | None = None
        self._lock: WriteLock | None = None
        self._secret = b""
        self._seals: dict[int, Seal] = {}
        self._operations: Operations | None = None
        self._seen_version = -1
        self._now = 0
        self._refusal: StorageFull | None = None
        self._untold: dict[str, Token] = {}

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
        except UnicodeDecodeError as error:
            self._let_go()
            raise _damaged(error, self.path) from error

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
        self._operations = Operations(
            made, self._seal_of, self._durability, self._no_room, lambda: self.max_queues
        )
        self._seen_version = -1

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
        self._operations = None
        if connection is not None:
            try:
                connection.close()
            except sqlite3.Error:
                pass  # It was given up because of an error; there is nothing to save.

    def _forget(self) -> None:
        if self._operations is not None:
            self._operations.forget()

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
        while (results := self._transact(batch, refusal)) is None:
            assert self._lock is not None
            self._lock.step_aside()
        stirred, self._untold = self._untold, {}
        return results, stirred

    def _transact(
        self, batch: Sequence[ops.AnyOp], refusal: StorageFull | None
    ) -> list[Result] | None:
        """One transaction: the batch, or a part of what time has to do first, which gives none."""
        if self._connection is None:
            self.open()
        connection, lock, operations = self._connection, self._lock, self._operations
        assert connection is not None
        assert lock is not None
        assert operations is not None
        lock.acquire(self._patience)
        try:
            self._begin(connection)
            operations.now = self._now
            self._refusal = refusal
            try:
                results = operations.carry_out(batch) if operations.catch_up(batch) else None
                stirred = operations.save()
            except BaseException as error:
                self._roll_back(connection)
                if isinstance(error, sqlite3.Error):
                    raise self._failure(error) from error
                if isinstance(error, TypeError | ValueError) and not isinstance(
                    error, SupersoniqError
                ):
                    # A number that is none, a text that is no text: rows have rotted.
                    raise _damaged(error, self.path) from error
                raise
            self._finish(connection)
        finally:
            lock.release()
        self._untold |= stirred
        return results

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

    def _no_room(self) -> StorageFull | None:
        """Why publishes have to be refused, if they have to."""
        if self._refusal is None and self._min_free:
            free = files.free_bytes(self._folder)
            if free < self._min_free:
                self._refusal = StorageFull(
                    f"{free} bytes are free in {self._folder} and {self._min_free} are kept"
                    " in reserve, so that what is there can still be settled"
                )
        return self._refusal

    def _seal_of(self, number: int) -> Seal:
        # One object for each queue, for as long as the backend lives: leases are compared by it.
        seal = self._seals.get(number)
        if seal is None:
            seal = self._seals[number] = Seal(self._secret, number)
        return seal


_BUSY, _LOCKED, _IOERR, _CORRUPT = 5, 6, 10, 11
_FULL, _CANTOPEN, _NOTADB, _READONLY = 13, 14, 26, 8


def _primary(error: sqlite3.Error) -> int:
    """SQLite's primary result code."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _damaged(error: Exception, path: str) -> BackendUnavailable:
    return BackendUnavailable(f"{path} is damaged: {error}; restore it, or dump what is left")


def _refused(error: sqlite3.Error, path: str) -> BackendUnavailable:
    code = _primary(error)
    if code == _FULL:
        return StorageFull(f"the disk of {path} is full")
    if code == _NOTADB:
        return IncompatibleStore(f"{path} is not an SQLite database")
    if code in (_BUSY, _LOCKED):
        return BackendUnavailable(f"another program is writing to {path}: {error}")
    if code == _CORRUPT:
        return _damaged(error, path)
    if code == _READONLY:
        return BackendUnavailable(f"{path} is read-only: {error}")
    if code == _CANTOPEN:
        return BackendUnavailable(f"{path} cannot be opened: {error}")
    return BackendUnavailable(f"{path}: {type(error).__name__}: {error}")
