"""Tests side by side, and those that must have the machine to themselves.

A test of a queue waits most of its time, so ``make test`` runs several at once (pytest-xdist). A
few judge how a server shares the machine between attackers and others, and other tests are not
meant to be among them: they are marked ``alone``. Each process takes turns by two locked files. Who
holds the room shared is one of many, and who holds it exclusively is alone; one passes the gate to
get there, and who wants to be alone keeps the gate until it is over, or it would wait for ever.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

__all__ = ["by_turns", "share", "turn"]

FOLDER = "TESTS_FOLDER"
"""Not with the prefix of settings: a server that a test starts would refuse it."""


@contextmanager
def share() -> Iterator[None]:
    """Around all tests, in the process that starts the others: where they have their locks."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ[FOLDER] = folder
        yield
        del os.environ[FOLDER]


@contextmanager
def by_turns(name: str, how: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Hold a lock that the processes of one run of tests share; in a run of one process, none."""
    folder = os.environ.get(FOLDER)
    if folder is None:
        yield
        return
    file = _file(Path(folder) / name)
    fcntl.flock(file, how)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


@contextmanager
def turn(*, alone: bool) -> Iterator[None]:
    """A test's time, beside others or alone."""
    if alone:
        with by_turns("gate"), by_turns("room"):
            yield
        return
    with by_turns("gate"):
        room = by_turns("room", fcntl.LOCK_SH)
        room.__enter__()
    try:
        yield
    finally:
        room.__exit__(None, None, None)


@cache
def _file(path: Path) -> int:
    """A file, of this process's own opening, as a lock is of an opening."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
