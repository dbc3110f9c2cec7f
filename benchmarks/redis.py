"""The Redis backend beside job queues that people use, on one server that keeps nothing on disk.

Everybody publishes jobs that do nothing and works them off: 50 at a time, or as many as the peer
can (``benchmarks/jobs``, where each says what it does). They take turns, each in a process of its
own and on an emptied server. The clock of ours runs until the last acknowledgement, that of the
others until the last job has run. Batches of 100 stand beside what ``redis-benchmark`` reaches
with 100 commands in one write, which is as fast as the server can be.
"""

from __future__ import annotations

import gc
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks import processes
from benchmarks.harness import CONTENT, ROOT, Case, Goal, Plan, Row, absent, compare
from benchmarks.processes import Redis

CONCURRENCY = 50
BATCH = 100
OURS = [sys.executable, "-m", "benchmarks.jobs.ours"]
PEERS = Path(sys.prefix) / "peers" / "bin" / "python"
"""An environment of their own: arq and taskiq-redis want an older redis-py than ours."""
UNIT = "jobs/s"
KEPT = "memory"


class Peer(NamedTuple):
    """Somebody else's queue."""

    name: str
    command: list[str]
    jobs: int
    """Jobs in a round: a second or two."""
    goal: float | None = None
    more: tuple[str, ...] = ()


def _python(name: str) -> list[str]:
    return [str(PEERS), "-m", f"benchmarks.jobs.{name}"]


ARQ, NODE = _python("arq"), ["node", str(ROOT / "benchmarks/jobs/bullmq/main.mjs")]
ALL = (
    Peer("arq", ARQ, 1000, 10),
    Peer("arq, polling without a pause", ARQ, 2000, 10, ("0.001",)),
    Peer("saq", _python("saq"), 2000, 5),
    Peer("rq", _python("rq"), 1000, 20),
    Peer("dramatiq", _python("dramatiq"), 5000),
    Peer("taskiq", _python("taskiq"), 2000),
    Peer("BullMQ", NODE, 20_000, 1),
)


def rows(plan: Plan) -> Iterator[Row]:
    """The results of this subject."""
    with processes.redis() as server:
        if server is None:
            yield absent(Row("Redis", KEPT, UNIT, "SupersoniQ", []), "redis-server")
            return
        yield from _beside_peers(plan, server)
        yield from _batches(plan, server)


def _beside_peers(plan: Plan, server: Redis) -> Iterator[Row]:
    ours: dict[str, list[float]] = {"consume": [], "publish": []}
    theirs: dict[str, dict[str, list[float]]] = {}
    versions: dict[str, str] = {}
    for peer in ALL:
        if (first := _run(server, peer.command, 20, *peer.more)) is not None:
            versions[peer.name] = str(first["version"])
            theirs[peer.name] = {"consume": [], "publish": []}
    own = Peer("SupersoniQ", OURS, 20_000)
    _run(server, own.command, 20)
    turns = [(own, ours), *((peer, theirs[peer.name]) for peer in ALL if peer.name in theirs)]
    for turn in range(plan.rounds):
        for peer, figures in turns if turn % 2 == 0 else reversed(turns):
            done = _run(server, peer.command, peer.jobs // plan.pick(1, 2, 50), *peer.more)
            assert done is not None
            for part, list_ in figures.items():
                list_.append(float(done[part]))
    for part, word in (("consume", "no-op consumer"), ("publish", "its publisher")):
        subject = f"{word}, {CONCURRENCY} at a time"
        yield Row(subject, KEPT, UNIT, "SupersoniQ", ours[part], note=f"Redis {server.version}")
        for peer in ALL:
            row = Row(subject, KEPT, UNIT, "SupersoniQ", [], peer.name)
            if peer.goal is not None and part == "consume":
                row.goal = Goal(peer.goal)
            if peer.name not in theirs:
                yield absent(row, peer.name)
                continue
            row.figures, row.others = ours[part], theirs[peer.name][part]
            row.note = versions[peer.name]
            yield row


def _batches(plan: Plan, server: Redis) -> Iterator[Row]:
    count = plan.pick(100_000, 20_000, 400)
    program = shutil.which("redis-benchmark")

    def ours(part: str) -> Callable[[], float]:
        def measure() -> float:
            done = _run(server, OURS, count, str(BATCH))
            assert done is not None
            return float(done[part])

        return measure

    def pushes() -> float:
        server.empty()
        command = [
            str(program), "-p", str(server.port), "-t", "lpush", "-P", str(BATCH),
            "-d", str(len(CONTENT)), "-n", str(5 * count), "--csv",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return float(done.stdout.splitlines()[-1].split(",")[1].strip('"'))

    other = None if program is None else Case(f"redis-benchmark LPUSH -P {BATCH}", pushes)
    for word, part in (("publish_many", "publish"), ("get_many and ack_many", "consume")):
        row = Row(f"{word} of {BATCH}", KEPT, "messages/s", "SupersoniQ", [])
        if other is None:
            yield absent(row, "redis-benchmark")
        else:
            yield compare(plan, row, Case("SupersoniQ", ours(part)), other)


def _run(server: Redis, command: list[str], jobs: int, *more: str) -> dict[str, str | float] | None:
    """One round of somebody; ``None`` if that is not installed."""
    server.empty()
    gc.collect()
    try:
        done = subprocess.run(
            [*command, server.url, str(jobs), str(CONCURRENCY), *more],
            cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        return None
    if done.returncode:
        if any(word in done.stderr for word in ("ModuleNotFoundError", "ERR_MODULE_NOT_FOUND")):
            return None
        raise RuntimeError(f"{command}: {done.stderr}")
    figures: dict[str, str | float] = json.loads(done.stdout.splitlines()[-1])
    return figures
