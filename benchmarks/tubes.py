"""A client of beanstalkd that keeps it busy: put, reserve and delete, a hundred in one write.

Four hundreds are under way, which suited it best: with fewer it waits for the client, with more its
queues of commands grow long.
"""

from __future__ import annotations

import asyncio
import re
import time

import uvloop

from benchmarks.harness import CONTENT

__all__ = ["carry"]

UNDER_WAY = 4
PUT = b"put 0 0 60 %d\r\n%b\r\n" % (len(CONTENT), CONTENT)
ANSWERS = re.compile(
    rb"INSERTED \d+\r\n|RESERVED (\d+) (\d+)\r\n.{%d}\r\n|DELETED\r\n" % len(CONTENT), re.DOTALL
)


def carry(address: str, batch: int, count: int) -> float:
    """Put messages, reserve each of them and delete it; gives how many a second."""
    return uvloop.run(_carry(address, batch, count))


async def _carry(address: str, batch: int, count: int) -> float:
    host, _, port = address.rpartition(":")
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(lambda: _Client(batch, count), host, int(port))
    return await client.rate


class _Client(asyncio.Protocol):
    def __init__(self, batch: int, count: int) -> None:
        self.rate: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._batch = batch
        self._count = count
        self._to_begin = self._to_delete = count
        self._reserved: list[bytes] = []
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop has its own
        self._began = time.perf_counter()
        for _ in range(UNDER_WAY):
            self._begin()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data
        end = 0
        for answer in ANSWERS.finditer(buffer):
            if answer.start() != end:
                break
            end = answer.end()
            if answer[1]:
                self._reserved.append(answer[1])
            elif answer[0] == b"DELETED\r\n":
                self._to_delete -= 1
        self._buffer = buffer[end:]
        if len(self._buffer) > 2 * len(CONTENT):
            self.rate.set_exception(RuntimeError(repr(self._buffer)))
            return
        while len(self._reserved) >= self._batch:
            these = self._reserved[: self._batch]
            del self._reserved[: self._batch]
            self._transport.write(b"".join(b"delete %b\r\n" % each for each in these))
            self._begin()
        if not self._to_delete:
            self.rate.set_result(self._count / (time.perf_counter() - self._began))
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.rate.done():
            self.rate.set_exception(error or EOFError("the server hung up"))

    def _begin(self) -> None:
        if self._to_begin:
            self._to_begin -= self._batch
            self._transport.write(PUT * self._batch + b"reserve\r\n" * self._batch)
