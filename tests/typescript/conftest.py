"""The TypeScript client, with its compiler, and as the package that users get."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.turns import by_turns
from tests.typescript.compiling import CLIENT, run


@pytest.fixture(scope="session")
def client() -> Path:
    """Its folder, with what npm installs there."""
    if shutil.which("npm") is None:
        pytest.skip("no Node.js with npm here; make test-tools installs it")
    with by_turns("npm"):
        if not (CLIENT / "node_modules").exists():
            command = ["npm", "install", "--no-audit", "--no-fund"]
            if subprocess.run(command, cwd=CLIENT, capture_output=True).returncode:
                pytest.skip("npm cannot install the TypeScript compiler here")
    return CLIENT


@pytest.fixture(scope="session")
def package(client: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is published of it: its description, and what the compiler makes."""
    folder = tmp_path_factory.mktemp("project") / "node_modules" / "supersoniq"
    run(client, "npx", "tsc", "-p", "tsconfig.build.json", "--outDir", str(folder / "dist"))
    shutil.copy(client / "package.json", folder)
    return folder
