"""One writer at a time, among all processes: a lock file beside the database.

SQLite has write locks of its own, and they would do, but for two things.

**The WAL-reset bug** (sqlite.org/wal.html#walresetbug; 3.7.0 to 3.51.2, so nearly every Python
there is): when one connection writes and starts the log anew at the very moment at which another
one checkpoints, the file can be corrupted. SQLite's locks allow those two at once. Here whoever
writes, checkpoints, opens or closes the database holds this lock, and the checkpoints of
``wal_autocheckpoint`` happen inside COMMIT, so within it. Connections without the lock only
read, with ``query_only`` on and ``wal_autocheckpoint`` at 0. So the two never meet, whatever the
version. What stays open is a foreign program (the ``sqlite3`` shell) that writes to the file
meanwhile.

**Waiting**: SQLite's busy handler sleeps up to 100 ms between two looks. Here it is 2 ms.

The lock is a ``flock`` on a file that nothing else is done with. It ends with its holder,
however that dies. Forked children drop the descriptor at once, or a lock could outlive its
holder in them. The database itself is never opened by hand: closing any descriptor of it would
end all of the process's POSIX locks on it, SQLite's own among them.
"""

from __future__ import annotations

import errno
import fcntl
import os
import random
import time
import weakref

from supersoniq.core.errors import BackendUnavailable

__all__ = ["WriteLock"]

_SHORTEST, _LONGEST = 0.000_05, 0.002
"""Seconds between two looks at a lock that another process holds."""


class WriteLock:
    """The right to write to a database.

    Args:
        path: of the lock file. Made if need be, and never removed: two could then hold "it".

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        _open_locks.add(self)

    def acquire(self, patience: float) -> None:
        """Wait for it and take it.

        Args:
            patience: seconds to wait at most.

        Raises:
            BackendUnavailable: others held it all that time, or the file system has no locks.
        """
        if self._try():
            return
        end = time.monotonic() + patience
        pause = _SHORTEST
        while not self._try():
            if time.monotonic() >= end:
                raise BackendUnavailable(
                    f"another process has been writing for {patience:g} s: {self._path} is held"
                )
            # Uneven, so that a process that always comes at the same moment cannot starve others.
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, _LONGEST)

    def release(self) -> None:
        """Give it back."""
        if self._file >= 0:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def step_aside(self) -> None:
        """Wait, without the lock, for as long as it takes those who want it to look once."""
        time.sleep(_LONGEST * 1.5)

    def close(self) -> None:
        """Let go of the lock file. Closing twice is fine."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _try(self) -> bool:
        if self._file < 0:
            raise BackendUnavailable("the store was closed, or opened before a fork")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno == errno.EINTR:
                return False
            raise BackendUnavailable(f"{self._path} cannot be locked: {error}") from error
        return True


_open_locks: weakref.WeakSet[WriteLock] = weakref.WeakSet()


def _drop_in_child() -> None:
    for lock in list(_open_locks):
        lock.close()


os.register_at_fork(after_in_child=_drop_in_child)
