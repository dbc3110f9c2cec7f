"""The TypeScript client: its own tests, in Node, against real servers."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import pytest

import supersoniq
from tests.typescript.compiling import CLIENT, run

pytestmark = pytest.mark.timeout(600)
"""The first one installs the compiler, each compiles, and one starts a dozen servers."""


def test_in_node(client: Path) -> None:
    told = run(client, "npm", "test")
    assert "fail 0" in told
    assert "pass 0" not in told


def test_it_has_no_dependencies_and_builds(package: Path) -> None:
    assert '"dependencies"' not in (package / "package.json").read_text()
    names = {path.name for path in (package / "dist").iterdir()}
    assert {"index.js", "index.d.ts", "node.js", "node.d.ts"} <= names


def test_what_would_be_published(client: Path) -> None:
    """All that it says is there, is: types, licence, and a version of its own server's."""
    told = json.loads(run(client, "npm", "pack", "--dry-run", "--json", "--silent"))
    [package] = told if isinstance(told, list) else told.values()
    assert package["version"] == supersoniq.__version__
    packed = {each["path"] for each in package["files"]}
    manifest = json.loads((client / "package.json").read_text())
    for entry in manifest["exports"].values():
        assert {path.removeprefix("./") for path in entry.values()} <= packed
    assert not any(path.startswith(("src", "test", "build")) for path in packed)
    assert manifest["license"] == "Apache-2.0"
    assert (client / "LICENSE").read_text() == (client.parents[1] / "LICENSE").read_text()
    assert "LICENSE" in packed


def test_figures_and_policies_have_the_fields_that_they_have_in_python() -> None:
    types = (CLIENT / "src" / "types.ts").read_text()
    for kind, more in ((supersoniq.Policy, set()), (supersoniq.QueueStats, {"oldest_ready"})):
        body = re.search(rf"interface {kind.__name__} {{\n(.*?)\n}}", types, re.DOTALL)
        assert body is not None
        found = set(re.findall(r"^  readonly (\w+)", body[1], re.MULTILINE))
        assert found == set(inspect.signature(kind).parameters) | more


def test_the_console_has_what_the_sources_give(client: Path, tmp_path: Path) -> None:
    copy = Path(supersoniq.__file__).parent / "adapters" / "console" / "static" / "client"
    run(client, "npx", "tsc", "-p", "tsconfig.console.json", "--outDir", str(tmp_path))
    made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_text() for path in copy.iterdir()}
    assert kept == made, "make console, and commit what it makes"
