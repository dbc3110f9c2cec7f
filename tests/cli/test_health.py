"""``supersoniq health``, and what a service manager is told."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path

import pytest

from supersoniq.cli.supervised import notify
from tests.cli.shell import Shell
from tests.ports import free_port


def told(line: bytes | str) -> dict[str, object]:
    facts = json.loads(line)
    assert isinstance(facts, dict)
    return facts


@pytest.mark.parametrize("words", [[], ["--dev"]], ids=["clear text", "TLS"])
def test_the_server_with_the_same_settings_is_found(shell: Shell, words: list[str]) -> None:
    """It runs behind an address that is every address, with a path of its own before a proxy."""
    shell.env |= {
        "SUPERSONIQ_PORT": str(free_port()),
        "SUPERSONIQ_HOST": "0.0.0.0",
        "SUPERSONIQ_CLEAR_TEXT": "yes",
        "SUPERSONIQ_ROOT_PATH": "/queue",
        "SUPERSONIQ_BACKEND": "memory://",
        "XDG_CACHE_HOME": str(shell.folder),
        "SUPERSONIQ_DEV": "yes" if words else "no",
        "SUPERSONIQ_AUTH_SECRET": "x" * 32,  # which is not asked for here
    }
    server = shell.start("serve")
    assert server.stdout is not None
    server.stdout.readline()
    for more in ([], ["--live"]):
        done = shell.run("health", *more)
        assert (done.returncode, done.stderr) == (0, b"")
        assert told(done.stdout)["well"] is True
    shell.end(server)
    done = shell.run("health")
    assert done.returncode == 1
    assert "refused" in str(told(done.stdout)["problem"])


def test_a_server_that_is_not_well(shell: Shell) -> None:
    """Its store is gone, or it is no such server, or it says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        done = shell.ask("health", url, "--timeout", "0.2")
        assert (done.exit_code, told(done.stdout)["problem"]) == (1, "no answer: timed out")
    server = shell.start("serve", "--port", "0", "--backend", "memory://")
    assert server.stdout is not None
    url = str(told(server.stdout.readline())["url"])
    assert shell.ask("health", url).exit_code == 0
    done = shell.ask("health", f"{url}/elsewhere/")
    assert (done.exit_code, told(done.stdout)["status"]) == (1, 404)
    server.send_signal(signal.SIGSTOP)
    done = shell.ask("health", url, "--timeout", "0.2")
    server.send_signal(signal.SIGCONT)
    assert (done.exit_code, told(done.stdout)["status"]) == (1, None)


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://a", "http://", "http://a:b"])
def test_an_address_that_cannot_be(shell: Shell, url: str) -> None:
    done = shell.ask("health", url)
    assert done.exit_code == 2
    assert "url = " in done.output


def test_no_address_at_all(shell: Shell) -> None:
    Path("supersoniq.toml").write_text("[listen]\nport = 0")
    done = shell.ask("health")
    assert done.exit_code == 2
    assert "give the server's URL" in done.output


@pytest.mark.parametrize("abstract", [False, True])
def test_a_service_manager_is_told_once_requests_are_taken(shell: Shell, abstract: bool) -> None:
    address = f"@supersoniq-{os.getpid()}" if abstract else f"{shell.folder}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{address[1:]}" if abstract else address)
        manager.settimeout(30)
        shell.env["NOTIFY_SOCKET"] = address
        server = shell.start("serve", "--port", "0", "--backend", "memory://")
        said = manager.recv(1000).decode().splitlines()
        assert said[0] == "READY=1"
        url = said[1].removeprefix("STATUS=serving at ")
        assert shell.ask("health", url).exit_code == 0
        shell.end(server)
        assert server.returncode == 0


@pytest.mark.parametrize("address", ["", "/no/such/socket", "vsock:2:1", "@nobody-is-there"])
def test_nobody_to_tell_is_no_reason_not_to_serve(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert not notify(READY="1")
