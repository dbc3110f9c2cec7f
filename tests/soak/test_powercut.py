"""Power cuts: at ``synchronous=full`` nothing acknowledged is lost, and at ``normal`` it is.

The second half is the test of the first: with the syncs left out, the same replay must find losses.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections import Counter
from pathlib import Path

import pytest

from supersoniq.backends.sqlite import SqliteBackend
from supersoniq.core import ops
from supersoniq.core.errors import QueueNotFound
from tests.soak import powercut, workers
from tests.soak.conftest import scaled

WHY_NOT = powercut.why_not()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))

SAMPLE = 100
"""Of so many states one is also opened with the backend itself."""


async def through_the_backend(cut: powercut.Cut, folder: Path) -> powercut.Verdict:
    powercut.lay_out(cut, folder)
    backend = SqliteBackend(folder / "q.db")
    await backend.open()
    sequences: set[int] = set()
    after = None
    try:
        while page := await workers.do(backend, ops.Browse(workers.QUEUE, None, after, 1000)):
            assert isinstance(page, list)
            after = int(page[-1].id.replace("-", ""), 16)
            sequences |= {int(message.id.replace("-", ""), 16) % 2**40 for message in page}
    except QueueNotFound:
        pass  # lost with all it held
    finally:
        await backend.close()
    return powercut.compare(cut.expected, sequences)


def cut(tmp_path: Path, synchronous: str, calls: int, variants: int, most: int) -> Counter[str]:
    """Run, cut at every call, and count the states and what was wrong with them."""
    log = powercut.trace(tmp_path, synchronous, calls, seed=calls)
    # In memory where there is such a place: here only the worker's own syncs count.
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=memory) as lay:
        return cut_everywhere(log, Path(lay), synchronous, variants, most)


def cut_everywhere(
    log: Path, lay: Path, synchronous: str, variants: int, most: int
) -> Counter[str]:
    counts: Counter[str] = Counter()
    for state in powercut.states(log, variants, seed=1):
        verdict = powercut.judge(state, lay)
        if counts["states"] % SAMPLE == 0 and not verdict.corrupt:
            again = asyncio.run(through_the_backend(state, lay))
            assert (again.lost, again.resurrected) == (verdict.lost, verdict.resurrected)
            counts["through the backend"] += 1
        counts["states"] += 1
        counts[state.how] += 1
        counts["amid a checkpoint"] += state.checkpointing
        counts["lost"] += verdict.lost > 0
        counts["resurrected"] += verdict.resurrected > 0
        counts["corrupt"] += bool(verdict.corrupt)
        if counts["states"] >= most:
            break
    print(synchronous, dict(counts))
    return counts


def test_a_few_power_cuts(tmp_path: Path) -> None:
    counts = cut(tmp_path, "full", calls=30, variants=1, most=1200)
    assert counts["states"] > 500
    assert (counts["lost"], counts["resurrected"], counts["corrupt"]) == (0, 0, 0)


def test_a_few_power_cuts_without_syncs_are_noticed(tmp_path: Path) -> None:
    counts = cut(tmp_path, "normal", calls=30, variants=1, most=600)
    assert counts["lost"] > 50
    assert counts["corrupt"] == 0


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_power_cuts(tmp_path: Path) -> None:
    counts: Counter[str] = Counter()
    wanted = scaled(20_000)
    for part in range(100):
        folder = tmp_path / str(part)
        folder.mkdir()
        # Long enough that the log is checkpointed and begun anew on the way.
        counts += cut(folder, "full", calls=300 + part, variants=1, most=wanted)
        if counts["states"] >= wanted:
            break
    assert counts["states"] >= wanted
    assert counts["amid a checkpoint"] > 50 or wanted < 20_000
    assert (counts["lost"], counts["resurrected"], counts["corrupt"]) == (0, 0, 0)


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_power_cuts_without_syncs_are_noticed(tmp_path: Path) -> None:
    counts = cut(tmp_path, "normal", calls=400, variants=2, most=scaled(4_000))
    assert counts["lost"] > counts["states"] / 10
    assert counts["corrupt"] == 0
