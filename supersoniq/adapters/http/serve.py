"""The app on a server: what ``supersoniq serve`` runs.

The server is one of the entry-point group ``supersoniq.servers``; ``native``, the project's own, if
nobody says otherwise. ``docs/servers.md`` tells what each of them carries.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from supersoniq.adapters.http.app import App, create_app
from supersoniq.adapters.http.exposure import address, listen
from supersoniq.adapters.http.household import household
from supersoniq.api.broker import Broker
from supersoniq.auth.tokens import Verifier
from supersoniq.core.errors import InvalidSetting
from supersoniq.observe.events import Obituaries
from supersoniq.observe.logs import event
from supersoniq.registry import bound_queues, connect
from supersoniq.servers.plugin import Feature, Options, ServerPlugin, check_options, find_server
from supersoniq.servers.tls import check_pair, whose

__all__ = ["Serving", "serve"]

log = logging.getLogger("supersoniq.http")

MAX_QUEUES = 10_000
"""Queues that there may be where nobody says how many: whoever may publish can make them up."""
NEEDS_TLS = {Feature.HTTP2, Feature.HTTP3, Feature.WEBSOCKET_H3, Feature.WEBTRANSPORT}
ON_UDP = {Feature.HTTP3, Feature.WEBSOCKET_H3, Feature.WEBTRANSPORT}
NEEDS_HTTP2 = {Feature.PUSH, Feature.WEBSOCKET_H2}


@dataclass(frozen=True, kw_only=True)
class Serving:
    """What is being served, and where. As a string, it is the URL."""

    url: str
    """Where it is, with the real port."""
    server: str
    """The server's name."""
    tcp: tuple[Feature, ...]
    """What is carried on the TCP port."""
    udp: tuple[Feature, ...]
    """What is carried on the UDP port of the same number."""
    tls: str | None
    """Whose certificate it is, and until when; ``None`` without TLS."""

    @property
    def address(self) -> str:
        """Host and port."""
        return self.url.partition("://")[2]

    def __str__(self) -> str:
        return self.url


def serve(
    broker: str | Broker,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    server: str = "native",
    clear_text: bool = False,
    auth: Verifier | None = None,
    no_auth: bool = False,
    certfile: str | os.PathLike[str] | None = None,
    keyfile: str | os.PathLike[str] | None = None,
    dev: bool = False,
    http3: bool | None = None,
    root_path: str = "",
    grace: float = 10.0,
    max_connections: int | None = None,
    head_timeout: float | None = None,
    idle_timeout: float | None = None,
    max_queues: int | None = None,
    on_started: Callable[[Serving], None] | None = None,
    dry: bool = False,
    **options: Any,
) -> None:
    """Serve a broker over HTTP until SIGINT or SIGTERM; then finish what has begun and return.

    A second signal ends it at once. Prints nothing: logs go to ``supersoniq`` and to the server's
    own logger, for the program to set up.

    Args:
        broker: a ``connect`` URL, or a broker that is not open yet.
        host: the address to listen on: one of the loopback interface, unless there is TLS.
        port: the port; 0 takes a free one.
        server: the name of an installed server: ``native``, ``uvicorn``, ``hypercorn``,
            ``granian``, or what a plugin brings.
        clear_text: allow HTTP without TLS on an address that others can reach.
        auth: whose tokens are accepted; ``None``: whoever reaches the server may do everything.
        no_auth: allow that on an address that others can reach.
        certfile: a certificate chain in PEM; with it, TLS is spoken.
        keyfile: its private key, if that is in a file of its own.
        dev: make a certificate for this machine that nobody trusts, log where it is, and use it.
        http3: also speak HTTP/3, on the UDP port with the same number. By default ``native`` does
            so where there is TLS.
        root_path: the path under which a proxy shows the app, for the links that it gives.
        grace: seconds that requests get to finish; 10. Long polls and event streams end at once.
        max_connections: TCP connections at the same time, and for ``native`` requests on them;
            10,000. More are answered with 503.
        head_timeout: seconds for a TLS handshake, and for a request's head; 10.
        idle_timeout: seconds that a connection stays open without a request; 60.
        max_queues: queues that there may be in the store, beyond which none is made; 10,000, unless
            the broker has a bound already, or its store cannot have one.
        on_started: called once it takes requests.
        dry: refuse what cannot be, and end there: nothing is made, opened or listened on.
        options: those of ``create_app``.

    Raises:
        OSError: the address cannot be listened on, or the certificate cannot be read.
        UnknownServer, MissingExtra: there is no such server, or what it needs is not installed.
        InvalidSetting: something cannot be, such as clear text, or no tokens, beyond the loopback
            interface, or what the chosen server does not do.
        SupersoniqError: the store cannot be opened.
    """
    plugin = find_server(server)
    if isinstance(broker, str):
        broker = connect(broker)
    _bound(broker, max_queues)
    if dev:
        if certfile is not None:
            problem = "uses a certificate of its own, so certfile is too much"
            raise InvalidSetting("dev", True, problem)
        certfile, keyfile = ("", None) if dry else _dev_certificate()
    elif certfile is not None:
        check_pair(certfile, keyfile)
    app = create_app(broker, auth=auth, **options)
    if auth is None and not no_auth:
        app.service.origins.stay(host)
    settings = Options(
        certfile=certfile,
        keyfile=keyfile,
        root_path=root_path,
        grace=grace,
        http3=http3,
        max_connections=max_connections,
        head_timeout=head_timeout,
        idle_timeout=idle_timeout,
        max_message=app.service.limits.max_body,
        arriving=app.service.arriving,
        leave=app.leave,
        counting=app.counting,
    )
    for word in check_options(server, plugin, settings):
        log.info("%s", word)
    if auth is not None and no_auth:
        raise InvalidSetting("no_auth", True, "contradicts auth")
    exposed = {
        "clear_text": clear_text or certfile is not None,
        "open_to_all": no_auth or auth is not None,
    }
    if dry:
        address(host, port, **exposed)
        return
    listener = listen(host, port, **exposed)
    try:
        serving = _serving(listener, server, plugin, settings)

        def started() -> None:
            facts = {"server": server, "tcp": serving.tcp, "udp": serving.udp, "url": serving.url}
            event(log, logging.INFO, "server-started", "the server takes requests", **facts)
            if on_started is not None:
                on_started(serving)

        with household(), asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_run(plugin, app, broker, listener, settings, started))
    finally:
        listener.close()


