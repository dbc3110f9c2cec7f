"""What a server is told, what it passes over, and who is no server."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import pytest

from supersoniq.core.errors import InvalidSetting, MissingExtra, UnknownServer
from supersoniq.servers import plugin
from supersoniq.servers.plugin import Feature, Options, ServerPlugin, check_options, find_server


class Little:
    """A server that does next to nothing."""

    carries = frozenset({Feature.HTTP1})
    honours = frozenset({"certfile", "keyfile", "grace", "max_message", "arriving"})

    async def serve(self, *_args: Any, **_options: Any) -> None: ...


class Curt(Little):
    honours = frozenset()


@pytest.mark.parametrize("asked", [{}, {"certfile": "c"}, {"certfile": "c", "keyfile": "k"}])
def test_what_it_honours_is_taken(asked: dict[str, Any]) -> None:
    assert check_options("little", Little(), Options(**asked)) == []


@pytest.mark.parametrize(
    ("asked", "setting"),
    [
        ({"root_path": "/q"}, "root_path"),
        ({"max_connections": 5}, "max_connections"),
        ({"head_timeout": 5.0}, "head_timeout"),
        ({"idle_timeout": 5.0}, "idle_timeout"),
        ({"certfile": "c", "http3": True}, "http3"),
    ],
)
def test_what_it_would_pass_over_is_refused(asked: dict[str, Any], setting: str) -> None:
    with pytest.raises(InvalidSetting, match="'little'") as caught:
        check_options("little", Little(), Options(**asked))
    assert caught.value.setting == setting
    assert caught.value.value == asked[setting]


def test_what_nobody_asked_for_is_only_said() -> None:
    """These have a value in any case; so has the right to leave HTTP/3 out."""
    said = check_options("curt", Curt(), Options(http3=False))
    assert said == [
        "grace does not reach 'curt': it ends requests in its own time",
        "max_message does not reach 'curt': its own bound on WebSocket messages holds",
        "arriving does not reach 'curt': half-sent WebSocket messages have no common bound",
    ]


def test_a_certificate_is_never_passed_over() -> None:
    with pytest.raises(InvalidSetting, match="no such setting") as caught:
        check_options("curt", Curt(), Options(certfile="c"))
    assert caught.value.setting == "certfile"


@pytest.mark.parametrize(
    ("asked", "setting"),
    [
        ({"grace": -1}, "grace"),
        ({"grace": 3601}, "grace"),
        ({"grace": float("nan")}, "grace"),
        ({"grace": True}, "grace"),
        ({"grace": "5"}, "grace"),
        ({"head_timeout": 0}, "head_timeout"),
        ({"idle_timeout": float("inf")}, "idle_timeout"),
        ({"max_connections": 0}, "max_connections"),
        ({"max_connections": True}, "max_connections"),
        ({"max_connections": 1.5}, "max_connections"),
        ({"keyfile": "k"}, "keyfile"),
        ({"http3": True}, "http3"),
    ],
)
def test_options_have_ranges(asked: dict[str, Any], setting: str) -> None:
    with pytest.raises(InvalidSetting) as caught:
        Options(**asked)
    assert caught.value.setting == setting


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entry points as packages would bring them."""
    brought = {
        "little": f"{__name__}:Little",
        "text": "builtins:str",
        "far": "a_package_that_is_not_there:Server",
    }
    found = [EntryPoint(name, value, plugin.GROUP) for name, value in brought.items()]
    monkeypatch.setattr(plugin, "entry_points", lambda group: found)


@pytest.mark.usefixtures("installed")
def test_who_is_found() -> None:
    server = find_server("little")
    assert isinstance(server, ServerPlugin)
    assert type(server).__name__ == "Little"
    with pytest.raises(UnknownServer, match="far, little, text"):
        find_server("large")
    with pytest.raises(MissingExtra, match="a_package_that_is_not_there"):
        find_server("far")
    with pytest.raises(InvalidSetting, match="no ServerPlugin"):
        find_server("text")
