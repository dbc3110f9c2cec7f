"""Programs that are run in the client's folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CLIENT = Path(__file__).parents[2] / "clients" / "typescript"


def run(folder: Path, *command: str) -> str:
    """Run it there; gives what it says. It must end well."""
    env = {**os.environ, "SUPERSONIQ": f"{sys.executable} -m supersoniq"}
    done = subprocess.run(
        command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout
    return done.stdout
