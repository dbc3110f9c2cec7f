"""What is all right by itself, in the smallest pieces that there are, and many at once.

Each connection sends as fast as it is read. None of it need be refused; but nobody else may have to
wait until all of what has come at once is worked on.
"""

from __future__ import annotations

import asyncio
import contextlib

from hpack import Encoder

from benchmarks.abuse import doors
from benchmarks.abuse.attacks.frames2 import DATA, HEADERS, HELLO, frame
from benchmarks.abuse.attacks.sockets import text
from benchmarks.abuse.trial import Attack, Scale

__all__ = ["ATTACKS"]

HEAD = {b":method": b"POST", b":scheme": b"https", b":authority": b"localhost",
        b":path": b"/messages", b"content-type": b"application/x-ndjson"}  # fmt: skip


async def requests(door: str, port: int, scale: Scale) -> str:
    """Requests of HTTP/1.1, without waiting for an answer."""
    return await _pour(port, "http/1.1", b"", b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n", scale)


async def chunks(door: str, port: int, scale: Scale) -> str:
    """A body in chunks of one byte."""
    head = b"POST /messages HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\n"
    first = head + b"transfer-encoding: chunked\r\n\r\n"
    return await _pour(port, "http/1.1", first, b"1\r\n\n\r\n", scale)


async def data(door: str, port: int, scale: Scale) -> str:
    """A body in DATA frames of one byte."""
    first = HELLO + frame(HEADERS, 4, 1, Encoder().encode(list(HEAD.items())))
    return await _pour(port, "h2", first, frame(DATA, 0, 1, b"\n"), scale)


async def _pour(port: int, alpn: str, first: bytes, piece: bytes, scale: Scale) -> str:
    """Write 60,000 pieces on a connection, as many as HTTP/2 has window for, and on others."""
    count, visits, batch = 0, 0, 2000
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(scale.pick(10, 1)):
            while True:
                reader, writer = await doors.connect(port, alpn)
                visits += 1
                listening = asyncio.ensure_future(_listen(reader))
                try:
                    with contextlib.suppress(OSError):
                        writer.write(first)
                        for _ in range(60_000 // batch):
                            if listening.done():
                                break
                            writer.write(piece * batch)
                            await writer.drain()
                            count += batch
                finally:
                    listening.cancel()
                    await asyncio.wait((listening,))
                    doors.drop(writer)
    return f"{count:,} in {visits} connections"


async def _listen(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(OSError):
        while await reader.read(65536):
            pass


async def messages(door: str, port: int, scale: Scale) -> str:
    """The shortest requests of the WebSocket protocol, whose answers are read."""
    batch = text(type="ping", id=1) * 1000
    sent = 0
    async with doors.wire(door, port) as wire:
        await wire.until(lambda: b"welcome" in wire.received)
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(scale.pick(10, 1)):
                while not wire.over():
                    await wire.write(batch)
                    del wire.received[:-1000]
                    await asyncio.sleep(0)
                    sent += 1000
        assert not wire.over(), f"it was cut: {bytes(wire.received)!r}"
    return f"{sent:,} were taken"


ATTACKS = [
    Attack("requests without waiting", "h1", requests),
    Attack("chunks of one byte", "h1", chunks),
    Attack("DATA of one byte", "h2", data),
    *(Attack("WebSocket: short requests", door, messages) for door in doors.CARRIERS),
]
