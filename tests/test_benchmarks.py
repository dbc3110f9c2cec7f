"""The benchmarks still run. How fast anything is, is no matter of a test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_every_benchmark_runs(tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    command = [sys.executable, "benchmarks/run.py", "--tiny", "--rounds", "1", "--json", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    results = json.loads(out.read_text())["results"]
    assert set(results) == {
        "memory",
        "sqlite",
        "redis",
        "depth",
        "wakeup",
        "doors",
        "ws",
        "operating",
    }
    for row in (row for rows in results.values() for row in rows):
        assert row["durability"]
        if "is not installed" in row["note"]:
            assert not row["figures"]
            assert not row["others"]
            assert row["reached"] is None
        else:
            assert len(row["figures"]) == 1
            assert len(row["others"]) == bool(row["against"])
