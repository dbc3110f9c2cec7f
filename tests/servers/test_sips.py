"""Reads of a bounded size, into memory that one loop has for all its connections."""

from __future__ import annotations

import asyncio
import hashlib
import threading

from supersoniq.servers.sips import SIP, Sips

MANY = 64 * SIP


class Sum(asyncio.Protocol):
    """Tells what came."""

    def __init__(self, told: asyncio.Future[tuple[str, int]]) -> None:
        self._sum, self._most, self._told = hashlib.sha256(), 0, told

    def data_received(self, data: bytes) -> None:
        self._sum.update(data)
        self._most = max(self._most, len(data))

    def connection_lost(self, exc: Exception | None) -> None:
        self._told.set_result((self._sum.hexdigest(), self._most))


async def carried(data: bytes) -> tuple[str, int]:
    """What came of it through a socket, and the size of the largest piece."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[tuple[str, int]] = loop.create_future()
    server = await loop.create_server(lambda: Sips(Sum(told)), "127.0.0.1", 0)
    _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(data)
    writer.close()
    await writer.wait_closed()
    found = await told
    server.close()
    return found


def test_loops_in_threads_do_not_share_what_they_read_to() -> None:
    found: dict[int, tuple[str, int]] = {}

    def work(number: int) -> None:
        found[number] = asyncio.run(carried(bytes([number]) * MANY))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    for number in range(8):
        digest, most = found[number]
        assert digest == hashlib.sha256(bytes([number]) * MANY).hexdigest()
        assert most <= SIP
