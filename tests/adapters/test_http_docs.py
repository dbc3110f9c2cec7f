"""The examples of docs/http.md are run as they stand."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import shutil
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest

import supersoniq
from supersoniq.adapters import create_app
from supersoniq.adapters.http.problems import REFUSALS, STATUS
from supersoniq.core.messages import EventKind
from tests.docs.pages import Block, blocks

Serving = Callable[..., AbstractAsyncContextManager[str]]
FILE = Path(__file__).parents[2] / "docs" / "http.md"
PAGE = FILE.read_text()
PRELUDE = r"""
set -eu
curl() {
  local limits=30 limit told
  case "$*" in *-N*) limits="1.5 5 30" ;; esac
  for limit in $limits; do
    told=$(command curl -sS --max-time $limit -w '\nSTATUS %{http_code}\n' "$@" 2>&1) || [ $? = 28 ]
    case "$told" in *"STATUS 000"*) ;; *) break ;; esac
  done
  printf '%s\n' "$told"
}
"""
"""Of a stream that has no end, what comes within the time; more of it where nothing has come."""


async def run(script: str) -> str:
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", PRELUDE + script, stdout=-1, stderr=-2
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


def same(told: Block, output: str) -> None:
    """An answer looks as the page has it. Of a stream, that is its beginning."""
    if told.kind == "json":
        alike(json.loads(told.text), json.loads(output))
    else:
        begins = told.text.partition("\n\n" if told.text.startswith("retry") else "\n")[0]
        assert re.sub(r"\d{2,}", "N", output).startswith(re.sub(r"\d{2,}", "N", begins)), output


def alike(told: Any, heard: Any) -> None:
    """The same fields, of the same types. ``...`` is for more fields, or more of a text."""
    if isinstance(told, dict):
        if isinstance(told.get("ok"), bool) and heard["ok"] is not told["ok"]:
            return  # a verdict that can be this or that
        missing = set(told) - set(heard) - {"..."}
        assert not missing
        assert "..." in told or set(told) == set(heard), heard
        for name in set(told) - {"..."}:
            alike(told[name], heard[name])
    elif isinstance(told, list):
        assert len(told) == len(heard)
        for one, other in zip(told, heard, strict=True):
            alike(one, other)
    else:
        assert type(told) is type(heard)


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_examples_work(url: str, serving: Serving) -> None:
    async def main() -> None:
        async with (
            supersoniq.connect(url) as broker,
            serving(create_app(broker)) as address,
            httpx.AsyncClient(base_url=address, timeout=20) as client,
        ):
            told = blocks(FILE)
            answers = 0
            for block, after in itertools.pairwise(told):
                if block.kind != "sh" or block.text.startswith("supersoniq serve "):
                    continue  # which is what serves here
                script = block.text.replace("localhost:8000", address)
                if "RECEIPT" in script:
                    posted = await client.post("/queues/emails/messages", json={"content": "x"})
                    asked = {"limit": 9}
                    leased = (await client.post("/queues/emails/leases", json=asked)).json()
                    script = script.replace("RECEIPT", leased[-1]["receipt"])
                if "ID" in script:
                    posted = await client.post("/queues/emails/messages", json={"content": "x"})
                    script = script.replace("/ID", f"/{posted.json()['id']}")
                output = await run(script)
                statuses = [int(code) for code in re.findall(r"^STATUS (\d+)$", output, re.M)]
                assert len(statuses) == script.count("curl ")
                assert all(code < 300 for code in statuses), output
                if after.kind in ("json", "text"):
                    same(after, output.partition("\nSTATUS ")[0])
                    answers += 1
            assert answers == 6
            stats = (await client.get("/queues/emails/stats")).json()
            assert stats["acked"] == 1

    asyncio.run(main())


def test_every_code_and_kind_is_told() -> None:
    told = set(re.findall(r"`([a-z-]+)`", PAGE))
    assert {str(kind) for kind in EventKind} <= told
    assert set(REFUSALS.values()) <= told
    from supersoniq.core.errors import ConfigurationError, SupersoniqError, _family

    for code, kind in _family(SupersoniqError).items():
        if kind.fields and not issubclass(kind, ConfigurationError | PermissionError):
            assert code in told, code
    for status in set(STATUS.values()):
        assert f"| {status} " in PAGE
