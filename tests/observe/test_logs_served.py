"""The log of a real ``supersoniq serve``: what an operator reads, and no secret in it."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from tests.cli.conftest import shell as shell
from tests.cli.shell import Shell
from tests.servers.program import running

CANARY = "canary-7f3a"
SECRET = "s3cret-" * 6
JSON = Subprotocol("supersoniq.v1.json")


def events(lines: list[dict[str, Any]]) -> list[str]:
    return [line["event"] for line in lines if "event" in line]


def test_from_start_to_stop_in_json(tmp_path: Path) -> None:
    async def main() -> list[dict[str, Any]]:
        words = ("--log-level", "info", "--log-format", "json")
        async with running(tmp_path, *words) as program:
            url = program.said["url"]
            async with httpx.AsyncClient(base_url=url) as client:
                head = {"x-request-id": "order-17"}
                await client.post("/queues/q/messages", json={"content": CANARY}, headers=head)
                await client.post("/queues/q/pause", headers={"x-request-id": "a b"})
                await client.delete("/queues/q")
            reader, writer = await asyncio.open_connection("127.0.0.1", program.port)
            writer.write(f"GET / HTTP/1.1\r\n{CANARY} {CANARY}\r\n\r\n".encode())
            assert b"400" in await reader.readline()
            writer.close()
            async with connect(f"{url.replace('http', 'ws', 1)}/ws", subprotocols=[JSON]) as socket:
                await socket.send("{" + CANARY)
                try:
                    while True:
                        await socket.recv()
                except ConnectionClosed:
                    pass
            program.signal()
            assert await program.over() == 0
            assert program.said["url"].startswith("http://")
            return [json.loads(line) for line in program.told.splitlines()]

    lines = asyncio.run(main())
    found = events(lines)
    assert found[0] == "queue-new", "the default one"
    assert found[1] == "server-started"
    assert found[-2:] == ["server-stopping", "server-stopped"]
    assert found.count("connection-cut") == 1
    for name in ("queue-new", "queue-paused", "queue-deleted"):
        assert name in found
    by_name = {line["event"]: line for line in lines if "event" in line}
    assert by_name["server-started"]["tcp"]
    assert re.fullmatch(r"[0-9a-f]{8}-\d+", by_name["queue-paused"]["request"])
    assert CANARY not in json.dumps(lines)


def test_tokens_and_contents_are_never_told(shell: Shell) -> None:
    """At the chattiest, with every door tried with good and bad tokens."""
    (shell.folder / "q.key").write_text(SECRET)
    shell.env["SUPERSONIQ_AUTH_SECRET"] = SECRET
    made = ["token", "make", "--key", f"{shell.folder}/q.key", "--sub", "shop"]
    token = shell.ask(*made, "--scope", "publish:* consume:*").stdout.strip()
    assert token.count(".") == 2
    server = shell.start(
        "serve", "--port", "0", "--backend", "memory://", "--log-level", "debug"
    )  # fmt: skip
    assert server.stdout is not None
    url = json.loads(server.stdout.readline())["url"]

    async def main() -> None:
        head = {"authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=url) as client:
            body = {"content": CANARY, "headers": {"x": CANARY}, "key": CANARY}
            posted = await client.post("/queues/q/messages", json=body, headers=head)
            assert posted.status_code == 201
            leased = (await client.post("/queues/q/leases", headers=head)).json()
            settled = [{"receipt": leased[0]["receipt"], "outcome": "nack", "reason": CANARY}]
            await client.post("/queues/q/settlements", json=settled, headers=head)
            await client.post("/queues/q/messages", content=CANARY, headers=head)
            await client.get("/metrics", headers=head)
            await client.get(f"/?token={CANARY}", headers={"authorization": f"Bearer {CANARY}"})
            bad = await client.get("/queues", headers={"authorization": f"Bearer {token}x"})
            assert bad.status_code == 401
        address = f"{url.replace('http', 'ws', 1)}/ws"
        for offered in (token, f"{token}x", CANARY):
            protocols = [JSON, Subprotocol(f"bearer.{offered}")]
            try:
                async with connect(address, subprotocols=protocols) as socket:
                    await socket.send(json.dumps({"type": "publish", "id": 1, "content": CANARY}))
                    await socket.recv()
                    await socket.send(json.dumps({"type": "renew", "id": 2, "token": CANARY}))
                    await socket.recv()
            except InvalidStatus:
                assert offered != token

    asyncio.run(main())
    _, told = shell.end(server)
    assert "call was refused" in told
    for secret in (CANARY, SECRET, token, token.rpartition(".")[2]):
        assert secret not in told


def test_a_line_of_text_has_its_time_unless_the_journal_gives_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> list[str]:
        async with running(tmp_path, "--log-level", "info") as program:
            program.signal()
            await program.over()
            return str(program.told).splitlines()

    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    [line] = [each for each in asyncio.run(main()) if "takes requests" in each]
    told = re.fullmatch(r"(\S+) INFO: the server takes requests (.*)", line)
    assert told is not None
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told[1])
    assert 'tcp="HTTP/1.1, HTTP/2 in clear text, ' in told[2]
    monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    lines = asyncio.run(main())
    assert any(each.startswith("INFO: the server takes requests ") for each in lines)
