"""What a server has to be, so that ``supersoniq serve --server NAME`` can run it.

A package brings one by an entry point of the group ``supersoniq.servers``. Its name is the
server's, its value a class, or any callable, that gives a ``ServerPlugin`` without arguments:

    [project.entry-points."supersoniq.servers"]
    daphne = "supersoniq_daphne:Daphne"

The project's own are registered in the same way. What a server cannot do it says in two sets, and
nobody has to find out otherwise: ``carries``, which ends up in what ``serve`` prints, and
``honours``, by which a setting that would be passed over is refused.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol, runtime_checkable

from supersoniq.core.errors import InvalidSetting, MissingExtra, UnknownServer
from supersoniq.servers.arriving import Arriving

__all__ = ["Count", "Feature", "Options", "ServerPlugin", "check_options", "find_server", "servers"]

GROUP = "supersoniq.servers"
Path = str | os.PathLike[str]


class Feature(StrEnum):
    """What a server may carry; the value is how people say it."""

    HTTP1 = "HTTP/1.1"
    HTTP2 = "HTTP/2 over TLS"
    H2C = "HTTP/2 in clear text"
    PUSH = "HTTP/2 push"
    WEBSOCKET = "WebSocket over HTTP/1.1"
    WEBSOCKET_H2 = "WebSocket over HTTP/2"
    HTTP3 = "HTTP/3"
    WEBSOCKET_H3 = "WebSocket over HTTP/3"
    WEBTRANSPORT = "WebTransport"


async def _nobody() -> None: ...


Count = Callable[[], Mapping[str, int]]
"""Gives how many connections are open, by protocol: ``http/1.1``, ``http/2``, ``http/3``."""


def _unheard(count: Count) -> None: ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What a server is told. ``None`` leaves a thing to the server.

    Raises:
        InvalidSetting: one of them is out of its range.
    """

    certfile: Path | None = None
    """A certificate chain in PEM; with it, TLS is spoken."""
    keyfile: Path | None = None
    """Its private key, if that is in a file of its own."""
    root_path: str = ""
    """The path under which a proxy shows the app, ASGI's: ``/queue``, or nothing."""
    grace: float = 10.0
    """Seconds that requests get to finish after ``stop``; 0 to 3600."""
    http3: bool | None = None
    """Whether to speak HTTP/3, on the UDP port with the number of the TCP one. ``None``: with TLS,
    if the server does so by itself."""
    max_connections: int | None = None
    """TCP connections at the same time, at least 1; newcomers are refused in words."""
    head_timeout: float | None = None
    """Seconds, above 0, in which a TLS handshake is made, and in which a request's head arrives."""
    idle_timeout: float | None = None
    """Seconds, above 0, that a connection may stay open without a request."""
    max_message: int | None = None
    """Bytes of one WebSocket message."""
    arriving: Arriving | None = None
    """What counts half-sent WebSocket messages of all connections, perhaps beside something else;
    ``None``: a counter of the server's own."""
    leave: Callable[[], Awaitable[None]] = _nobody
    """To be called once, when ``stop`` is set and nothing was cut yet: it sends those home who wait
    (long polls, event streams, WebSockets), and ends when WebSockets have said goodbye."""
    counting: Callable[[Count], None] = _unheard
    """To be called once, before ``started``, by a server that can count its connections."""

    def __post_init__(self) -> None:
        _check("grace", self.grace, 0, 3600)
        for name in ("head_timeout", "idle_timeout"):
            if getattr(self, name) is not None:
                _check(name, getattr(self, name), 0.001, 3600)
        most = self.max_connections
        if most is not None and (type(most) is not int or most < 1):
            raise InvalidSetting("max_connections", most, "takes an integer of at least 1, or None")
        path = self.root_path
        if not isinstance(path, str) or (path and (path[0] != "/" or path[-1] == "/")):
            raise InvalidSetting("root_path", path, "takes a path such as /queue, or nothing")
        if self.keyfile is not None and self.certfile is None:
            raise InvalidSetting("keyfile", self.keyfile, "is of no use without a certfile")
        if self.http3 and self.certfile is None:
            raise InvalidSetting("http3", True, "needs TLS: give a certfile, or dev")


