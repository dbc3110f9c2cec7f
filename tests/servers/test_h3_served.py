"""The whole server: TCP and UDP on one port number, and how a client finds the other one."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import trustme

import supersoniq
from supersoniq.adapters.http.serve import serve
from tests.servers.h3_client import request_head, visiting
from tests.servers.program import said

PROGRAM = """
import sys
from supersoniq.adapters.http.serve import serve
options = eval(sys.argv[1])
serve("memory://", port=0, on_started=lambda url: print(url, flush=True), **options)
print("over")
"""


@contextmanager
def served(tmp_path: Path, **options: object) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A server in a process of its own, and its port."""
    command = [sys.executable, "-W", "error", "-c", PROGRAM, repr(options)]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as server:
        try:
            assert server.stdout is not None
            assert server.stderr is not None
            address = server.stdout.readline().decode().strip()
            assert address.startswith("https://127.0.0.1:"), server.stderr.read().decode()
            yield server, int(address.rpartition(":")[2])
        finally:
            server.kill()


def test_one_port_number_for_both(tmp_path: Path) -> None:
    async def main(port: int) -> None:
        certfile = tmp_path / "supersoniq" / "dev-cert.pem"
        trust = ssl.create_default_context(cafile=str(certfile))
        async with (
            visiting(port) as client,
            httpx.AsyncClient(
                verify=trust, base_url=f"https://127.0.0.1:{port}", timeout=30
            ) as tcp,
        ):
            seen = await tcp.get("/health/ready")
            assert seen.headers["alt-svc"] == f'h3=":{port}"; ma=3600'
            ready = await client.request("GET", "/health/ready")
            assert ready.status == 200
            assert b"alt-svc" not in ready.fields
            # What comes in through one goes out through the other.
            await client.request("POST", "/queues/q/messages", b"over UDP")
            (leased,) = (await tcp.post("/queues/q/leases", json={"wait": 1})).json()
            receipt = {"receipt": leased["receipt"], "outcome": "ack"}
            body = json.dumps([receipt]).encode()
            done = await client.request("POST", "/queues/q/settlements", body)
            assert json.loads(done.content) == [{"ok": True}]

    with served(tmp_path, dev=True) as (server, port):
        asyncio.run(main(port))
        server.send_signal(signal.SIGTERM)
        out, err = server.communicate(timeout=60)
        assert out == b"over\n"
        (line,) = said(err).splitlines()  # what it did about a certificate, and nothing else
        assert re.search(r"made a certificate .* SHA-256 [0-9a-f]{64}", line)
        assert server.returncode == 0


def test_a_client_follows_the_announcement(tmp_path: Path) -> None:
    niquests = pytest.importorskip("niquests")
    pytest.importorskip("qh3")

    async def main(port: int) -> list[int]:
        async with niquests.AsyncSession() as session:
            session.trust_env = False
            session.verify = cafile
            versions = []
            for _ in range(3):
                answer = await session.get(f"https://localhost:{port}/health/ready")
                assert answer.status_code == 200
                versions.append(answer.http_version)
            return versions

    authority = trustme.CA()
    authority.cert_pem.write_to_path(cafile := str(tmp_path / "ca.pem"))
    certfile = str(tmp_path / "cert.pem")
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(certfile)
    with served(tmp_path, certfile=certfile) as (_, port):
        first, *rest = asyncio.run(main(port))
        assert first in (11, 20)
        assert rest == [30, 30]


def test_a_stop_with_streams_open_on_both_sides(tmp_path: Path) -> None:
    async def main(server: subprocess.Popen[bytes], port: int) -> None:
        trust = ssl.create_default_context()
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
        async with (
            visiting(port) as client,
            httpx.AsyncClient(
                verify=trust, base_url=f"https://127.0.0.1:{port}", timeout=30
            ) as tcp,
            tcp.stream("GET", "/queues/default/events") as over_tcp,
        ):
            over_udp = client.open(request_head("GET", "/queues/default/events"), end=True)
            await client.answer(over_udp).until(b"event: start")
            body = json.dumps({"wait": 30}).encode()
            poll = asyncio.ensure_future(client.request("POST", "/queues/default/leases", body))
            await asyncio.sleep(0)
            # What came before this on the same connection is there when this is answered.
            assert (await client.request("GET", "/health/live")).status == 200
            server.send_signal(signal.SIGTERM)
            assert b"event: start" in await over_tcp.aread()
            assert (await client.answer(over_udp).wait()).reset is None
            assert (await poll).content == b"[]"

    with served(tmp_path, dev=True, grace=600) as (server, port):
        asyncio.run(main(server, port))
        assert server.wait(60) == 0


def test_udp_can_be_left_alone(tmp_path: Path) -> None:
    async def main(port: int) -> None:
        async with httpx.AsyncClient(
            verify=False, base_url=f"https://127.0.0.1:{port}", timeout=30
        ) as tcp:
            seen = await tcp.get("/health/ready")
            assert seen.status_code == 200
            assert "alt-svc" not in seen.headers
        with pytest.raises((TimeoutError, ConnectionError)):
            async with asyncio.timeout(0.5), visiting(port):
                pass

    with served(tmp_path, dev=True, http3=False) as (_, port):
        asyncio.run(main(port))


def test_two_certificates_are_one_too_many(tmp_path: Path) -> None:
    with pytest.raises(supersoniq.InvalidSetting, match="certfile"):
        serve("memory://", port=0, dev=True, certfile=tmp_path / "cert.pem")
