"""The TypeScript client: its own tests, in Node, against real servers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import supersoniq
from tests.turns import by_turns

CLIENT = Path(__file__).parents[2] / "clients" / "typescript"


@pytest.fixture(scope="session")
def client() -> Path:
    if shutil.which("npm") is None:
        pytest.skip("no Node.js with npm here; make test-tools installs it")
    with by_turns("npm"):
        if not (CLIENT / "node_modules").exists():
            command = ["npm", "install", "--no-audit", "--no-fund"]
            if subprocess.run(command, cwd=CLIENT, capture_output=True).returncode:
                pytest.skip("npm cannot install the TypeScript compiler here")
    return CLIENT


def run(client: Path, *command: str) -> str:
    program = f"{sys.executable} -m supersoniq"
    env = {**os.environ, "SUPERSONIQ": program}
    done = subprocess.run(
        command, cwd=client, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_in_node(client: Path) -> None:
    told = run(client, "npm", "test")
    assert "fail 0" in told
    assert "pass 0" not in told


def test_it_has_no_dependencies_and_builds(client: Path, tmp_path: Path) -> None:
    assert '"dependencies"' not in (client / "package.json").read_text()
    run(client, "npx", "tsc", "-p", "tsconfig.build.json", "--outDir", str(tmp_path))
    names = {path.name for path in tmp_path.iterdir()}
    assert {"index.js", "index.d.ts", "node.js", "node.d.ts"} <= names


def test_the_console_has_what_the_sources_give(client: Path, tmp_path: Path) -> None:
    copy = Path(supersoniq.__file__).parent / "adapters" / "console" / "static" / "client"
    run(client, "npx", "tsc", "-p", "tsconfig.console.json", "--outDir", str(tmp_path))
    made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_text() for path in copy.iterdir()}
    assert kept == made, "make console, and commit what it makes"