@runtime_checkable
class ServerPlugin(Protocol):
    """A server for any ASGI app."""

    carries: frozenset[Feature]
    """What it speaks; what needs TLS only with TLS."""
    honours: frozenset[str]
    """Names of those ``Options`` that it honours. It is never given another one."""

    async def serve(
        self,
        app: Any,
        listener: socket.socket,
        options: Options,
        *,
        started: Callable[[], None],
        stop: asyncio.Event,
    ) -> None:
        """Serve until told to stop.

        The app's lifespan is not to be run: what it would open is open. No signal handler is to be
        installed: signals become ``stop``.

        Args:
            app: the ASGI app. It runs in this event loop.
            listener: a bound TCP socket, perhaps not listening yet. The caller closes it afterwards
                if it is still open.
            options: what was asked for; checked.
            started: to be called once requests are taken.
            stop: set when it shall end: take no new connections, await ``options.leave()``, let
                requests finish within ``options.grace``, cut the rest, and return. If it is
                cancelled, the user has lost patience: cut everything at once.
        """


def servers() -> dict[str, EntryPoint]:
    """The servers that installed packages bring."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def find_server(name: str) -> ServerPlugin:
    """The server of a name.

    Raises:
        UnknownServer: nobody brings it.
        MissingExtra: somebody does, but what it needs is not installed.
        InvalidSetting: what somebody brings is no server.
    """
    known = servers()
    if name not in known:
        raise UnknownServer(name, ", ".join(sorted(known)))
    entry = known[name]
    try:
        plugin = entry.load()()
    except ModuleNotFoundError as error:
        package = entry.dist.name if entry.dist is not None else "supersoniq"
        extra = f"{package}[{entry.extras[0] if entry.extras else name}]"
        missing = error.name or str(error)
        raise MissingExtra(f"the server {name!r}", extra, missing) from error
    if not isinstance(plugin, ServerPlugin):
        problem = f"its plugin {entry.value!r} gave {plugin!r}, which is no ServerPlugin"
        raise InvalidSetting("server", name, problem)
    return plugin


SAID_ALOUD = {
    "grace": "it ends requests in its own time",
    "max_message": "its own bound on WebSocket messages holds",
    "arriving": "half-sent WebSocket messages have no common bound",
}
"""Options that have a value even if nobody asked for it."""


def check_options(name: str, plugin: ServerPlugin, options: Options) -> list[str]:
    """Refuse what a server would pass over.

    Args:
        name: the server's name.
        plugin: the server.
        options: what it is to be told.

    Returns:
        What it does not honour and nobody asked for by name: to be said aloud.

    Raises:
        InvalidSetting: something was asked for that it cannot do.
    """
    if options.http3 and Feature.HTTP3 not in plugin.carries:
        raise InvalidSetting("http3", True, f"the server {name!r} does not speak HTTP/3")
    aloud: list[str] = []
    for field in dataclasses.fields(Options):
        value = getattr(options, field.name)
        if field.name in plugin.honours or field.name in ("leave", "counting"):
            continue
        if field.name in SAID_ALOUD:
            aloud.append(f"{field.name} does not reach {name!r}: {SAID_ALOUD[field.name]}")
        elif value != field.default and value is not False:
            raise InvalidSetting(
                field.name, value, f"the server {name!r} has no such setting; leave it out"
            )
    return aloud


def _check(name: str, value: object, least: float, most: float) -> None:
    fits = isinstance(value, int | float) and not isinstance(value, bool)
    if not fits or not least <= float(value) <= most or math.isnan(float(value)):  # type: ignore[arg-type]
        raise InvalidSetting(name, value, f"takes {least:g} to {most:g} seconds")
