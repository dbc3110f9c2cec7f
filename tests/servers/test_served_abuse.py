"""The real server under a taste of every attack; ``make soak`` has them whole, and more.

Not how long anybody waits is judged here, but that nobody is left waiting: see ``trial``.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from benchmarks.abuse.attacks import ATTACKS
from benchmarks.abuse.honest import beside
from benchmarks.abuse.serving import serving
from benchmarks.abuse.trial import Result, Scale, fill, trials

TASTE = Scale(full=False)
WORST = {"never reads 200 MiB", "rapid reset", "413 with the body still coming", "PING flood"}
SOCKETS = {"WebSocket: deflate bomb", "WebSocket: 1 GiB frame", "WebSocket: empty fragments"}


def told(results: list[Result]) -> list[str]:
    return [f"{each.name} ({each.door}): {fault}" for each in results for fault in each.faults]


@pytest.mark.alone
@pytest.mark.timeout(600)  # a dozen attacks, one after the other
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_the_worst_of_them_harm_nobody(tmp_path: Path) -> None:
    attacks = [each for each in ATTACKS if not each.patient and each.name in WORST | SOCKETS]
    with serving(tmp_path) as served, beside(served.port) as honest:
        asyncio.run(fill(served.port, 40))
        results = list(trials(served, honest, attacks, TASTE))
        assert served.alive()
    assert not told(results)
    assert len(results) == len(attacks) + 1
