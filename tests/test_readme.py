"""What README.md shows is run; what it names is there."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.docs.pages import ROOT, Block, blocks

README = (ROOT / "README.md").read_text()
MOUNTED = """
import asyncio

import httpx


async def ask():
    to_app = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=to_app, base_url="http://app") as client,
    ):
        assert (await client.get("/queue/")).status_code == 200
        made = (await client.post("/orders", json={"item": 1})).json()
        found = await client.get("/queue/queues/orders/messages/" + made["id"])
        assert found.json()["content"] == {"item": 1}


asyncio.run(ask())
"""
"""What is asked of the block that mounts the app."""


PYTHON = blocks(ROOT / "README.md", "python")
SHELL = [line for block in blocks(ROOT / "README.md", "sh") for line in block.text.splitlines()]
PROGRAM = Path(sys.executable).parent / "supersoniq"


def run(*command: str | Path, cwd: Path) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith("SUPERSONIQ_")}
    done = subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: block.text.splitlines()[0])
def test_every_python_block_runs_and_prints_what_it_says(block: Block, tmp_path: Path) -> None:
    program = tmp_path / "block.py"
    program.write_text(block.text + (MOUNTED if "FastAPI" in block.text else ""))
    said = run(sys.executable, "-W", "error", program, cwd=tmp_path)
    assert said == (block.says or "")


def test_it_starts_with_what_it_is_and_ten_lines_of_code() -> None:
    first = blocks(ROOT / "README.md")[0]
    lines = [line for line in first.text.splitlines() if line.strip()]
    assert first.kind == "python"
    assert README.index("```python") < 600
    assert len(lines) <= 13


def test_every_make_target_it_names_is_there() -> None:
    text = README + (ROOT / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"run", "test"} <= named <= targets


def test_the_requests_are_answered(tmp_path: Path) -> None:
    words = (PROGRAM, "serve", "--port", "0")
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            url = json.loads(server.stdout.readline())["url"]
            answers = [ask(url, line) for line in SHELL if line.startswith("curl ")]
        finally:
            server.terminate()
    published, leased, settled, stats = answers
    assert leased[0]["id"] == published["id"]
    assert settled[0]["problem"]["code"] == "lease-lost"
    assert stats["leased"] == 1


def ask(url: str, line: str) -> Any:
    """What curl would get."""
    _, address, *rest = shlex.split(line)
    target = f"{url}{address.removeprefix('localhost:8000')}"
    if rest:
        assert rest[0] == "--json"
        answer = httpx.post(target, json=json.loads(rest[1]))
    else:
        answer = httpx.get(target)
    return answer.raise_for_status().json()


def test_every_link_leads_somewhere() -> None:
    for document in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / document).read_text()
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
            assert (ROOT / target).exists(), f"{document}: {target}"
