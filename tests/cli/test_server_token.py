"""Commands that reach a server which asks for tokens."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from supersoniq.auth import Issuer, Secret, Verifier
from supersoniq.cli.options import TOKEN
from tests.auth import tokens
from tests.backends.served import hosted
from tests.cli.shell import Shell


@pytest.fixture
def url() -> Iterator[str]:
    with hosted(auth=Verifier(Issuer(Secret(tokens.SECRET)))) as url:
        yield url


@pytest.fixture
def token() -> str:
    return tokens.good(exp=time.time() + 600, iat=int(time.time()))


@pytest.mark.parametrize("scheme", ["http", "ws"])
def test_from_a_variable(shell: Shell, url: str, token: str, scheme: str) -> None:
    url = url.replace("http", scheme)
    shell.env[TOKEN] = token + "\n"
    for words in (("publish", "hello"), ("consume", "--wait", "0"), ("stats",), ("queues",)):
        done = shell.run(*words, "--backend", url)
        assert done.returncode == 0, done.stderr
        assert token not in (done.stdout + done.stderr).decode()


def test_from_a_file(shell: Shell, url: str, token: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(token + "\n")
    words = ("--backend", url, "--token-file", str(file))
    assert shell.ask("publish", "hello", *words).exit_code == 0
    assert shell.ask("stats", *words).exit_code == 0
    file.write_text("")
    empty = shell.ask("publish", "hello", *words)
    assert empty.exit_code == 1
    assert "authentication failed" in empty.output
    file.write_bytes(b"\xff")
    assert "cannot be read" in shell.ask("publish", "hello", *words).output


def test_without_one(shell: Shell, url: str) -> None:
    assert TOKEN not in os.environ
    refused = shell.ask("publish", "hello", "--backend", url)
    assert refused.exit_code == 1
    assert "there is no token" in refused.output
