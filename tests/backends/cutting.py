"""Ways to a server that can be cut anywhere, byte by byte or datagram by datagram."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import supersoniq
from supersoniq.backends.memory import MemoryBackend
from tests.backends.served import House, reach, tls

__all__ = ["Cutter", "DatagramCutter", "Way", "cuttable", "quiet", "way"]


class Cutter:
    """A way to a server that can be cut anywhere.

    Args:
        port: where the server listens on the loopback interface.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server
        self._left: dict[bool, int | None] = {True: None, False: None}
        self._seen = {True: 0, False: 0}
        self._pipes: set[asyncio.Future[None]] = set()
        self._joined: set[asyncio.Task[None]] = set()
        self.connections = 0
        self.cuts = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    @property
    def sent(self) -> int:
        """Bytes that went to the server since the last ``arm``."""
        return self._seen[True]

    @property
    def answered(self) -> int:
        """Bytes that came back since the last ``arm``."""
        return self._seen[False]

    def arm(self, *, up: int | None = None, down: int | None = None) -> None:
        """Break the connection after so many bytes to the server, or from it; then never again."""
        self._left = {True: up, False: down}
        self._seen = {True: 0, False: 0}

    async def __aenter__(self) -> Cutter:
        self._server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._server.close()
        for pipe in self._pipes:
            pipe.cancel()
        await asyncio.gather(*self._joined, return_exceptions=True)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._joined.add(task)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        ends = (writer.transport, far_writer.transport)
        pipes = [
            asyncio.ensure_future(self._pump(reader, far_writer, True)),
            asyncio.ensure_future(self._pump(far_reader, writer, False)),
        ]
        self._pipes.update(pipes)
        await asyncio.wait(pipes, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.close()  # not aborted: what was let through shall arrive
        for pipe in pipes:
            pipe.cancel()
        await asyncio.gather(*pipes, return_exceptions=True)
        self._pipes.difference_update(pipes)
        self._joined.discard(task)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, up: bool
    ) -> None:
        while data := await reader.read(1 << 16):
            left = self._left[up]
            cut = left is not None and len(data) >= left
            if left is not None:
                data = data[:left]
                self._left[up] = None if cut else left - len(data)
            self._seen[up] += len(data)
            writer.write(data)
            await writer.drain()
            if cut:
                self.cuts += 1
                return


class DatagramCutter:
    """A way for datagrams. A cut one is silent from then on, as a network is that has gone away.

    Args:
        port: where the server listens on the loopback interface.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._front: asyncio.DatagramTransport
        self._backs: dict[Any, socket.socket] = {}
        """By the client's address; what leads to the server."""
        self._dead: set[Any] = set()
        self._left: dict[bool, int | None] = {True: None, False: None}
        self._seen = {True: 0, False: 0}
        self.cuts = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"https://localhost:{self._front.get_extra_info('sockname')[1]}"

    @property
    def connections(self) -> int:
        """How many clients there were."""
        return len(self._backs)

    @property
    def sent(self) -> int:
        """Datagrams that went to the server since the last ``arm``."""
        return self._seen[True]

    @property
    def answered(self) -> int:
        """Datagrams that came back since the last ``arm``."""
        return self._seen[False]

    def arm(self, *, up: int | None = None, down: int | None = None) -> None:
        """Fall silent after so many datagrams to the server, or from it; then never again."""
        self._left = {True: up, False: down}
        self._seen = {True: 0, False: 0}

    def fall_silent(self) -> None:
        """Lose from now on whatever goes between the server and the clients there are."""
        self._dead.update(self._backs)

    async def __aenter__(self) -> DatagramCutter:
        way = self

        class Front(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: Any) -> None:
                way._up(data, addr)

        loop = asyncio.get_running_loop()
        self._front, _ = await loop.create_datagram_endpoint(Front, ("127.0.0.1", 0))
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._front.close()
        for back in self._backs.values():
            asyncio.get_running_loop().remove_reader(back)
            back.close()

    def _up(self, data: bytes, client: Any) -> None:
        back = self._backs.get(client)
        if back is None:
            back = self._backs[client] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            back.setblocking(False)
            back.connect(("127.0.0.1", self._target))
            asyncio.get_running_loop().add_reader(back, self._down, back, client)
        if self._passes(True, client):
            with contextlib.suppress(OSError):  # lost on the way, as datagrams are
                back.send(data)

    def _down(self, back: socket.socket, client: Any) -> None:
        try:
            data = back.recv(65536)
        except OSError:
            return
        if self._passes(False, client):
            self._front.sendto(data, client)

    def _passes(self, up: bool, client: Any) -> bool:
        if client in self._dead:
            return False
        left = self._left[up]
        if left is not None:
            if left <= 1:
                self._left[up] = None
                self._dead.add(client)
                self.cuts += 1
                return False
            self._left[up] = left - 1
        self._seen[up] += 1
        return True


async def quiet(cutter: DatagramCutter) -> None:
    """Wait until nothing is acknowledged any more that came before."""
    before, same = None, 0
    # Several looks, since what is late on a busy machine is as late as the looks.
    while same < 4:
        await asyncio.sleep(0.01)
        same = same + 1 if before == (before := (cutter.sent, cutter.answered)) else 0


class Way(NamedTuple):
    """A server with memory behind it, and the way to it through one of the doors."""

    house: House
    cutter: Cutter | DatagramCutter
    door: str

    def reach(self, **options: Any) -> supersoniq.Broker:
        """A broker that goes this way, not open yet."""
        if self.door == "3":
            options["ca"] = tls()[0]
        return reach(self.cutter.url, self.door, **options)


def roomy(house: House) -> None:
    """Have it take many connections of one address: those that are cut stay with it for a while."""
    assert house._server._http3 is not None
    listener = house._server._http3._listener
    assert listener is not None
    listener._limits = replace(listener._limits, connections_per_address=1000)


@asynccontextmanager
async def way(door: str) -> AsyncIterator[Way]:
    """A way through one of ``served.DOORS``, or through 3, which is the one with TLS."""
    secure = door == "3"
    async with House(MemoryBackend(), certificate=tls()[1] if secure else None) as house:
        if secure:
            roomy(house)
        cutter = DatagramCutter(house.port) if secure else Cutter(house.port)
        async with cutter:
            yield Way(house, cutter, door)


@asynccontextmanager
async def cuttable(
    door: str, **options: Any
) -> AsyncIterator[tuple[House, Cutter | DatagramCutter, supersoniq.Broker]]:
    """A way, and a client that goes there; the options are those of ``connect``."""
    async with way(door) as found, found.reach(**options) as broker:
        yield found.house, found.cutter, broker
