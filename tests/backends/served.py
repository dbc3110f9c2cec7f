"""A store behind a real server on the loopback interface, reached by the remote backend."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import supersoniq
from supersoniq.adapters import create_app
from supersoniq.adapters.http.app import App
from supersoniq.adapters.http.serve import Server
from supersoniq.backends.remote import connect
from supersoniq.clock import Clock
from supersoniq.port import Backend
from supersoniq.testing import Harness

__all__ = ["House", "RemoteHarness", "broker_on"]


class House:
    """A server in the running event loop, for a backend that is open or not.

    Args:
        backend: what it serves.
        port: to come back where another one was.
        options: those of ``create_app``.
    """

    def __init__(self, backend: Backend, port: int = 0, **options: Any) -> None:
        self.broker = supersoniq.Broker(backend)
        self.app: App = create_app(self.broker, **options)
        self._listener = socket.create_server(("127.0.0.1", port))
        # Without it, and without uvloop, each answer of two pieces takes 40 ms.
        self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._server = Server(self.app)

    async def open(self) -> None:
        """Take requests."""
        await self.broker.open()
        config = self._server.config
        config.load()
        self._server.lifespan = config.lifespan_class(config)
        await self._server.startup([self._listener])

    async def close(self) -> None:
        """Send everybody home. As a server does that is stopped, without its pauses."""
        self.app.drain()
        for server in self._server.servers:
            server.close()
        self._listener.close()
        state = self._server.server_state
        for connection in list(state.connections):
            connection.shutdown()
        for _ in range(200):
            if not state.connections and not state.tasks:
                break
            await asyncio.sleep(0.001)
        self.cut()
        await self.broker.close()

    def cut(self) -> None:
        """Break every connection."""
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()

    async def __aenter__(self) -> House:
        await self.open()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()


class RemoteHarness(Harness):
    """Any store's harness, seen through a server."""

    def __init__(self, behind: Harness) -> None:
        self._behind = behind
        self.medium = behind.medium
        self._house: House | None = None

    async def backend(self, clock: Clock) -> Backend:
        if self._house is None:
            self._house = House(await self._behind.backend(clock))
            await self._house.open()
        opened = connect(self._house.url, patience=0)
        await opened.open()
        return opened

    async def corrupt(self, queue: str, id: int) -> None:
        await self._behind.corrupt(queue, id)

    async def crash(self, backend: Backend) -> None:
        """Its process dies: the server sees broken connections, and nothing else."""
        assert self._house is not None
        self._house.cut()
        await backend.close()

    async def close(self) -> None:
        if self._house is not None:
            await self._house.close()
        await self._behind.close()


def broker_on(house: House, **options: Any) -> supersoniq.Broker:
    """A broker that reaches the house from outside."""
    return supersoniq.connect(house.url, **options)
