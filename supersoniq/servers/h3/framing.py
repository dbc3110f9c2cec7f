"""HTTP/3 frames, with a malformed request being the fault of its stream and of nothing else.

aioquic closes the whole connection over any error. RFC 9114 wants that for broken framing, but for
a malformed *message* (section 4.1.2) only the stream is to suffer. So the head of a request comes
out of here unread, for ``supersoniq.servers.head`` to judge, and what is wrong with its trailers or
its size gives one ``Malformed`` event, and then nothing more.

There is no dynamic QPACK table, in either direction: a block of 16 KiB could unfold to 64 MiB
through it, one stream could wait for another, and our own table would grow by what clients make us
repeat. And a header block is refused by its announced length, before it arrives.

aioquic's methods that are overridden here are private; the extra ``server`` names the versions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pylsqpack
from aioquic.buffer import encode_uint_var
from aioquic.h3.connection import (
    FrameType,
    H3Connection,
    H3Stream,
    HeadersState,
    MessageError,
    Setting,
    encode_frame,
)
from aioquic.h3.events import H3Event, HeadersReceived, WebTransportStreamDataReceived
from aioquic.quic.events import StreamDataReceived

from supersoniq.servers.h3.credit import Connection
from supersoniq.servers.h3.limits import Limits

__all__ = ["Framing", "Malformed"]


@dataclass
class Malformed(H3Event):
    """A request that is none; its stream gives nothing more.

    Attributes:
        stream_id: its stream.
        status: what to answer.
        reason: what is wrong.
    """

    stream_id: int
    status: int
    reason: str


class TooLarge(Exception):
    """A header block is longer than allowed."""


class Framing(H3Connection):
    """The HTTP/3 side of a connection.

    Args:
        quic: the connection.
        limits: the server's bounds.
    """

    _quic: Connection

    def __init__(self, quic: Connection, limits: Limits) -> None:
        self._limits = limits
        self._deaf: set[int] = set()
        super().__init__(quic, enable_webtransport=limits.sessions > 0)
        self._decoder = pylsqpack.Decoder(0, 0)
        self._encoder: Any = _Static()

    def receive(self, event: StreamDataReceived) -> tuple[Sequence[H3Event], int]:
        """What the bytes of a stream mean, and how many of them are used up by that.

        Content is not used up: that is for the app to do. What waits for the rest of its frame is
        neither; it is counted when the frame is whole.
        """
        before = self._buffered(event.stream_id)
        events = self.handle_event(event)
        stream = self._stream.get(event.stream_id)
        if not events and stream is not None and stream.session_id is not None:
            # A stream of a session begins when it is opened: the app may be the first to speak.
            events = [
                WebTransportStreamDataReceived(b"", stream.stream_id, False, stream.session_id)
            ]
        rest = self._buffered(event.stream_id) - before
        content = sum(len(getattr(each, "data", b"")) for each in events)
        return events, len(event.data) - rest - content

    def _buffered(self, stream_id: int) -> int:
        stream = self._stream.get(stream_id)
        return 0 if stream is None else len(stream.buffer)

    def is_deaf(self, stream_id: int) -> bool:
        """Whether nothing more is taken of a stream."""
        return stream_id in self._deaf

    def awaits_head(self, stream_id: int) -> bool:
        """Whether a request has begun whose head is not there."""
        stream = self._stream.get(stream_id)
        return (
            stream is not None
            and stream.headers_recv_state == HeadersState.INITIAL
            and stream.session_id is None
            and not stream.receiving_ended
            and stream_id not in self._deaf
        )

    def ignore(self, stream_id: int) -> None:
        """Take no more of a stream."""
        self._quic.forget(stream_id)
        stream = self._stream.get(stream_id)
        if stream is not None and not stream.receiving_ended:
            self._deaf.add(stream_id)
            stream.buffer = b""

    def reset(self, stream_id: int, error_code: int) -> None:
        """Cut a stream off, in both directions."""
        self.ignore(stream_id)
        self._quic.stop(stream_id, error_code)
        self._quic.reset(stream_id, error_code)
        stream = self._stream.get(stream_id)
        if stream is not None:
            stream.sending_ended = True
            if stream.is_ended():
                self._forget(stream_id)

    def send_raw(self, stream_id: int, data: bytes, end: bool) -> None:
        """Send bytes on a stream that has no frames."""
        self._quic.send_stream_data(stream_id, data, end)
        stream = self._stream.get(stream_id)
        if end and stream is not None:
            stream.sending_ended = True
            if stream.is_ended():
                self._forget(stream_id)

    def send_goaway(self, stream_id: int) -> None:
        """Say that requests from this stream on will not be taken."""
        assert self._local_control_stream_id is not None
        frame = encode_frame(FrameType.GOAWAY, encode_uint_var(stream_id))
        self._quic.send_stream_data(self._local_control_stream_id, frame)

    # What aioquic calls.

    def _get_local_settings(self) -> dict[int, int]:
        settings = super()._get_local_settings()
        settings[Setting.QPACK_MAX_TABLE_CAPACITY] = 0
        settings[Setting.QPACK_BLOCKED_STREAMS] = 0
        settings[Setting.MAX_FIELD_SECTION_SIZE] = self._limits.header_bytes
        return settings

    def _check_request_or_push_frame_type(self, frame_type: int, stream: H3Stream) -> None:
        super()._check_request_or_push_frame_type(frame_type, stream)
        size = stream.frame_size or 0
        if frame_type == FrameType.HEADERS and size > self._limits.header_bytes:
            raise TooLarge

    def _handle_request_or_push_frame(
        self, frame_type: int, frame_data: bytes | None, stream: H3Stream, stream_ended: bool
    ) -> list[H3Event]:
        if frame_type == FrameType.HEADERS and stream.headers_recv_state == HeadersState.INITIAL:
            fields = self._decode_headers(stream.stream_id, frame_data)
            stream.headers_recv_state = HeadersState.AFTER_HEADERS
            return [HeadersReceived(fields, stream.stream_id, stream_ended)]
        return super()._handle_request_or_push_frame(frame_type, frame_data, stream, stream_ended)

    def _receive_request_or_push_data(
        self, stream: H3Stream, data: bytes, stream_ended: bool
    ) -> list[H3Event]:
        stream_id = stream.stream_id
        if stream_id in self._deaf:
            stream.receiving_ended = stream_ended
            if stream_ended:
                self._deaf.discard(stream_id)
            return []
        try:
            return super()._receive_request_or_push_data(stream, data, stream_ended)
        except MessageError as error:
            self.ignore(stream_id)
            return [Malformed(stream_id, 400, error.reason_phrase)]
        except TooLarge:
            self.ignore(stream_id)
            size = self._limits.header_bytes
            return [Malformed(stream_id, 431, f"header fields take more than {size} bytes")]

    def _receive_stream_reset(self, stream_id: int) -> None:
        super()._receive_stream_reset(stream_id)
        self._deaf.discard(stream_id)

    def _forget(self, stream_id: int) -> None:
        self._stream.pop(stream_id, None)
        self._deaf.discard(stream_id)


class _Static:
    """An encoder that uses the static table only, whatever table the peer would keep."""

    def __init__(self) -> None:
        self._encoder = pylsqpack.Encoder()

    def encode(self, stream_id: int, headers: list[tuple[bytes, bytes]]) -> tuple[bytes, bytes]:
        return self._encoder.encode(stream_id, headers)

    def apply_settings(self, max_table_capacity: int, blocked_streams: int) -> bytes:
        return self._encoder.apply_settings(max_table_capacity=0, blocked_streams=0)

    def feed_decoder(self, data: bytes) -> None:
        self._encoder.feed_decoder(data)
