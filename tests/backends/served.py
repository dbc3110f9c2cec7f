"""A store behind a real server on the loopback interface, reached by the remote backend."""

from __future__ import annotations

import asyncio
import atexit
import functools
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trustme

import supersoniq
from supersoniq.adapters import create_app
from supersoniq.adapters.http.app import App
from supersoniq.adapters.http.exposure import listen
from supersoniq.adapters.http.native import Server
from supersoniq.auth import Verifier
from supersoniq.backends.memory import MemoryBackend
from supersoniq.backends.remote import RemoteBackend, connect
from supersoniq.clock import Clock
from supersoniq.port import Backend
from supersoniq.servers.h3 import udp_socket
from supersoniq.testing import Harness

__all__ = ["DOORS", "House", "MemoryHarness", "RemoteHarness", "hosted", "reach", "tls"]

DOORS = ("1.1", "2", "ws")
"""Those over TCP that need no TLS."""


def reach(url: str, door: str, **options: Any) -> supersoniq.Broker:
    """A broker that goes through one of the doors of a server, not open yet."""
    if door == "ws":
        return supersoniq.connect(url.replace("http", "ws", 1), **options)
    return supersoniq.connect(url, http=door, **options)


class House:
    """A server in the running event loop, for a backend that is open or not.

    Args:
        backend: what it serves.
        port: to come back where another one was.
        certificate: a file with a certificate and its key, to serve with TLS and HTTP/3.
        options: those of ``create_app``.
    """

    def __init__(
        self, backend: Backend, port: int = 0, certificate: Path | None = None, **options: Any
    ) -> None:
        self.broker = supersoniq.Broker(backend)
        self.app: App = create_app(self.broker, **options)
        self._listener = listen("127.0.0.1", port, clear_text=False)
        self.port: int = self._listener.getsockname()[1]
        secure = certificate is not None
        self.url = f"https://localhost:{self.port}" if secure else f"http://127.0.0.1:{self.port}"
        self._server = Server(self.app, certfile=certificate, grace=1)

    async def open(self) -> None:
        """Take requests."""
        await self.broker.open()
        config = self._server.config
        if not config.loaded:
            config.load()
        self._server.lifespan = config.lifespan_class(config)
        await self._server.startup([self._listener])

    async def close(self) -> None:
        """Send everybody home. As a server does that is stopped, without its pauses."""
        self.app.drain()
        # The doors first: a loop that watches a closed socket is deaf for the next of its number.
        for door in self._server._doors:
            door.close()
        for server in self._server.servers:
            server.close()
        self._listener.close()
        state = self._server.server_state
        for connection in list(state.connections):
            connection.shutdown()
        if self._server._http3 is not None:
            await self._server._http3.stop(0.1)
        for _ in range(200):
            if not state.connections and not state.tasks:
                break
            await asyncio.sleep(0.001)
        self.cut()
        await self.broker.close()
        await asyncio.sleep(0)  # for what was closed to be so

    def cut(self) -> None:
        """Break every connection."""
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()

    async def die(self, *, back: bool = True) -> None:
        """Do to HTTP/3 what ``kill -9`` does: nobody is told. Then be back, as if started again."""
        http3 = self._server._http3
        assert http3 is not None
        listener = http3._listener
        assert listener is not None
        for each in list(listener.connections):
            each.abandon()
        listener.close()
        await asyncio.sleep(0)  # for it to be closed
        if back:
            await http3.start(udp_socket("127.0.0.1", self.port, socket.AF_INET))

    def connect(self, door: str = "1.1", **options: Any) -> RemoteBackend:
        """A client's backend that goes through one of the doors, not open yet."""
        if door == "ws":
            return connect(self.url.replace("http", "ws", 1), **options)
        return connect(self.url, http=door, **options)

    async def __aenter__(self) -> House:
        await self.open()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()


@functools.cache
def tls() -> tuple[Path, Path]:
    """The files of an authority and of a certificate for localhost, with its key."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    certificate.private_key_and_cert_chain_pem.write_to_path(folder / "chain.pem")
    return folder / "ca.pem", folder / "chain.pem"


class MemoryHarness(Harness):
    """A store to be seen through a server."""

    medium = False  # bytes never leave the process

    async def backend(self, clock: Clock) -> Backend:
        backend = MemoryBackend(clock=clock)
        await backend.open()
        return backend


class RemoteHarness(Harness):
    """Any store's harness, seen through a server."""

    def __init__(
        self,
        behind: Harness,
        door: str = "1.1",
        *,
        secure: bool = False,
        auth: Verifier | None = None,
        **options: Any,
    ) -> None:
        self._behind = behind
        self._door = door
        self._opened: list[RemoteBackend] = []
        self._certificate = tls()[1] if secure else None
        self._options: dict[str, Any] = {"ca": tls()[0], **options} if secure else options
        self._auth = auth
        self.medium = behind.medium
        self._house: House | None = None

    async def backend(self, clock: Clock) -> Backend:
        if self._house is None:
            backend = await self._behind.backend(clock)
            self._house = House(backend, certificate=self._certificate, auth=self._auth)
            await self._house.open()
        await self._gone()
        opened = self._house.connect(self._door, patience=0, **self._options)
        await opened.open()
        self._opened.append(opened)
        return opened

    async def corrupt(self, queue: str, id: int) -> None:
        await self._behind.corrupt(queue, id)

    async def crash(self, backend: Backend) -> None:
        await super().crash(backend)
        await self._gone()

    async def close(self) -> None:
        if self._house is not None:
            await self._house.close()
        await self._behind.close()

    async def _gone(self) -> None:
        """Until the server has noticed the end of every WebSocket that a client has closed."""
        assert self._house is not None
        alive = sum(each.is_open for each in self._opened)
        async with asyncio.timeout(60):
            while len(self._house.app.sockets) > alive:  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.001)


@contextmanager
def hosted(backend: Callable[[], Backend] = MemoryBackend, **options: Any) -> Iterator[str]:
    """A house in a thread of its own; gives its URL."""
    started: Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def live() -> None:
        async with House(backend(), **options) as house:
            over = asyncio.Event()
            started.set_result((house.url, asyncio.get_running_loop(), over))
            await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(live()))
    thread.start()
    url, loop, over = started.result(60)
    try:
        yield url
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
