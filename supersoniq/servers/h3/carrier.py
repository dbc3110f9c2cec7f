"""What a QUIC connection does for one of its streams; see ``supersoniq.servers.stream``."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from aioquic.h3.connection import ErrorCode

from supersoniq.servers.stream import Fields, Reset

if TYPE_CHECKING:
    from supersoniq.servers.h3.protocol import Protocol

__all__ = ["QuicCarrier"]

log = logging.getLogger("supersoniq.servers.h3")

CODES = {
    Reset.DONE: ErrorCode.H3_NO_ERROR,
    Reset.CANCEL: ErrorCode.H3_REQUEST_CANCELLED,
    Reset.REFUSED: ErrorCode.H3_REQUEST_REJECTED,
    Reset.MALFORMED: ErrorCode.H3_MESSAGE_ERROR,
    Reset.INTERNAL: ErrorCode.H3_INTERNAL_ERROR,
    Reset.SLOW: ErrorCode.H3_EXCESSIVE_LOAD,
}


class QuicCarrier:
    """The connection's side of a request stream.

    What the app sends goes into aioquic's buffer of the stream, and leaves it when the client has
    acknowledged it. Above ``send_buffer`` bytes of that nothing is taken; the app is called again
    at half of it, so that it gives much at a time.
    """

    __slots__ = ("_protocol", "stream_id")

    def __init__(self, protocol: Protocol, stream_id: int) -> None:
        self._protocol = protocol
        self.stream_id = stream_id

    def send_head(self, fields: Fields, end: bool) -> None:
        """Send header fields."""
        protocol = self._protocol
        if protocol.quic.is_open(self.stream_id):
            with protocol.mending(self.stream_id):
                protocol.framing.send_headers(self.stream_id, list(fields), end)
            protocol.transmit_soon()

    def send_data(self, data: memoryview, end: bool) -> int:
        """Send as much as there is room for."""
        protocol, stream_id = self._protocol, self.stream_id
        if not protocol.quic.is_open(stream_id):
            return len(data)  # nobody will miss it, and the stream is told of its end
        room = protocol.limits.send_buffer - protocol.quic.unsent(stream_id)
        taken = min(len(data), max(room, 0))
        whole = taken == len(data)
        if not whole:
            protocol.blocked.add(stream_id)
        if taken or (end and whole):
            with protocol.mending(stream_id):
                self._put(bytes(data[:taken]), end and whole)
            protocol.transmit_soon()
        return taken

    def _put(self, data: bytes, end: bool) -> None:
        self._protocol.framing.send_data(self.stream_id, data, end)

    def credit(self, size: int) -> None:
        """Let the client send more."""
        if self._protocol.quic.consumed(self.stream_id, size):
            self._protocol.transmit_soon()

    def send_reset(self, reason: Reset) -> None:
        """Cut it off, or only what arrives where the answer is complete."""
        protocol = self._protocol
        with protocol.mending(self.stream_id):
            if reason is Reset.DONE:
                protocol.framing.ignore(self.stream_id)
                protocol.quic.stop(self.stream_id, CODES[reason])
            else:
                protocol.framing.reset(self.stream_id, CODES[reason])
        protocol.transmit_soon()
