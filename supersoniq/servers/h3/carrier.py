"""What a QUIC connection does for one of its streams; see ``supersoniq.servers.stream``."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager
from typing import Protocol

from aioquic.h3.connection import ErrorCode

from supersoniq.servers.h3.credit import Connection
from supersoniq.servers.h3.framing import Framing
from supersoniq.servers.h3.limits import Limits
from supersoniq.servers.stream import Fields, Reset

__all__ = ["QuicCarrier", "Road"]

log = logging.getLogger("supersoniq.servers.h3")

CODES = {
    Reset.DONE: ErrorCode.H3_NO_ERROR,
    Reset.CANCEL: ErrorCode.H3_REQUEST_CANCELLED,
    Reset.REFUSED: ErrorCode.H3_REQUEST_REJECTED,
    Reset.MALFORMED: ErrorCode.H3_MESSAGE_ERROR,
    Reset.INTERNAL: ErrorCode.H3_INTERNAL_ERROR,
    Reset.SLOW: ErrorCode.H3_EXCESSIVE_LOAD,
}


class Road(Protocol):
    """What a stream needs of its connection."""

    quic: Connection
    framing: Framing
    limits: Limits
    blocked: set[int]
    """Streams whose apps wait for room."""

    def mending(self, stream_id: int) -> AbstractContextManager[None]:
        """Do something on a stream; should that fail, the stream is over."""

    def transmit_soon(self) -> None:
        """Send what there is to send when all who run now have had their turn."""


class QuicCarrier:
    """The connection's side of a request stream.

    What the app sends goes into aioquic's buffer of the stream, and leaves it when the client has
    acknowledged it. Above ``send_buffer`` bytes of that nothing is taken; the app is called again
    at half of it, so that it gives much at a time.
    """

    __slots__ = ("_road", "stream_id")

    def __init__(self, road: Road, stream_id: int) -> None:
        self._road = road
        self.stream_id = stream_id

    def send_head(self, fields: Fields, end: bool) -> None:
        """Send header fields."""
        road = self._road
        if road.quic.is_open(self.stream_id):
            with road.mending(self.stream_id):
                road.framing.send_headers(self.stream_id, list(fields), end)
            road.transmit_soon()

    def send_data(self, data: memoryview, end: bool) -> int:
        """Send as much as there is room for."""
        road, stream_id = self._road, self.stream_id
        if not road.quic.is_open(stream_id):
            return len(data)  # nobody will miss it, and the stream is told of its end
        room = road.limits.send_buffer - road.quic.unsent(stream_id)
        taken = min(len(data), max(room, 0))
        whole = taken == len(data)
        if not whole:
            road.blocked.add(stream_id)
        if taken or (end and whole):
            with road.mending(stream_id):
                self._put(bytes(data[:taken]), end and whole)
            road.transmit_soon()
        return taken

    def _put(self, data: bytes, end: bool) -> None:
        self._road.framing.send_data(self.stream_id, data, end)

    def credit(self, size: int) -> None:
        """Let the client send more."""
        if self._road.quic.consumed(self.stream_id, size, by_app=True):
            self._road.transmit_soon()

    def send_reset(self, reason: Reset) -> None:
        """Cut it off, or only what arrives where the answer is complete."""
        road = self._road
        with road.mending(self.stream_id):
            if reason is Reset.DONE:
                road.framing.ignore(self.stream_id)
                road.quic.stop(self.stream_id, CODES[reason])
            else:
                road.framing.reset(self.stream_id, CODES[reason])
        road.transmit_soon()
