"""What the file holds, and how an older file becomes a newer one.

The tables follow one idea: **a content is written once, what changes is small.** A message's
content and everything else about it that never changes is one row of ``messages``. Where it
stands in its life is another row, in the one table of its status:

- ``ready`` is the line itself: its primary key is the order of delivery, so taking the next hundred
  is reading, then cutting off, the head of one tree. It carries no content, so the head of a
  backlog of a million is as quick to read as that of a thousand;
- ``leased`` is found by id (to settle) and by deadline (to lapse);
- ``parked`` holds the rest, each with the instant ``at`` that it waits for: scheduled ones their
  time, done and dead ones the end of their retention.

The obvious other schema, one table with a status column and an index on it, rewrites the content
at every move and jumps about at every claim: a third of the speed at a million messages,
measured.

``expiries`` has a row for each scheduled or ready message that has a ttl: most have none, and pay
nothing. ``keys`` is the deduplication window, ``events`` what watchers may still read, and
``imported`` knows the ids of messages that came from other stores.

A message's key is one integer, the queue's number times 2**40 plus its sequence, so each queue's
messages stand together and in publish order. Numbers are never given out twice (AUTOINCREMENT).

Bytes that can rot into something undecodable are BLOBs, so that reading a rotten row is never
an error of the driver but a failed checksum.
"""

from __future__ import annotations

import secrets
import sqlite3

from supersoniq.core.errors import IncompatibleStore

__all__ = ["APPLICATION_ID", "MAX_QUEUES", "VERSION", "migrate"]

APPLICATION_ID = 0x536F6E51
"""``SonQ``: tells ``file`` and us that a database is ours."""
MAX_QUEUES = 2**23 - 1
"""Most queues that one file can ever have had: their numbers share 63 bits with the sequence."""