def _bound(broker: Broker, max_queues: int | None) -> None:
    """Have a store refuse to make queues without number."""
    backend = broker.backend
    if max_queues is not None:
        bound_queues(backend, max_queues)
    elif backend.max_queues is None and backend.capabilities.bounds_queues:
        backend.max_queues = MAX_QUEUES


async def _run(
    plugin: ServerPlugin,
    app: App,
    broker: Broker,
    listener: socket.socket,
    settings: Options,
    started: Callable[[], None],
) -> None:
    """The broker is opened around the server, so that its errors come out."""
    stop = asyncio.Event()
    async with broker, _obituaries(app):
        await app.service.begin()
        serving = asyncio.ensure_future(
            plugin.serve(app, listener, settings, started=started, stop=stop)
        )
        with _signals(stop, serving, settings.grace):
            await asyncio.wait((serving,))
        event(log, logging.INFO, "server-stopped", "the server has stopped")
        if not serving.cancelled():
            serving.result()


@contextlib.asynccontextmanager
async def _obituaries(app: App) -> AsyncIterator[None]:
    """Write lines on messages that die, where figures are asked for."""
    meter = app.service.meter
    if meter is None:
        yield
        return
    task = asyncio.ensure_future(Obituaries(meter.figures).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))


@contextlib.contextmanager
def _signals(stop: asyncio.Event, serving: asyncio.Task[None], grace: float) -> Iterator[None]:
    """The first signal asks it to stop, the second one does not ask."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()

    def told() -> None:
        if stop.is_set():
            told = "told to stop again: what is still open is cut"
            event(log, logging.WARNING, "server-cut", told)
            serving.cancel()
        else:
            event(log, logging.INFO, "server-stopping", "told to stop", grace=grace)
        stop.set()

    numbers = (signal.SIGINT, signal.SIGTERM)
    # Not the loop's own handlers: those Windows does not have.
    before = {
        number: signal.signal(number, lambda *_: loop.call_soon_threadsafe(told))
        for number in numbers
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _serving(
    listener: socket.socket, name: str, plugin: ServerPlugin, settings: Options
) -> Serving:
    """What will be carried, as the server says and as far as the settings let it."""
    secure, http3 = settings.certfile is not None, settings.http3
    carried = set(plugin.carries)
    if secure:
        carried.discard(Feature.H2C)
    else:
        carried -= NEEDS_TLS
    if not {Feature.HTTP2, Feature.H2C} & carried:
        carried -= NEEDS_HTTP2
    if http3 is False or (http3 is None and name != "native"):
        carried -= ON_UDP
    return Serving(
        url=_url(listener, secure),
        server=name,
        tcp=tuple(each for each in Feature if each in carried - ON_UDP),
        udp=tuple(each for each in Feature if each in carried & ON_UDP),
        tls=None if settings.certfile is None else whose(settings.certfile),
    )


def _dev_certificate() -> tuple[os.PathLike[str], os.PathLike[str]]:
    """A certificate for trying things out, and a word on it in the log."""
    from supersoniq.servers.devcert import dev_certificate

    made = dev_certificate()
    log.warning("%s", made)
    return made.certfile, made.keyfile


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ModuleNotFoundError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _url(listener: socket.socket, secure: bool) -> str:
    host, port = listener.getsockname()[:2]
    scheme = "https" if secure else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
