"""The head of an answer and its body, written together.

uvicorn writes one after the other, and each write is a call of the system, a packet and a wake-up
of the client: much of what a short answer costs either of them. So the head waits for the body,
though never longer than until the loop's next turn: the head of a stream whose first piece is yet
to come goes alone.
"""

from __future__ import annotations

import asyncio

__all__ = ["Joining"]


class Joining:
    """A transport that writes the head of an answer together with what follows.

    Args:
        transport: the real one.
        loop: its loop.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.transport = transport
        self.is_closing = transport.is_closing
        self.get_extra_info = transport.get_extra_info
        self.get_write_buffer_size = transport.get_write_buffer_size
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading
        self.can_write_eof = transport.can_write_eof
        self._call_soon = loop.call_soon
        self._head = b""

    def write(self, data: bytes) -> None:
        """Write, or keep a head until the body is there."""
        if self._head:
            self.transport.writelines((self._head, data))
            self._head = b""
        elif data.startswith(b"HTTP/1.") and data.endswith(b"\r\n\r\n"):
            self._head = data
            self._call_soon(self._flush)
        else:
            self.transport.write(data)

    def write_eof(self) -> None:
        """Say that this was all, and go on reading."""
        self._flush()
        self.transport.write_eof()

    def close(self) -> None:
        """Close, after all that was written."""
        self._flush()
        self.transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._head = b""
        self.transport.abort()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand the connection over."""
        self._flush()
        self.transport.set_protocol(protocol)

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self.transport.write(head)