_FIRST = (
    "CREATE TABLE store (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    """CREATE TABLE queues (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE,
        policy BLOB NOT NULL,
        tally BLOB NOT NULL,
        duplicates INTEGER NOT NULL,
        stale INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        next INTEGER NOT NULL,
        paused_until INTEGER,
        stirs INTEGER NOT NULL,
        log_offset INTEGER NOT NULL,
        log_oldest INTEGER NOT NULL,
        log_count INTEGER NOT NULL,
        watches BLOB NOT NULL)""",
    # The content comes last: a long one spills over without the rest of the row.
    """CREATE TABLE messages (
        id INTEGER PRIMARY KEY,
        created_at INTEGER NOT NULL,
        priority INTEGER NOT NULL,
        recipient TEXT NOT NULL,
        expires_at INTEGER,
        details BLOB NOT NULL,
        checksum INTEGER NOT NULL,
        content BLOB NOT NULL)""",
    """CREATE TABLE ready (
        queue INTEGER NOT NULL,
        recipient TEXT NOT NULL,
        rank INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        available_at INTEGER NOT NULL,
        deliveries INTEGER NOT NULL,
        leases INTEGER NOT NULL,
        past BLOB,
        PRIMARY KEY (queue, recipient, rank, sequence)) WITHOUT ROWID""",
    """CREATE TABLE leased (
        id INTEGER PRIMARY KEY,
        queue INTEGER NOT NULL,
        deadline INTEGER NOT NULL,
        available_at INTEGER NOT NULL,
        deliveries INTEGER NOT NULL,
        leases INTEGER NOT NULL,
        past BLOB)""",
    "CREATE INDEX leased_by_deadline ON leased (queue, deadline)",
    """CREATE TABLE parked (
        id INTEGER PRIMARY KEY,
        queue INTEGER NOT NULL,
        status TEXT NOT NULL,
        at INTEGER NOT NULL,
        available_at INTEGER NOT NULL,
        deliveries INTEGER NOT NULL,
        leases INTEGER NOT NULL,
        past BLOB)""",
    "CREATE INDEX parked_by_instant ON parked (queue, status, at)",
    """CREATE TABLE expiries (
        queue INTEGER NOT NULL,
        at INTEGER NOT NULL,
        id INTEGER NOT NULL,
        PRIMARY KEY (queue, at, id)) WITHOUT ROWID""",
    """CREATE TABLE keys (
        queue INTEGER NOT NULL,
        key TEXT NOT NULL,
        number BLOB NOT NULL,
        digest BLOB NOT NULL,
        until INTEGER NOT NULL,
        PRIMARY KEY (queue, key)) WITHOUT ROWID""",
    "CREATE INDEX keys_by_end ON keys (queue, until)",
    # With a rowid: events carry contents, which are too long for the inner nodes of a key tree.
    """CREATE TABLE events (
        queue INTEGER NOT NULL,
        offset INTEGER NOT NULL,
        kind TEXT NOT NULL,
        at INTEGER NOT NULL,
        message BLOB NOT NULL)""",
    "CREATE UNIQUE INDEX events_by_offset ON events (queue, offset)",
)

# The log is bounded by its size, too. What it held is not worth carrying over: watchers are told.
_SIZED_LOG = (
    "ALTER TABLE queues ADD COLUMN log_size INTEGER NOT NULL DEFAULT 0",
    "UPDATE queues SET log_oldest = log_offset + 1, log_count = 0",
    "DROP TABLE events",
    """CREATE TABLE events (
        queue INTEGER NOT NULL,
        offset INTEGER NOT NULL,
        size INTEGER NOT NULL,
        kind TEXT NOT NULL,
        at INTEGER NOT NULL,
        message BLOB NOT NULL)""",
    "CREATE UNIQUE INDEX events_by_offset ON events (queue, offset)",
)

# Ids that were made by other stores, and where their messages stand here: see core/imports.py.
_IMPORTS = (
    """CREATE TABLE imported (
        queue INTEGER NOT NULL,
        origin BLOB NOT NULL,
        sequence INTEGER NOT NULL,
        until INTEGER NOT NULL,
        PRIMARY KEY (queue, origin)) WITHOUT ROWID""",
    "CREATE INDEX imported_by_end ON imported (queue, until)",
)

_STEPS: tuple[tuple[str, ...], ...] = (_FIRST, _SIZED_LOG, _IMPORTS)
"""The statements that lead from version n to n + 1. Only ever added to."""

VERSION = len(_STEPS)


def migrate(connection: sqlite3.Connection) -> bytes:
    """Bring the file to this version and give its secret. All of it or nothing.

    The caller holds the write lock, so nobody else is doing the same.

    Raises:
        IncompatibleStore: it is newer, or another program's.
        sqlite3.Error: as any statement may; the file is as it was.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _version(connection)
        for step in _STEPS[version:]:
            for statement in step:
                connection.execute(statement)
        if version < VERSION:
            # Both pragmas are part of the transaction. They take no parameters.
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        if version == 0:
            fresh = secrets.token_bytes(32)
            connection.execute("INSERT INTO store VALUES ('secret', ?)", (fresh,))
        row = connection.execute("SELECT value FROM store WHERE name = 'secret'").fetchone()
        if row is None or len(row[0]) != 32:
            raise IncompatibleStore("its secret is missing, so its receipts cannot be read")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return bytes(row[0])


def _version(connection: sqlite3.Connection) -> int:
    """The version of the file's layout, 0 for an empty file."""
    owner = _number(connection, "PRAGMA application_id")
    version = _number(connection, "PRAGMA user_version")
    if owner != APPLICATION_ID:
        tables = _number(connection, "SELECT count(*) FROM sqlite_master")
        if owner or version or tables:
            raise IncompatibleStore("the file is an SQLite database, but not one of SupersoniQ's")
        return 0
    if version > VERSION:
        raise IncompatibleStore(
            f"its layout is version {version} and this SupersoniQ knows {VERSION}; upgrade it"
        )
    return version


def _number(connection: sqlite3.Connection, query: str) -> int:
    return int(connection.execute(query).fetchone()[0])
