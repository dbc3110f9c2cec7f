"""Every file that a power cut could have left behind, rebuilt from a log of system calls.

A worker runs under ``strace``, which writes down each write, truncation and sync of the database
and its log, and, in the same order, what the worker recorded as answered. From that the files can
be rebuilt as they were at any moment: what was synced is there for certain; of what was written
since, a disk may have kept nothing, all, any part in any order, or torn pieces of 512 bytes, a
sector. (The idea is ALICE's and dm-log-writes'.) Each such state is opened and compared with what
had been answered by then.

Assumed: that creating and deleting a file is durable at once, and that a sector is written whole or
not at all. The shared-memory file is no part of what lasts.
"""

from __future__ import annotations

import json
import random
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Cut", "Expected", "Verdict", "judge", "states", "trace", "why_not"]

ROOT = Path(__file__).parent.parent.parent
CALLS = "pwrite64,write,fsync,fdatasync,ftruncate,unlink"
SECTOR = 512
_LINE = re.compile(r"^(\d+) +(\w+)\((.*)$")
_RESUMED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>")
_FILE = re.compile(r'^\d+<([^>]*)>(?:, "([^"]*)"(?:\.\.\.)?)?(?:, (\d+))?(?:, (\d+))?')


def why_not() -> str | None:
    """Why power cuts cannot be tested here, or ``None``."""
    try:
        subprocess.run(["strace", "-o", "/dev/null", "true"], check=True, capture_output=True)
    except FileNotFoundError:
        return "strace is not installed; 'make soak-tools' does that"
    except subprocess.CalledProcessError as error:
        return f"strace may not trace here: {error.stderr.decode()[:100]}"
    return None


def trace(folder: Path, synchronous: str, calls: int, seed: int) -> Path:
    """Run the worker under strace and give the log."""
    log = folder / "strace.log"
    subprocess.run(
        [
            "strace", "-f", "-y", "-xx", "-s", "9000000", "-e", f"trace={CALLS}", "-o", str(log),
            sys.executable, "-m", "tests.soak.powercut_worker",
            str(folder), synchronous, str(calls), str(seed),
        ],
        check=True, cwd=ROOT,
    )  # fmt: skip
    return log


@dataclass
class Event:
    """One system call: of the ``db``, its ``wal``, or a line of ``history``."""

    kind: str
    file: str
    offset: int = 0
    data: bytes = b""


def events(log: Path) -> Iterator[Event]:
    """The log's calls in their order. A sync counts from its return, all else from its call."""
    files = {"q.db": "db", "q.db-wal": "wal", "history": "history"}
    started: dict[str, Event] = {}
    with log.open() as lines:
        for line in lines:
            if resumed := _RESUMED.match(line):
                if (event := started.pop(resumed[1], None)) is not None:
                    yield event
                continue
            match = _LINE.match(line)
            event = None if match is None else _event(match[2], match[3], files)
            if match is None or event is None:
                continue
            if "unfinished" in line[-24:] and event.kind == "sync":
                started[match[1]] = event
            else:
                yield event


def _event(call: str, rest: str, files: dict[str, str]) -> Event | None:
    if call == "unlink":
        name = _bytes(rest.split('"')[1]).decode().rpartition("/")[2]
        return Event("unlink", files[name]) if name in files else None
    found = _FILE.match(rest)
    if found is None:
        return None
    name = _bytes(found[1]).decode(errors="replace").rpartition("/")[2]
    if name not in files:
        return None
    file = files[name]
    if call == "pwrite64":
        assert found[4] is not None, rest[-60:]
        return Event("write", file, int(found[4]), _bytes(found[2]))
    if call == "write" and file == "history":
        return Event("record", file, 0, _bytes(found[2]))
    if call == "ftruncate":
        return Event("truncate", file, int(rest.split(", ")[1].split(")")[0]))
    if call in ("fsync", "fdatasync"):
        return Event("sync", file)
    raise AssertionError(f"{call} of {name}: the replayer does not know it")


def _bytes(escaped: str) -> bytes:
    return bytes.fromhex(escaped.replace("\\x", ""))


@dataclass
class Expected:
    """What had been answered, and what had been begun, when the power went."""

    published: dict[str, None] = field(default_factory=dict)
    """Ids whose publish was answered."""
    acking: set[str] = field(default_factory=set)
    """Ids whose ack was begun: they may be there or not."""
    acked: set[str] = field(default_factory=set)
    """Ids whose ack was answered: they must be gone."""
    _asked: dict[int, dict[str, Any]] = field(default_factory=dict)

    def learn(self, lines: bytes) -> None:
        """Take in lines of history."""
        for line in lines.splitlines():
            entry = json.loads(line)
            if entry["phase"] == "invoke":
                self._asked[entry["n"]] = entry
                if entry["op"] == "ack":
                    self.acking.add(entry["id"])
            elif entry["phase"] == "ok":
                asked = self._asked[entry["n"]]
                if asked["op"] == "publish":
                    self.published.update(dict.fromkeys(entry["ids"]))
                elif asked["op"] == "ack":
                    self.acked.add(asked["id"])


