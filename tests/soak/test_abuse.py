"""Every attack at full scale on the real server: half an hour. ``benchmarks/ABUSE.md`` is of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from benchmarks.abuse.attacks import ATTACKS
from benchmarks.abuse.honest import beside
from benchmarks.abuse.serving import serving
from benchmarks.abuse.trial import Scale, fill, table, trials


@pytest.mark.soak
def test_every_attack_harms_nobody(tmp_path: Path) -> None:
    with serving(tmp_path) as served, beside(served.port) as honest:
        asyncio.run(fill(served.port, 200))
        results = list(trials(served, honest, ATTACKS, Scale(full=True)))
        assert served.alive()
    print(table(results))
    assert [(each.name, each.door, each.faults) for each in results if each.faults] == []
    assert len(results) == len(ATTACKS)
