from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path

import pytest

from supersoniq.auth import Issuer, Pem, Secret, Verb, Verifier
from tests.cli.shell import Shell


def test_a_pair_signs_and_checks(shell: Shell) -> None:
    made = shell.run("token", "keys", "queue")
    assert made.returncode == 0, made.stderr
    facts = json.loads(made.stdout)
    assert facts["server_option"] == "--auth-public-key"
    key, pem = shell.folder / "queue.key", shell.folder / "queue.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert "PRIVATE" in key.read_text()
    assert "PRIVATE" not in pem.read_text()
    words = ("--sub", "anna", "--scope", "publish:a consume:b*", "--ttl", "15m", "--aud", "here")
    token = shell.run("token", "make", "--key", "queue.key", *words).stdout.decode().strip()
    caller = asyncio.run(Verifier(Issuer(Pem(pem), audience="here")).verify(token))
    assert caller.subject == "anna"
    assert caller.scopes.allow(Verb.CONSUME, "bb")
    assert not caller.scopes.allow(Verb.PUBLISH, "aa")
    told = shell.run(
        "token", "check", "--public-key", "queue.pem", "--aud", "here", input=token.encode()
    )
    assert json.loads(told.stdout)["scope"] == "publish:a consume:b*"
    assert token not in told.stdout.decode()
    assert shell.run("token", "check", "--public-key", "queue.pem", input=b"x.y.z").returncode == 1


def test_a_secret_signs_and_checks(shell: Shell) -> None:
    assert shell.run("token", "keys", "--secret", "shared").returncode == 0
    key = shell.folder / "shared.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    token = shell.run("token", "make", "--key", "shared.key", "--sub", "a", "--scope", "browse:*")
    secret = Secret(key.read_text().strip())
    assert asyncio.run(Verifier(Issuer(secret)).verify(token.stdout.decode().strip()))
    told = shell.run("token", "check", "--secret-file", "shared.key", input=token.stdout)
    assert told.returncode == 0


def test_files_that_are_there_are_not_touched(shell: Shell) -> None:
    (shell.folder / "queue.pem").write_text("mine")
    done = shell.run("token", "keys", "queue")
    assert done.returncode == 1
    assert b"queue.pem" in done.stderr
    assert not (shell.folder / "queue.key").exists()
    (shell.folder / "other.key").write_text("mine")
    assert shell.run("token", "keys", "other").returncode == 1
    assert (shell.folder / "other.key").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--scope", "publish"), "scope"),
        (("--scope", "admin:*"), "verbs"),
        (("--scope", "publish:a*b"), "scope"),
        (("--ttl", "0s"), "lifetime"),
        (("--ttl", "-5"), "ttl"),
        (("--ttl", "forever"), "ttl"),
        (("--sub", ""), "subject"),
        (("--key", "public.pem"), "public key"),
        (("--key", "short.key"), "32"),
        (("--key", "missing.key"), "missing.key"),
    ],
)
def test_what_cannot_be(
    tmp_path: Path, shell: Shell, words: tuple[str, ...], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shell.folder)
    assert shell.ask("token", "keys", "public").exit_code == 0
    (shell.folder / "short.key").write_text("hunter2")
    given = {"--key": "public.key", "--sub": "a", "--scope": "browse:*", "--ttl": "1h"}
    given[words[0]] = words[1]
    result = shell.ask("token", "make", *(word for pair in given.items() for word in pair))
    assert result.exit_code == 1
    assert told in result.output
    assert "hunter2" not in result.output
