"""Frames of HTTP/2 as bytes, for clients that say what no library would."""

from __future__ import annotations

import asyncio
import struct
from asyncio import FIRST_COMPLETED
from collections.abc import Iterable

from hpack import Encoder

from benchmarks.abuse import doors

__all__ = ["CONTINUATION", "DATA", "HEADERS", "HELLO", "PING", "RST_STREAM", "SETTINGS", "Rude",
           "frame", "head_block"]  # fmt: skip

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, CONTINUATION = 0, 1, 2, 3, 4, 6, 9
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"


def frame(kind: int, flags: int, stream: int, body: bytes = b"") -> bytes:
    """A frame."""
    return len(body).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, stream) + body


def head_block(path: bytes = b"/", method: bytes = b"GET") -> bytes:
    """A request's head, without the dynamic table."""
    head = {b":method": method, b":scheme": b"https", b":authority": b"localhost", b":path": path}
    return Encoder().encode([(name, value, True) for name, value in head.items()])


class Rude:
    """A connection that is thrown out, and comes back with the rest of what it had to say."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.codes: list[int] = []
        """Why it was thrown out, each time."""
        self.sent = 0
        self._heard = asyncio.Event()

    async def pour(self, pieces: Iterable[bytes]) -> bool:
        """Say hello and then all this, or until the server has enough; whether all was said."""
        reader, writer = await doors.connect(self.port, "h2")
        listening = asyncio.ensure_future(self._listen(reader))
        try:
            writer.write(HELLO)
            for piece in pieces:
                if listening.done():
                    return False
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
                self.sent += 1
            writer.write(frame(PING, 0, 0, b"the last"))
            await writer.drain()
            heard = asyncio.ensure_future(self._heard.wait())
            await asyncio.wait((listening, heard), timeout=60, return_when=FIRST_COMPLETED)
            heard.cancel()
            return not listening.done()
        except OSError:
            await asyncio.wait((listening,), timeout=5)
            return False
        finally:
            listening.cancel()
            await asyncio.wait((listening,))
            doors.drop(writer)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                head = await reader.readexactly(9)
                body = await reader.readexactly(int.from_bytes(head[:3], "big"))
                if head[3] == 7:
                    self.codes.append(int.from_bytes(body[4:8], "big"))
                elif head[3] == PING and head[4] == 1 and body == b"the last":
                    self._heard.set()
        except (OSError, EOFError):
            pass
