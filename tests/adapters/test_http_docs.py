"""The examples of docs/http.md are run as they stand."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import httpx
import pytest

import supersoniq
from supersoniq.adapters import create_app
from supersoniq.adapters.http.problems import REFUSALS, STATUS
from supersoniq.core.messages import EventKind

Serving = Callable[..., AbstractAsyncContextManager[str]]
PAGE = (Path(__file__).parents[2] / "docs" / "http.md").read_text()
PRELUDE = r"""
set -eu
curl() {
  local limit=10
  case "$*" in *-N*) limit=0.5 ;; esac
  command curl -sS --max-time $limit -w '\nSTATUS %{http_code}\n' "$@" || [ $? = 28 ]
}
"""


async def run(script: str) -> str:
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", PRELUDE + script, stdout=-1, stderr=-2
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_examples_work(url: str, serving: Serving) -> None:
    async def main() -> None:
        async with (
            supersoniq.connect(url) as broker,
            serving(create_app(broker)) as address,
            httpx.AsyncClient(base_url=address) as client,
        ):
            blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
            assert len(blocks) >= 8
            for block in blocks:
                script = block.replace("localhost:8000", address)
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


def test_json_examples_are_json() -> None:
    for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL):
        json.loads(block)
