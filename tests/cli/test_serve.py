"""``supersoniq serve`` over TLS: one flag away."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
from pathlib import Path

import httpx


def test_dev_speaks_tls_and_announces_http3(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "supersoniq", "serve", "--dev", "--port", "0"]
    server = subprocess.Popen(
        [*command, "--backend", f"sqlite:///{tmp_path}/store.db"],
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        url = json.loads(server.stdout.readline())["url"]
        assert url.startswith("https://")
        (certificate,) = (tmp_path / "cache").rglob("*cert.pem")
        trust = ssl.create_default_context(cafile=str(certificate))
        with httpx.Client(base_url=url, verify=trust) as client:
            answer = client.post("/messages", json={"content": "hello"})
            assert answer.status_code == 201
            assert "h3=" in answer.headers["alt-svc"]
    finally:
        server.send_signal(signal.SIGINT)
        _, told = server.communicate(timeout=30)
    assert server.returncode == 0, told
    assert "which nobody trusts" in told


def test_a_certificate_that_is_not_there_is_a_usage_error() -> None:
    command = [sys.executable, "-m", "supersoniq", "serve", "--certfile", "/no/such.pem"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "/no/such.pem" in done.stderr
