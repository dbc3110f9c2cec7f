"""One WebSocket connection that keeps a server busy, and costs little itself.

A client of a library costs about as much as the server, and would be half of what is measured. This
one encodes a frame once and sends it over and over; of what comes it looks at the lengths of frames
and, where it works, for the receipts. It masks with zeros, which leaves the bytes as they are.
"""

from __future__ import annotations

import asyncio
import re
import struct
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec
import uvloop

from benchmarks.harness import CONTENT

__all__ = ["carry", "publish"]

UNDER_WAY = 8
"""Batches that are not answered yet; of single messages a hundred times as many."""
MASK = bytes(4)


def publish(address: str, binary: bool, batch: int, count: int, token: str = "") -> float:
    """Publish messages in frames of ``batch``; gives how many a second were answered."""
    return _run(lambda: _Publisher(binary, batch, count, token), address)


def carry(address: str, binary: bool, batch: int, count: int, token: str = "") -> float:
    """Publish messages, get each of them and acknowledge it; gives how many a second."""
    return _run(lambda: _Worker(binary, batch, count, token), address)


def _run(make: Callable[[], _Client], address: str) -> float:
    return uvloop.run(_measured(make, address))


async def _measured(make: Callable[[], _Client], address: str) -> float:
    url = urlsplit(address)
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(make, url.hostname or "", url.port or 80)
    return await client.rate


class _Client(asyncio.Protocol):
    """The connection, and the frames on it."""

    def __init__(self, binary: bool, batch: int, count: int, token: str) -> None:
        self.binary = binary
        self.batch = batch
        self.left = count
        self.rate: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._count = count
        self._token = token
        self._buffer = b""
        self._open = False
        self._transport: asyncio.Transport

    def frame(self, **fields: Any) -> bytes:
        """A request as it travels."""
        if self.binary:
            return _masked(0x82, msgspec.msgpack.encode(fields))
        return _masked(0x81, msgspec.json.encode(fields))

    def publishing(self) -> bytes:
        """The frame that publishes a batch."""
        content = CONTENT if self.binary else CONTENT.decode()
        return self.frame(type="publish", id=1, messages=[{"content": content}] * self.batch)

    def write(self, frames: bytes) -> None:
        """Send."""
        self._transport.write(frames)

    def begin(self) -> None:
        """Send the first requests."""
        raise NotImplementedError

    def hear(self, frame: bytes) -> None:
        """A frame has come."""
        raise NotImplementedError

    def heard(self) -> None:
        """No more have come for now."""
        raise NotImplementedError

    def done(self) -> None:
        """That was all."""
        self.rate.set_result(self._count / (time.perf_counter() - self._began))
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop has its own
        offered = f"supersoniq.v1.{'msgpack' if self.binary else 'json'}"
        if self._token:
            offered += f", bearer.{self._token}"
        self._transport.write(
            b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            b"Sec-WebSocket-Protocol: %b\r\n\r\n" % offered.encode()
        )

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        if not self._open:
            head, found, rest = buffer.partition(b"\r\n\r\n")
            self._buffer = buffer
            if not found:
                return
            if not head.startswith(b"HTTP/1.1 101"):
                self.rate.set_exception(RuntimeError(buffer.decode()))
            self._open, buffer = True, rest
            self._began = time.perf_counter()
            self.begin()
        start, size = 0, len(buffer)
        while size - start >= 2:
            length, body = buffer[start + 1], start + 2
            if length == 126:
                body += 2
                length = int.from_bytes(buffer[start + 2 : body])
            elif length == 127:
                body += 8
                length = int.from_bytes(buffer[start + 2 : body])
            if size < body + length:
                break
            start = body + length
            if buffer[start - length : start].find(b"error", 0, 16) >= 0:
                self.rate.set_exception(RuntimeError(repr(buffer[body:start])))
                return
            self.hear(buffer[body:start])
        self._buffer = buffer[start:]
        if not self.rate.done():
            self.heard()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.rate.done():
            self.rate.set_exception(error or EOFError("the server hung up"))


class _Publisher(_Client):
    """Publishes, as soon as there is an answer the next."""

    def begin(self) -> None:
        self._one = self.publishing()
        self._to_send = self.left // self.batch
        self._answered = UNDER_WAY if self.batch > 1 else UNDER_WAY * 100
        self.left += self.batch  # the welcome counts as one, too

    def hear(self, _frame: bytes) -> None:
        self.left -= self.batch
        self._answered += 1

    def heard(self) -> None:
        if self.left <= 0:
            self.done()
            return
        now = min(self._answered, self._to_send)
        if now:
            self._to_send -= now
            self.write(self._one * now)
        self._answered = 0


class _Worker(_Client):
    """Publishes, gets what it has published, and acknowledges it."""

    def begin(self) -> None:
        self._one = self.publishing()
        self._to_publish = self.left
        self._credit = UNDER_WAY * 100
        self._receipts: list[bytes] = []
        self._find = re.compile(
            rb"\xa7receipt(\xd9.[\x21-\x7e]+|[\xa0-\xbf][\x21-\x7e]+)"
            if self.binary
            else rb'"receipt":("[^"]+")'
        ).findall
        self.write(self.frame(type="subscribe", id=0, mode="work", credit=self._credit))
        self._publish(self._credit)

    def hear(self, frame: bytes) -> None:
        if b"deliver" in frame[:32]:
            self._receipts += self._find(frame)

    def heard(self) -> None:
        ready = self._receipts
        done = 0
        # The last ones may be fewer than a batch.
        while len(ready) - done >= min(self.batch, self.left) > 0:
            these = ready[done : done + self.batch]
            done += len(these)
            self.left -= len(these)
            self.write(self._settling(these))
        del ready[:done]
        if self._to_publish and done:
            self._publish(done)
        if not self.left and not self.rate.done():
            self.done()

    def _publish(self, count: int) -> None:
        frames = min(count, self._to_publish) // self.batch
        self._to_publish -= frames * self.batch
        self.write(self._one * frames)

    def _settling(self, receipts: list[bytes]) -> bytes:
        if not self.binary:
            acks = b",".join(b'{"receipt":%b,"outcome":"ack"}' % each for each in receipts)
            return _masked(0x81, b'{"type":"settle","id":2,"settlements":[%b]}' % acks)
        acks = b"".join(b"\x82\xa7receipt%b\xa7outcome\xa3ack" % each for each in receipts)
        head = b"\x83\xa4type\xa6settle\xa2id\x02\xabsettlements\xdc" + struct.pack(
            ">H", len(receipts)
        )
        return _masked(0x82, head + acks)


def _masked(code: int, body: bytes) -> bytes:
    """A frame of RFC 6455, section 5.2."""
    if len(body) < 126:
        head = bytes((code, 0x80 | len(body)))
    elif len(body) < 1 << 16:
        head = struct.pack(">BBH", code, 0x80 | 126, len(body))
    else:
        head = struct.pack(">BBQ", code, 0x80 | 127, len(body))
    return head + MASK + body
