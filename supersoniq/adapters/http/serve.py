"""The app on a uvicorn server: what ``supersoniq serve`` runs.

HTTP/1.1, HTTP/2 and WebSockets on one port; see ``supersoniq.servers.negotiate``. With TLS also
HTTP/3, on the UDP port of the same number; see ``supersoniq.servers.h3``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING, Any

import uvicorn

from supersoniq.adapters.http.app import App, create_app
from supersoniq.adapters.ws.protocol import Protocol
from supersoniq.api.broker import Broker
from supersoniq.core.errors import InvalidSetting
from supersoniq.registry import connect
from supersoniq.servers.alt_svc import alt_svc
from supersoniq.servers.negotiate import Negotiator, prepare

if TYPE_CHECKING:
    from supersoniq.servers.h3 import H3Server

__all__ = ["Server", "serve"]

log = logging.getLogger("supersoniq.http")


def serve(
    broker: str | Broker,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    root_path: str = "",
    grace: float = 10.0,
    max_connections: int | None = 10_000,
    certfile: str | os.PathLike[str] | None = None,
    keyfile: str | os.PathLike[str] | None = None,
    dev: bool = False,
    http3: bool = True,
    on_started: Callable[[str], None] | None = None,
    **options: Any,
) -> None:
    """Serve a broker over HTTP until SIGINT or SIGTERM; then finish what has begun and return.

    Prints nothing. Logs go to ``uvicorn`` and ``supersoniq``, for the program to set up.

    Args:
        broker: a ``connect`` URL, or a broker that is not open yet.
        host: the address to listen on.
        port: the port; 0 takes a free one.
        root_path: the path under which a proxy shows the app, for the links that it gives.
        grace: seconds that requests get to finish. Long polls and event streams end at once.
        max_connections: connections and requests at the same time; more are answered with 503.
        certfile: a certificate chain in PEM; with it, TLS is spoken.
        keyfile: its private key, if that is in a file of its own.
        dev: make a certificate for this machine that nobody trusts, log where it is, and use it.
        http3: with TLS, also speak HTTP/3, on the UDP port with the same number.
        on_started: called with the real URL once it takes requests.
        options: those of ``create_app``.

    Raises:
        OSError: the address cannot be listened on.
        SupersoniqError: the store cannot be opened, or a setting cannot be.
    """
    if isinstance(broker, str):
        broker = connect(broker)
    if dev:
        certfile, keyfile = _dev_certificate(certfile)
    app = create_app(broker, **options)
    listener = _listen(host, port)
    try:
        server = Server(
            app,
            root_path=root_path,
            grace=grace,
            max_connections=max_connections,
            certfile=certfile,
            keyfile=keyfile,
            http3=http3,
        )
        with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
            runner.run(_run(server, broker, listener, on_started))
    finally:
        listener.close()


class Server(uvicorn.Server):
    """A uvicorn server that sends waiting clients home before it waits for them.

    Args:
        app: the app.
        root_path, grace, max_connections, certfile, keyfile, http3: as for ``serve``.
    """

    def __init__(
        self,
        app: App,
        *,
        root_path: str = "",
        grace: float = 10.0,
        max_connections: int | None = None,
        certfile: str | os.PathLike[str] | None = None,
        keyfile: str | os.PathLike[str] | None = None,
        http3: bool = True,
    ) -> None:
        config = uvicorn.Config(
            app,
            http=Negotiator,
            ssl_certfile=certfile,
            ssl_keyfile=keyfile,
            lifespan="off",  # the broker is opened around the server, so that its errors come out
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            root_path=root_path,
            limit_concurrency=max_connections,
            timeout_graceful_shutdown=max(round(grace), 1),
            ws=Protocol,
            ws_max_size=app.service.limits.max_body,
            ws_per_message_deflate=False,  # a small frame can become a very large one
        )
        prepare(config)
        super().__init__(config)
        self.app = app
        self.on_started: Callable[[], None] | None = None
        self._grace = grace
        self._http3: H3Server | None = None
        if certfile is not None and http3:
            self._http3 = _http3(app, certfile, keyfile, root_path, max_connections)

    def stop(self) -> None:
        """Stop soon, from any thread."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, and say so."""
        if self._http3 is not None and sockets:
            await self._http3.start_beside(sockets[0])
            self.config.encoded_headers.append(alt_svc(self._http3.port))
        await super().startup(sockets)
        if self.on_started is not None:
            self.on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, let requests finish."""
        self.app.drain()
        await self.app.sockets.ended()  # uvicorn would cut them without a word
        ends = [super().shutdown(sockets)]
        if self._http3 is not None:
            ends.append(self._http3.stop(self._grace))
        await asyncio.gather(*ends)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let SIGINT and SIGTERM stop the server. They are not raised again: stopping was all."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {
            number: signal.signal(number, self._on_signal)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.handle_exit(number, frame)


async def _run(
    server: Server,
    broker: Broker,
    listener: socket.socket,
    on_started: Callable[[str], None] | None,
) -> None:
    if on_started is not None:
        url = _url(listener, server.config.is_ssl)
        server.on_started = lambda: on_started(url)
    async with broker:
        await server.app.service.names()
        await server.serve([listener])


def _http3(
    app: App,
    certfile: str | os.PathLike[str],
    keyfile: str | os.PathLike[str] | None,
    root_path: str,
    max_connections: int | None,
) -> H3Server:
    """The same app over HTTP/3. Imported here: who has no TLS need not wait for it."""
    from supersoniq.servers.h3 import H3Server, Limits

    limits = Limits(message_bytes=app.service.limits.max_body)
    if max_connections is not None and max_connections < limits.max_connections:
        limits = replace(limits, max_connections=max_connections)
    return H3Server(app, certfile, keyfile, root_path=root_path, limits=limits)


def _dev_certificate(certfile: object) -> tuple[os.PathLike[str], os.PathLike[str]]:
    """A certificate for trying things out, and a word on it in the log."""
    from supersoniq.servers.devcert import dev_certificate

    if certfile is not None:
        raise InvalidSetting("dev", True, "uses a certificate of its own, so certfile is too much")
    made = dev_certificate()
    log.warning("%s", made)
    return made.certfile, made.keyfile


def _listen(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.create_server(address[:2], family=family, backlog=2048)
    # Connections inherit it. asyncio sets it only where the protocol is named, and without it each
    # answer waits 40 ms for the client's acknowledgement of its head.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _url(listener: socket.socket, secure: bool) -> str:
    host, port = listener.getsockname()[:2]
    scheme = "https" if secure else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
