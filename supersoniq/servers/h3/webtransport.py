"""WebTransport sessions (draft-ietf-webtrans-http3-02, which Chromium speaks).

A session is an extended CONNECT that stays open. Under it the client opens bidirectional streams,
and each of them is a WebSocket to the app: the same scope, the path and fields being those of the
session's request, and on the wire the same frames (RFC 6455), without a handshake before them. So
an app that has a WebSocket has WebTransport, and a page gets what TCP cannot give: one stream that
is stuck, or lost packets of it, hold up no other.

An app that does not accept has its stream reset with the status as the code (403 as a rule).
Unidirectional streams and datagrams carry nothing that an app could be told; they are declined.
"""

from __future__ import annotations

from collections.abc import Callable

from aioquic.h3.events import WebTransportStreamDataReceived

from supersoniq.servers.h3.carrier import QuicCarrier, Road
from supersoniq.servers.head import Head
from supersoniq.servers.stream import Fields, Reset, Stream

__all__ = ["Sessions", "StreamCarrier"]

DRAFT = (b"sec-webtransport-http3-draft", b"draft02")
NO_SESSION = 0x3994BD84
FIRST_CODE = 0x52E4A40FA8DB


def error_code(code: int) -> int:
    """An application's error code, as it is sent: those that are reserved are left out."""
    return FIRST_CODE + code + code // 0x1E


class Sessions:
    """The sessions of one connection.

    Args:
        road: the connection.
        begin: lets the app have a stream under a session of such a head, if that may be.
    """

    def __init__(self, road: Road, begin: Callable[[Head, int], Stream | None]) -> None:
        self._road = road
        self._begin = begin
        self._heads: dict[int, Head] = {}
        self._streams: dict[int, dict[int, Stream]] = {}

    def __contains__(self, stream_id: int) -> bool:
        return stream_id in self._heads

    def __len__(self) -> int:
        return len(self._heads)

    def open(self, stream_id: int, head: Head, defaults: Fields) -> None:
        """Take a session."""
        self._heads[stream_id] = head
        self._streams[stream_id] = {}
        road = self._road
        road.framing.send_headers(stream_id, [(b":status", b"200"), DRAFT, *defaults])
        road.transmit_soon()

    def data(self, event: WebTransportStreamDataReceived) -> None:
        """Bytes of a stream under a session."""
        road, stream_id = self._road, event.stream_id
        streams = self._streams.get(event.session_id)
        if streams is None or stream_id % 4:
            road.framing.reset(stream_id, NO_SESSION)
            return
        stream = streams.get(stream_id)
        if stream is None:
            stream = self._begin(self._heads[event.session_id], stream_id)
            if stream is None:
                return
            streams[stream_id] = stream
        stream.feed(event.data)
        if event.stream_ended:
            stream.feed_end()

    def forget(self, stream_id: int) -> None:
        """A stream under a session is over."""
        for streams in self._streams.values():
            streams.pop(stream_id, None)

    def close(self, session_id: int) -> None:
        """A session is over, and with it all that is under it."""
        if self._heads.pop(session_id, None) is not None:
            for stream in list(self._streams.pop(session_id).values()):
                stream.reset(Reset.CANCEL)

    def end(self, session_id: int) -> None:
        """The client has ended a session; so does the server."""
        self.close(session_id)
        with self._road.mending(session_id):
            self._road.framing.send_data(session_id, b"", True)


class StreamCarrier(QuicCarrier):
    """The connection's side of a stream under a session: bytes without HTTP's frames."""

    __slots__ = ()

    def send_head(self, fields: Fields, end: bool) -> None:
        """Nothing is said when the app accepts; when it does not, the stream is cut off."""
        status = int(dict(fields)[b":status"])
        if status != 200:
            road = self._road
            with road.mending(self.stream_id):
                road.framing.reset(self.stream_id, error_code(status))
            road.transmit_soon()

    def _put(self, data: bytes, end: bool) -> None:
        self._road.framing.send_raw(self.stream_id, data, end)
