"""What an HTTP/2 connection does for one of its streams; see ``supersoniq.servers.stream``."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError

from supersoniq.servers.h2.engine import Engine
from supersoniq.servers.h2.limits import Limits
from supersoniq.servers.request import App, Request
from supersoniq.servers.stream import Fields, Reset, Stream
from supersoniq.servers.websocket import WebSocket

__all__ = ["Lane", "Road"]

log = logging.getLogger("supersoniq.servers")

CODES = {
    Reset.DONE: ErrorCodes.NO_ERROR,
    Reset.CANCEL: ErrorCodes.CANCEL,
    Reset.REFUSED: ErrorCodes.REFUSED_STREAM,
    Reset.MALFORMED: ErrorCodes.PROTOCOL_ERROR,
    Reset.INTERNAL: ErrorCodes.INTERNAL_ERROR,
    Reset.SLOW: ErrorCodes.CANCEL,
}
LEAST = 1024
"""Bytes under which data waits for more room, unless it is all there is: frames have a cost."""


class Road(Protocol):
    """What a lane needs of its connection."""

    limits: Limits
    engine: Engine
    waiting: dict[Lane, None]
    """Those who wait for room in the connection."""

    def room(self) -> int:
        """Bytes of answers that may still be handed over now."""

    def flush_soon(self) -> None:
        """What the engine has to send shall leave."""

    def sent_data(self) -> None:
        """DATA has left."""

    def discard(self, number: int) -> None:
        """Throw away what still comes of a request that was answered."""


class Lane:
    """One stream of a connection, and the task of the app that it leads to.

    Args:
        connection: the connection.
        number: HTTP/2's number for the stream.
        expected: bytes of the body, where the client has announced them.
    """

    __slots__ = ("_connection", "_owed", "handler", "number", "started", "stream", "task")

    def __init__(self, connection: Road, number: int, expected: int | None = None) -> None:
        self.number = number
        self.stream = Stream(self, send_timeout=connection.limits.send_timeout, expected=expected)
        self.handler: Request | WebSocket | None = None
        self.task: asyncio.Task[None] | None = None
        self.started = False
        self._connection = connection
        limits = connection.limits
        self._owed = max(limits.window - limits.first_window, 0)  # once the app reads

    @property
    def pushed(self) -> bool:
        """Whether it is a response that nobody has asked for."""
        return self.number % 2 == 0

    @property
    def answered(self) -> bool:
        """Whether both sides have said all, and neither was cut off."""
        stream = self.stream
        return stream.lost is None and stream.ended and stream.received_end

    async def run(self, app: App) -> None:
        """Let the app have it."""
        self.started = True
        assert self.handler is not None
        await self.handler.run(app)

    def lose(self, why: str) -> None:
        """It is over. An app that has not begun shall not begin."""
        self.stream.lose(why)
        if not self.started and self.task is not None:
            self.task.cancel()

    # For the stream: nothing here raises.

    def send_head(self, fields: Fields, end: bool) -> None:
        """Send a header block."""
        connection = self._connection
        try:
            connection.engine.send_headers(self.number, fields, end_stream=end)
        except ProtocolError as error:
            self._broken(error)
        connection.flush_soon()

    def send_data(self, data: memoryview, end: bool) -> int:
        """Send what windows and the output buffer have room for."""
        connection, engine = self._connection, self._connection.engine
        size, sent = len(data), 0
        try:
            if size:
                window = engine.local_flow_control_window(self.number)
                room = min(window, connection.room())
                if room < size and room < min(LEAST, engine.least_window):
                    room = 0
                most = engine.max_outbound_frame_size
                while sent < size and room > 0:
                    step = min(size - sent, room, most)
                    last = end and sent + step == size
                    engine.send_data(self.number, data[sent : sent + step], end_stream=last)
                    sent += step
                    room -= step
                if sent < size:
                    connection.waiting[self] = None
            elif end:
                engine.end_stream(self.number)
        except ProtocolError as error:
            self._broken(error)
            return size
        if sent or not size:  # a flush that has nothing to write would only ask again
            connection.sent_data()
        return sent

    def credit(self, size: int) -> None:
        """Let the client send more, told in steps of half a window."""
        self._owed += size
        if self._owed * 2 >= self._connection.limits.window:
            try:
                self._connection.engine.increment_flow_control_window(self._owed, self.number)
            except (ProtocolError, KeyError) as error:
                self._broken(error)
            self._owed = 0
            self._connection.flush_soon()

    def send_reset(self, reason: Reset) -> None:
        """Cut it off, or let the rest of the request come to nothing."""
        if reason is Reset.DONE and isinstance(self.handler, Request) and self.stream.ended:
            self._connection.discard(self.number)
            return
        try:
            self._connection.engine.reset_stream(self.number, CODES[reason])
        except ProtocolError as error:
            log.debug("stream %d: %s", self.number, error)  # it was over already
        self._connection.flush_soon()

    def _broken(self, error: Exception) -> None:
        log.debug("stream %d: %s", self.number, error)
        self.stream.lose("the connection does not have it any more")
