"""A QUIC connection whose peer gets room when the app has read, not when bytes arrive.

aioquic doubles a stream's limit (MAX_STREAM_DATA) whenever half of it has *arrived*. A peer that
sends to an app that does not read fills memory without end: 60 of 60 MiB were held for one unread
WebSocket. Here a stream's limit is what the app has *consumed* plus one window, so a stream never
holds more than that window; and a smaller one as long as no app reads it. The limit of the
connection (MAX_DATA) stays with aioquic: the sum over the streams is bounded by their number, and a
limit on the sum would let one stream that nobody reads stop all others.

The number of streams is held back too. aioquic lets the peer open a new one as soon as an old one
is reset. A peer that opens and resets as fast as it can would so have as many requests running as
it likes (CVE-2023-44487). Here a stream counts until its request's task has ended.

The three methods overridden are private ones of aioquic; ``tests/servers/test_h3_flow.py`` fails
if they are no longer called, and the extra ``server`` names the versions.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from aioquic.quic.connection import END_STATES, QuicConnectionAdapter
from aioquic.quic.packet import QuicFrameType
from aioquic.quic.packet_builder import QuicPacketBuilder
from aioquic.quic.recovery import QuicPacketSpace
from aioquic.quic.stream import QuicStream

from supersoniq.servers.h3.limits import Limits
from supersoniq.servers.h3.resets import Named

__all__ = ["Connection"]

# aioquic warns of what peers do wrong. That is theirs to know; who wants to see it sets a level.
log = logging.getLogger("supersoniq.servers.h3.quic")
log.setLevel(logging.ERROR)

UNIDIRECTIONAL = 16  # control, two for QPACK, and what a client tries out
FRAME_ROOM = 1 + 8 + 8


class Connection(Named):
    """A QUIC connection that gives credit for what was consumed.

    Args:
        limits: the server's bounds.
        token: makes the token of a connection id.
        options: those of aioquic's ``QuicConnection``.
    """

    def __init__(self, limits: Limits, token: Callable[[bytes], bytes], **options: Any) -> None:
        super().__init__(token, **options)
        self.running: set[int] = set()
        """The streams whose requests have tasks."""
        self._logger = QuicConnectionAdapter(log, {"id": self.host_cid.hex()})
        self._limits = limits
        self._granted = limits.max_streams
        self._held = 0
        self._consumed: dict[int, int] = {}
        self._read: set[int] = set()
        """The streams of which an app has read."""
        for limit, value in (
            (self._local_max_streams_bidi, limits.max_streams),
            (self._local_max_streams_uni, UNIDIRECTIONAL),
        ):
            limit.value = limit.sent = value

    def consumed(self, stream_id: int, count: int, *, by_app: bool = False) -> bool:
        """Count bytes of a stream as read; whether its peer is now to be told of more room.

        What an app reads opens the whole window, what is no content leaves it as it was.
        """
        stream = self._streams.get(stream_id)
        if stream is None or stream.receiver.is_finished:
            self.forget(stream_id)
            return False
        total = self._consumed.get(stream_id, 0) + count
        self._consumed[stream_id] = total
        if by_app:
            self._read.add(stream_id)
        window = self._limits.window
        if stream_id not in self._read:
            window = min(window, self._limits.first_window)
        limit = total + window
        # Told in steps of half a window: a frame for each byte read would cost more than the byte.
        if limit - stream.max_stream_data_local < window // 2:
            return False
        stream.max_stream_data_local = limit
        return True

    def forget(self, stream_id: int) -> None:
        """Count no more for a stream."""
        self._consumed.pop(stream_id, None)
        self._read.discard(stream_id)

    def is_over(self) -> bool:
        """Whether either side has closed the connection, though packets may still be answered."""
        return self._state in END_STATES

    def unsent(self, stream_id: int) -> int:
        """Bytes of a stream that were sent by the app and not yet acknowledged by the peer."""
        stream = self._streams.get(stream_id)
        return 0 if stream is None else len(stream.sender._buffer)

    def is_sending(self) -> bool:
        """Whether a request stream has bytes, or its end, on their way."""
        for stream_id, stream in self._streams.items():
            sender = stream.sender
            if stream_id % 4 or sender.is_finished or sender._reset_error_code is not None:
                continue
            if sender._buffer or sender._buffer_fin is not None:
                return True
        return False

    def is_open(self, stream_id: int) -> bool:
        """Whether the stream's sending side can take more."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return False
        sender = stream.sender
        return sender._reset_error_code is None and sender._buffer_fin is None

    def stop(self, stream_id: int, error_code: int) -> None:
        """Ask the peer to send no more on a stream, unless it has sent all."""
        stream = self._streams.get(stream_id)
        if stream is not None and not stream.receiver.is_finished:
            stream.receiver.stop(error_code)

    def reset(self, stream_id: int, error_code: int) -> None:
        """Cut off what is being sent on a stream, unless it is over."""
        if stream_id in self._streams:
            self.reset_stream(stream_id, error_code)

    # What aioquic calls while it fills a packet.

    def _write_stream_limits(
        self, builder: QuicPacketBuilder, space: QuicPacketSpace, stream: QuicStream
    ) -> None:
        limit = stream.max_stream_data_local
        if stream.max_stream_data_local_sent == limit or stream.receiver.is_finished:
            return
        frame = builder.start_frame(
            QuicFrameType.MAX_STREAM_DATA,
            capacity=FRAME_ROOM,
            handler=self._on_max_stream_data_delivery,
            handler_args=(stream,),
        )
        assert stream.stream_id is not None
        frame.push_uint_var(stream.stream_id)
        frame.push_uint_var(limit)
        stream.max_stream_data_local_sent = limit

    def _write_connection_limits(self, builder: QuicPacketBuilder, space: QuicPacketSpace) -> None:
        limit = self._local_max_streams_bidi
        allowed = limit.value + self._held  # as aioquic counts: one more for each that is over
        orphans = len(self.running - self._streams.keys())
        limit.value = self._granted = max(allowed - orphans, self._granted)
        self._held = allowed - limit.value
        super()._write_connection_limits(builder, space)
