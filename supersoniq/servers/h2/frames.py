"""Bytes become frames here, one by one, before ``h2`` sees any of them.

h2 takes a chunk of bytes and gives the events of all its frames. That has three faults: an error in
one frame loses the events of those before it; a frame's length is looked at when all of it has
come; and frames that carry nothing give no events by which to count them. So frames are cut here,
counted, and given to h2 one at a time.

Two kinds are changed on the way. SETTINGS keep only what HTTP/2 has: h2 remembers each of 65,536
possible ones. GOAWAY never reaches h2, which would answer nothing any more after it; but a client
that says goodbye still waits for its answers (RFC 9113, section 6.8).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

__all__ = [
    "CONTINUATION",
    "DATA",
    "END_HEADERS",
    "END_STREAM",
    "GOAWAY",
    "HEADERS",
    "PING",
    "PREFACE",
    "PRIORITY",
    "RST_STREAM",
    "SETTINGS",
    "WINDOW_UPDATE",
    "BadFrame",
    "Frame",
    "Frames",
    "goaway",
]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0, 1, 2, 3, 4
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 5, 6, 7, 8, 9
ACK = END_STREAM = 1
END_HEADERS = 4
KNOWN_SETTINGS = frozenset((1, 2, 3, 4, 5, 6, 8))
MAX_FRAME = 16384
"""Bytes of a frame that we take: the least that HTTP/2 allows, and what it begins with."""
MAX_SETTINGS = 32
"""Entries of one SETTINGS frame; HTTP/2 has seven."""

PROTOCOL_ERROR, FRAME_SIZE_ERROR, ENHANCE_YOUR_CALM = 1, 6, 11


class BadFrame(Exception):
    """The connection cannot go on.

    Args:
        code: HTTP/2's number for the error.
        problem: in words.
    """

    def __init__(self, code: int, problem: str) -> None:
        super().__init__(problem)
        self.code = code


class Frame(NamedTuple):
    """A frame as it came."""

    kind: int
    flags: int
    stream: int
    raw: bytes
    """With its nine bytes of head; SETTINGS as they are given to h2."""


class Frames:
    """Cuts what arrives into frames.

    Args:
        max_block: bytes that a header block may have, compressed, with all its CONTINUATIONs.
    """

    __slots__ = ("_block", "_block_stream", "_buffer", "_max_block", "_preface")

    def __init__(self, max_block: int) -> None:
        self._buffer = bytearray()
        self._preface = True
        self._max_block = max_block
        self._block = 0
        self._block_stream = 0

    @property
    def owed(self) -> bool:
        """Whether the peer owes the rest of its preface, a frame's head, or a header block."""
        buffer = self._buffer
        if self._preface or self._block_stream:
            return True
        return bool(buffer) and (len(buffer) < 9 or buffer[3] in (HEADERS, CONTINUATION))

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are whole now. Each is to be used before the next is asked for.

        Raises:
            BadFrame: the connection cannot go on.
        """
        buffer = self._buffer
        buffer += data
        start = 0
        try:
            if self._preface:
                if len(buffer) < len(PREFACE):
                    if not PREFACE.startswith(buffer):
                        raise BadFrame(PROTOCOL_ERROR, "this is not HTTP/2")
                    return
                if not buffer.startswith(PREFACE):
                    raise BadFrame(PROTOCOL_ERROR, "this is not HTTP/2")
                self._preface = False
                start = len(PREFACE)
            end = len(buffer)
            while end - start >= 9:
                size = int.from_bytes(buffer[start : start + 3], "big")
                if size > MAX_FRAME:
                    raise BadFrame(FRAME_SIZE_ERROR, f"a frame is over {MAX_FRAME} bytes")
                if end - start < size + 9:
                    break
                raw = bytes(buffer[start : start + size + 9])
                start += size + 9
                yield self._frame(raw)
        finally:
            del buffer[:start]

    def _frame(self, raw: bytes) -> Frame:
        kind, flags = raw[3], raw[4]
        stream = int.from_bytes(raw[5:9], "big") & 0x7FFFFFFF
        if self._block_stream:
            if kind != CONTINUATION or stream != self._block_stream:
                raise BadFrame(PROTOCOL_ERROR, "a header block was interrupted")
            self._count_block(raw, flags, stream)
        elif kind == HEADERS:
            self._block = 0
            self._count_block(raw, flags, stream)
        elif kind == CONTINUATION:
            raise BadFrame(PROTOCOL_ERROR, "a header block has no beginning")
        elif kind == SETTINGS:
            raw = _known_settings(raw)
        return Frame(kind, flags, stream, raw)

    def _count_block(self, raw: bytes, flags: int, stream: int) -> None:
        # A frame counts for some bytes even when it has none.
        self._block += len(raw)
        if self._block > self._max_block:
            raise BadFrame(ENHANCE_YOUR_CALM, f"a header block is over {self._max_block} bytes")
        self._block_stream = 0 if flags & END_HEADERS else stream


def _known_settings(raw: bytes) -> bytes:
    body = raw[9:]
    if len(body) > MAX_SETTINGS * 6:
        raise BadFrame(ENHANCE_YOUR_CALM, f"over {MAX_SETTINGS} settings at once")
    if len(body) % 6:
        raise BadFrame(FRAME_SIZE_ERROR, "settings have six bytes each")
    last = {body[at : at + 2]: body[at : at + 6] for at in range(0, len(body), 6)}
    known = b"".join(last[name] for name in last if int.from_bytes(name, "big") in KNOWN_SETTINGS)
    return len(known).to_bytes(3, "big") + raw[3:9] + known


def goaway(last_stream: int, code: int, problem: str = "") -> bytes:
    """A GOAWAY frame. One that h2 sends would be the last thing that it sends."""
    body = last_stream.to_bytes(4, "big") + code.to_bytes(4, "big") + problem.encode()
    return len(body).to_bytes(3, "big") + bytes((GOAWAY, 0, 0, 0, 0, 0)) + body
