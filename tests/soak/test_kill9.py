"""SIGKILL at random moments: nothing acknowledged is lost, and nothing acked comes back.

Publishers and consumers share one SQLite file. Again and again one of them, now and then all of
them, is killed in the middle of whatever it does, and replaced. In the end everything is drained,
and the history of all that was called and answered must be one that a correct queue can have.

``kill -9`` cannot tell whether anything was synced to the disk: that is ``test_powercut``.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from pathlib import Path

import pytest

from supersoniq.backends.sqlite import SqliteBackend
from supersoniq.testing.history import check, read
from supersoniq.testing.recorder import Recorder
from tests.soak import workers
from tests.soak.conftest import scaled
from tests.soak.nursery import Nursery

ROLES = ("publish", "publish", "consume", "consume")


def kill_again_and_again(path: Path, cycles: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    nursery = Nursery()
    url = f"sqlite:///{path}"
    alive = [nursery.fork(role, url) for role in ROLES]
    try:
        for cycle in range(cycles):
            time.sleep(0.004 + rng.random() * 0.06)
            doomed = list(alive) if cycle % 10 == 9 else [rng.choice(alive)]
            for worker in doomed:
                nursery.kill(worker)
                alive.remove(worker)
            alive += [nursery.fork(worker.role, url) for worker in doomed]
    finally:
        for worker in alive:
            nursery.kill(worker)
    return nursery.close()


async def drain(path: Path) -> str:
    """Take and ack all that is left, and give the history of that."""
    history = path.with_suffix(".drain")
    backend = SqliteBackend(path)
    await backend.open()
    with history.open("w") as stream:
        await workers.drain(backend, Recorder(stream, "drain"))
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
