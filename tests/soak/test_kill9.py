"""SIGKILL at random moments: nothing acknowledged is lost, and nothing acked comes back.

Publishers and consumers share one SQLite file. Again and again one of them, now and then all of
them, is killed in the middle of whatever it does, and replaced. In the end everything is drained,
and the history of all that was called and answered must be one that a correct queue can have.

``kill -9`` cannot tell whether anything was synced to the disk: that is ``test_powercut``.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from supersoniq.backends.sqlite import SqliteBackend
from supersoniq.core import ops
from supersoniq.core.ops import Outcome
from supersoniq.core.states import Status
from supersoniq.testing.history import check, read
from supersoniq.testing.recorder import Recorder
from tests.soak import workers
from tests.soak.conftest import scaled

ROOT = Path(__file__).parent.parent.parent
ROLES = ("publish", "publish", "consume", "consume")


class Nursery:
    """The program that forks workers, and the pipe with their history."""

    def __init__(self, path: Path) -> None:
        self.lines: list[str] = []
        read_end, write_end = os.pipe()
        self._program = subprocess.Popen(
            [sys.executable, "-m", "tests.soak.workers", str(path), str(write_end)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            pass_fds=[write_end],
        )  # fmt: skip
        os.close(write_end)
        self._reader = threading.Thread(target=self._read, args=(read_end,))
        self._reader.start()
        self._made = 0

    def _read(self, read_end: int) -> None:
        with os.fdopen(read_end) as stream:
            self.lines += stream

    def fork(self, role: str) -> int:
        """Start a worker and give its process id."""
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._made += 1
        self._program.stdin.write(f"{role} {role}{self._made}\n")
        self._program.stdin.flush()
        return int(self._program.stdout.readline())

    def close(self) -> list[str]:
        """End it, once every worker is dead, and give the history."""
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.close()
        self._program.wait(30)
        self._program.stdout.close()
        self._reader.join(30)
        return self.lines


def kill_again_and_again(path: Path, cycles: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    nursery = Nursery(path)
    alive = [(role, nursery.fork(role)) for role in ROLES]
    try:
        for cycle in range(cycles):
            time.sleep(0.004 + rng.random() * 0.06)
            doomed = list(alive) if cycle % 10 == 9 else [rng.choice(alive)]
            for role, worker in doomed:
                os.kill(worker, signal.SIGKILL)
                alive.remove((role, worker))
            alive += [(role, nursery.fork(role)) for role, _ in doomed]
    finally:
        for _, worker in alive:
            os.kill(worker, signal.SIGKILL)
    return nursery.close()


async def drain(path: Path) -> str:
    """Take and ack all that is left, and give the history of that."""
    history = path.with_suffix(".drain")
    backend = SqliteBackend(path)
    await backend.open()
    with history.open("w") as stream:
        recorder = Recorder(stream, "drain")
        end = time.monotonic() + 2 * workers.LEASE + 1
        while time.monotonic() < end:
            leases = await workers.take(backend, recorder, 20)
            for lease in leases:
                await workers.settle(backend, recorder, lease, Outcome.ACK)
            if not leases:
                await asyncio.sleep(0.05)
        left = {status: [] for status in Status}  # type: dict[Status, list[str]]
        after = None
        while page := await workers.do(backend, ops.Browse(workers.QUEUE, None, after, 1000)):
            assert isinstance(page, list)
            for message in page:
                left[message.status].append(message.id)
            after = int(page[-1].id.replace("-", ""), 16)
        assert not left[Status.READY]
        assert not left[Status.LEASED]
        assert not left[Status.SCHEDULED]
        recorder.final(ready=[], dead=left[Status.DEAD])
    await backend.close()
    return history.read_text()


def survives(path: Path, cycles: int, seed: int) -> None:
    lines = kill_again_and_again(path, cycles, seed)
    lines += asyncio.run(drain(path)).splitlines()
    path.with_suffix(".history").write_text("\n".join(line.strip() for line in lines))
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
    findings = check(lines, slack=20)
    calls = read(lines)
    done = sum(call.outcome == "ok" for call in calls)
    cut = sum(call.outcome == "unknown" for call in calls)
    print(f"{cycles} cycles of seed {seed}: {done} calls answered, {cut} cut short")
    assert findings == [], "\n".join(map(str, findings[:20]))
    assert done > cycles  # it was at work, not failing to start
    assert cut > cycles / 10


def test_a_few_kills(tmp_path: Path) -> None:
    survives(tmp_path / "q.db", 25, seed=1)


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_a_thousand_kills(tmp_path: Path) -> None:
    for part in range(10):
        survives(tmp_path / f"q{part}.db", scaled(100), seed=100 + part)