@dataclass
class Cut:
    """One state that a power cut could leave."""

    db: bytes
    wal: bytes
    expected: Expected
    how: str
    checkpointing: bool
    """Whether the log was just being copied into the database."""


def states(log: Path, variants: int, seed: int) -> Iterator[Cut]:
    """Cut the power after every system call, in two plain and ``variants`` pairs of random ways.

    ``Cut.expected`` is shared and goes on changing: judge one before you ask for the next.
    """
    rng = random.Random(seed)
    kept = {"db": bytearray(), "wal": bytearray()}
    pending: dict[str, list[Event]] = {"db": [], "wal": []}
    expected = Expected()
    for event in events(log):
        if event.kind == "record":
            expected.learn(event.data)
            continue
        file = event.file
        if event.kind == "sync":
            for old in pending[file]:
                _apply(kept[file], old)
            pending[file].clear()
        elif event.kind == "unlink":
            kept[file].clear()
            pending[file].clear()
        else:
            pending[file].append(event)
        if not expected.published:
            continue  # the file is still being made
        hows = ["nothing kept"]
        if pending["db"] or pending["wal"]:
            hows += ["all kept"] + ["some kept", "torn"] * variants
        for how in hows:
            db, wal = (_left(kept[name], pending[name], how, rng) for name in ("db", "wal"))
            yield Cut(db, wal, expected, how, bool(pending["db"]))


def _left(kept: bytearray, pending: list[Event], how: str, rng: random.Random) -> bytes:
    """What a disk holds of a file: what was synced, and some of what was not."""
    image = bytearray(kept)
    if how == "all kept":
        chosen = pending
    elif how == "some kept":
        chosen = [event for event in pending if rng.random() < 0.5]
        rng.shuffle(chosen)
    elif how == "torn":
        pieces = [piece for event in pending for piece in _torn(event)]
        chosen = [piece for piece in pieces if rng.random() < 0.7]
    else:
        chosen = []
    for event in chosen:
        _apply(image, event)
    return bytes(image)


def _torn(event: Event) -> Iterator[Event]:
    """A write as its sectors."""
    if event.kind != "write":
        yield event
        return
    start, end = event.offset, event.offset + len(event.data)
    while start < end:
        stop = min((start // SECTOR + 1) * SECTOR, end)
        data = event.data[start - event.offset : stop - event.offset]
        yield Event("write", event.file, start, data)
        start = stop


def _apply(image: bytearray, event: Event) -> None:
    if event.kind == "truncate":
        del image[event.offset :]
        image.extend(bytes(event.offset - len(image)))
        return
    end = event.offset + len(event.data)
    if len(image) < event.offset:
        image.extend(bytes(event.offset - len(image)))
    image[event.offset : end] = event.data


@dataclass
class Verdict:
    """What is wrong with one state."""

    lost: int = 0
    resurrected: int = 0
    corrupt: str = ""


def judge(cut: Cut, folder: Path) -> Verdict:
    """Open the state with SQLite and compare its messages with what had been answered."""
    path = folder / "q.db"
    lay_out(cut, folder)
    connection = sqlite3.connect(path)
    try:
        check = connection.execute("PRAGMA integrity_check").fetchall()
        # The backend's own tables: opening it for each state would take twenty times as long. It
        # is opened for a sample of them.
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
        if not tables:  # not even the schema was kept: a sound and empty file
            return compare(cut.expected, set())
        sequences = {row[0] % 2**40 for row in connection.execute("SELECT id FROM messages")}
        placed = [
            row[0] % 2**40
            for table in ("leased", "parked")
            for row in connection.execute(f"SELECT id FROM {table}")
        ]
        placed += [row[0] for row in connection.execute("SELECT sequence FROM ready")]
    except sqlite3.DatabaseError as error:
        return Verdict(corrupt=str(error))
    finally:
        connection.close()
    verdict = compare(cut.expected, sequences)
    if check != [("ok",)]:
        verdict.corrupt = str(check[:3])
    elif sorted(placed) != sorted(sequences):
        verdict.corrupt = "messages without a place, or places without a message"
    return verdict


def lay_out(cut: Cut, folder: Path) -> None:
    """Write a state's files."""
    for old in folder.iterdir():
        if old.is_file():
            old.unlink()
    (folder / "q.db").write_bytes(cut.db)
    if cut.wal:
        (folder / "q.db-wal").write_bytes(cut.wal)


def compare(expected: Expected, sequences: set[int]) -> Verdict:
    """Messages that should be there and are not, and the other way round."""

    def sequence(id: str) -> int:
        return int(id.replace("-", ""), 16) % 2**40

    due = {sequence(id) for id in expected.published if id not in expected.acking}
    gone = {sequence(id) for id in expected.acked}
    return Verdict(lost=len(due - sequences), resurrected=len(gone & sequences))
