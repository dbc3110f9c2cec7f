"""``supersoniq serve`` over TLS, and with tokens: one flag away."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.cli.shell import Shell


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


@pytest.mark.parametrize("way", ["public key", "secret file", "variable"])
def test_with_a_key_it_takes_tokens(shell: Shell, way: str) -> None:
    """From making keys to a message published with a token: by the commands alone."""
    shell.lines(
        "token", "keys", *([] if way == "public key" else ["--secret"]), f"{shell.folder}/q"
    )
    key = shell.folder / "q.key"
    words = {
        "public key": ["--auth-public-key", "q.pem"],
        "secret file": ["--auth-secret-file", "q.key"],
        "variable": [],
    }[way]
    if way == "variable":
        shell.env["SUPERSONIQ_AUTH_SECRET"] = key.read_text()
    made = ["token", "make", "--key", str(key), "--sub", "shop", "--iss", "us", "--aud", "queue"]
    token = shell.ask(*made, "--scope", "publish:orders").stdout.strip()
    other = shell.ask(*made[:-1], "another", "--scope", "publish:orders").stdout.strip()
    named = ["--auth-issuer", "us", "--auth-audience", "queue"]
    server = shell.start("serve", "--port", "0", "--backend", "memory://", *words, *named)
    assert server.stdout is not None
    told = json.loads(server.stdout.readline())
    assert told["auth"] is True
    with httpx.Client(base_url=told["url"]) as client:

        def status(queue: str, token: str | None) -> int:
            head = {} if token is None else {"authorization": f"Bearer {token}"}
            body = {"content": "x"}
            return client.post(f"/queues/{queue}/messages", json=body, headers=head).status_code

        assert status("orders", token) == 201
        assert status("mail", token) == 403
        assert status("orders", None) == 401
        assert status("orders", other) == 401
    shell.end(server)
    assert server.returncode == 0


@pytest.mark.parametrize(
    ("words", "secret", "problem"),
    [
        (["--auth-issuer", "us"], None, "auth.issuer"),
        (["--auth-audience", "queue"], None, "auth.audience"),
        (["--auth-jwks", "https://a.example/keys"], "x" * 32, "takes one of them"),
        (["--auth-jwks", "http://a.example/keys"], None, "takes https://"),
        ([], "short-and-hidden", "32 or more"),
        (["--no-auth"], "x" * 32, "contradicts"),
        (["--host", "0.0.0.0", "--clear-text"], None, "--no-auth"),
    ],
)
def test_keys_that_cannot_be(
    shell: Shell, words: list[str], secret: str | None, problem: str
) -> None:
    if secret is not None:
        shell.env["SUPERSONIQ_AUTH_SECRET"] = secret
    done = shell.run("serve", "--port", "0", "--backend", "memory://", *words)
    assert (done.returncode, done.stdout) == (2, b"")
    assert problem.encode() in done.stderr
    assert b"short-and-hidden" not in done.stderr
