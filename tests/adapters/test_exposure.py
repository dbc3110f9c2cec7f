"""Clear text stays on this machine, unless somebody says otherwise."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import supersoniq
from supersoniq.adapters import loopback
from supersoniq.adapters.http import exposure
from supersoniq.adapters.http.serve import serve
from supersoniq.cli.group import group
from supersoniq.core.errors import InvalidSetting
from tests.auth import tokens
from tests.clients.served import served


@pytest.mark.parametrize(
    ("address", "stays"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("::ffff:10.0.0.1", False),
        ("10.0.0.1", False),
        ("169.254.1.1", False),
        ("fe80::1", False),
        ("2001:db8::1", False),
    ],
)
def test_what_loopback_is(address: str, stays: bool) -> None:
    assert loopback.is_loopback(address) is stays


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "2001:db8::1"])
def test_clear_text_beyond_loopback_is_refused(host: str) -> None:
    with pytest.raises(InvalidSetting) as caught:
        serve("memory://", host=host, port=0)
    for word in ("host", "--certfile", "--keyfile", "--dev", "--clear-text", "clear_text=True"):
        assert word in str(caught.value)
    done = CliRunner().invoke(group, ["serve", "--host", host, "-b", "memory://"])
    assert done.exit_code == 2
    assert "--clear-text" in done.output


def resolve(monkeypatch: pytest.MonkeyPatch, name: str, address: str) -> None:
    """Give a host name an address."""
    real = socket.getaddrinfo

    def ours(host: Any, *rest: Any, **more: Any) -> Any:
        return real(address if host == name else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", ours)


def test_a_name_counts_for_what_it_means(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, "queue.example", "192.0.2.7")
    with pytest.raises(InvalidSetting, match=r"which is 192\.0\.2\.7"):
        serve("memory://", host="queue.example", port=0)
    resolve(monkeypatch, "here.example", "127.0.0.1")
    exposure.listen("here.example", 0, clear_text=False).close()
    exposure.listen("localhost", 0, clear_text=False).close()


def test_saying_it_aloud_is_enough(tmp_path: Path) -> None:
    """The refusal is gone: what stops it now comes later, from the port that is taken."""
    exposure.listen("127.0.0.1", 0, clear_text=True).close()
    # An address of nobody here: to be bound it would have to be ours.
    with pytest.raises(OSError):
        serve("memory://", host="192.0.2.1", port=0, clear_text=True, no_auth=True)
    with pytest.raises(OSError):
        serve("memory://", host="192.0.2.1", port=0, dev=True, no_auth=True)


def test_beyond_loopback_nobody_comes_in_without_a_token() -> None:
    for more in ({"clear_text": True}, {"dev": True}):
        with pytest.raises(InvalidSetting, match="--no-auth") as caught:
            serve("memory://", host="192.0.2.1", port=0, **more)  # type: ignore[arg-type]
        assert "--auth-public-key" in str(caught.value)
    with pytest.raises(OSError):  # nobody's address: the refusal is gone
        serve("memory://", host="192.0.2.1", port=0, clear_text=True, auth=tokens.verifier())
    with pytest.raises(InvalidSetting, match="contradicts"):
        serve("memory://", port=0, auth=tokens.verifier(), no_auth=True)


@pytest.mark.skipif(not socket.has_ipv6, reason="this Python has no IPv6")
def test_ipv6_loopback() -> None:
    try:
        listener = exposure.listen("::1", 0, clear_text=False)
    except OSError:
        pytest.skip("this machine has no IPv6")
    assert listener.getsockname()[0] == "::1"
    listener.close()


def test_a_refusal_leaves_the_store_alone(tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    with pytest.raises(supersoniq.InvalidSetting):
        serve(f"sqlite:///{store}", host="0.0.0.0", port=0)
    assert not store.exists()


@pytest.mark.parametrize("kind", ["native", "uvicorn"])
def test_a_page_whose_name_leads_here_is_a_stranger(kind: str, tmp_path: Path) -> None:
    """DNS rebinding: to its browser, the page is one of this very host."""
    with served(tmp_path, "--backend", "memory://", "--server", kind) as server:
        port = server.port
        for name in ("localhost", "app.localhost", "127.0.0.1", "[::1]", "LOCALHOST"):
            for host in (name, f"{name}:{port}"):
                assert server.http.get("/queues", headers={"host": host}).status_code == 200
        for name in (
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "[",
            "10.0.0.1",
        ):
            host = f"{name}:{port}"
            page = {"host": host, "origin": f"http://{host}"}
            for path in ("/queues", "/messages", "/console", "/metrics"):
                refused = server.http.get(path, headers=page)
                assert refused.status_code == 403, path
                assert "allow_origins" in refused.json()["detail"]
            assert (
                server.http.post("/messages", json={"content": 1}, headers=page).status_code == 403
            )
            assert handshake(port, host).startswith(b"HTTP/1.1 403 ")
        assert handshake(port, f"localhost:{port}").startswith(b"HTTP/1.1 101 ")


def test_names_that_are_meant_are_answered_to(tmp_path: Path) -> None:
    asked = {"host": "queue.example", "origin": "https://queue.example"}
    for more in (["--allow-origins", "https://queue.example"], ["--no-auth"]):
        with served(tmp_path, "--backend", "memory://", *more) as server:
            assert server.http.get("/queues", headers=asked).status_code == 200


def handshake(port: int, host: str) -> bytes:
    """The answer to a WebSocket's handshake by a page of that host."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as link:
        link.sendall(
            f"GET /ws HTTP/1.1\r\nhost: {host}\r\norigin: http://{host}\r\nupgrade: websocket\r\n"
            "connection: upgrade\r\nsec-websocket-version: 13\r\n"
            "sec-websocket-key: MDEyMzQ1Njc4OTAxMjM0NQ==\r\n"
            "sec-websocket-protocol: supersoniq.v1.json\r\n\r\n".encode()
        )
        return link.recv(100)


def test_a_free_port_is_free_for_http3_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    create = socket.create_server
    made: list[socket.socket] = []

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))

        def first_there(place: Any, **options: Any) -> socket.socket:
            made.append(create(taken.getsockname() if not made else place, **options))
            return made[-1]

        monkeypatch.setattr(socket, "create_server", first_there)
        with exposure.listen("127.0.0.1", 0, clear_text=False) as listener:
            assert listener.getsockname()[1] != taken.getsockname()[1]
    assert [each.fileno() for each in made] == [-1, -1]  # the other one is closed, too
