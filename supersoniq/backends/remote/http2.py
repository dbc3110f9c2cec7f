"""HTTP/2 (RFC 9113) on ``h2``: with TLS by ALPN, without it by prior knowledge.

A GOAWAY does not reach ``h2``, which would take nothing more after it; but a server that goes away
still answers what it has accepted, and says up to which request that is. Those beyond it were not
looked at (section 6.8), nor was a stream that is reset with REFUSED_STREAM (section 8.7).
"""

from __future__ import annotations

import asyncio
import logging
from ssl import SSLObject
from typing import cast

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import (
    H2Error,
    NoAvailableStreamIDError,
    NoSuchStreamError,
    StreamClosedError,
)
from h2.settings import SettingCodes, Settings

from supersoniq.backends.remote.address import Address
from supersoniq.backends.remote.dialing import dial_tcp
from supersoniq.backends.remote.line import Request, words
from supersoniq.backends.remote.shared import Link, SharedLine, fields
from supersoniq.core.errors import BackendUnavailable, OutcomeUnknown

__all__ = ["dial"]

WINDOW = 1 << 20
"""Bytes of a body that may be under way."""
CONNECTION_WINDOW = 1 << 24
"""Bytes of all bodies together that may be."""
HEAD, GOAWAY = 9, 7
"""Bytes of a frame's head; the type of that frame."""
LARGEST_FRAME = 1 << 16

# It tells of every header field at DEBUG, tokens included. Who wants to see that sets a level.
_fields = logging.getLogger("hpack")
_fields.setLevel(_fields.level or logging.INFO)


def dial(address: Address, host: str, patience: float) -> SharedLine:
    """A line to a server.

    Args:
        address: where it is.
        host: its name for requests.
        patience: seconds for a connection to stand.
    """
    where = f"{address.host}:{address.port}"

    async def connect() -> Link:
        secure = address.trust is not None
        transport, link = await dial_tcp(lambda: Http2(host, secure), address)
        tls: SSLObject | None = transport.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() != "h2":
            link.close()
            raise BackendUnavailable(f"{where} speaks no HTTP/2")
        return link

    return SharedLine(connect, where, patience=patience)


class Http2(Link, asyncio.Protocol):
    """A connection.

    Args:
        host: the server's name for requests.
        secure: whether over TLS.
    """

    def __init__(self, host: str, secure: bool) -> None:
        super().__init__()
        self._host = host
        self._scheme = "https" if secure else "http"
        self._h2 = H2Connection(
            H2Configuration(
                client_side=True,
                header_encoding="utf-8",
                validate_outbound_headers=False,  # they are right, and it would take as long again
                normalize_outbound_headers=False,
            )
        )
        told = {SettingCodes.ENABLE_PUSH: 0, SettingCodes.INITIAL_WINDOW_SIZE: WINDOW}
        self._h2.local_settings = Settings(client=True, initial_values=told)
        self._transport: asyncio.Transport
        self._unsent: dict[int, memoryview] = {}
        """What is left of the bodies of requests."""
        self._raw = b""

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It stands."""
        transport = cast(asyncio.Transport, transport)  # uvloop has its own
        self._transport = transport
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(CONNECTION_WINDOW)
        self._flush()
        self.standing()

    def data_received(self, data: bytes) -> None:
        """Something came."""
        self.heard()
        self._raw += data
        try:
            for frame in self._frames():
                for event in self._h2.receive_data(frame):
                    self._event(event)
            self._flush()
        except (H2Error, ValueError, UnicodeDecodeError) as error:
            self.lose(words(error))

    def connection_lost(self, error: Exception | None) -> None:
        """It has ended."""
        self.lose(words(error or ConnectionError("the server closed the connection")))

    # What comes.

    def _frames(self) -> list[bytes]:
        """What has come whole, without that which h2 is not to see."""
        whole: list[bytes] = []
        at = 0
        while len(self._raw) - at >= HEAD:
            size = int.from_bytes(self._raw[at : at + 3])
            if size > LARGEST_FRAME:
                raise ValueError("it speaks no HTTP/2")
            end = at + HEAD + size
            if end > len(self._raw):
                break
            if self._raw[at + 3] == GOAWAY and size >= 8:
                self._going(self._raw[at + HEAD : end])
            else:
                whole.append(self._raw[at:end])
            at = end
        self._raw = self._raw[at:]
        return whole

    def _going(self, told: bytes) -> None:
        """The server takes no more requests, and has not looked at the last ones."""
        last = int.from_bytes(told[:4]) & 0x7FFFFFFF
        self._leaving = True
        for stream in [each for each in self._replies if each > last]:
            self._unsent.pop(stream, None)
            self._refused(stream, "the server is going away")
        if not self._replies:
            self.lose("the server is going away")

    def _event(self, event: events.Event) -> None:
        if isinstance(event, events.ResponseReceived):
            self._head(event)
        elif isinstance(event, events.DataReceived):
            reply = self._replies.get(event.stream_id or 0)
            size = event.flow_controlled_length or 0
            if reply is not None:
                data = event.data or b""
                reply.data(data)
                if reply.held:
                    size -= len(data)  # the rest when it was looked at
            self._taken(event.stream_id or 0, size)
        elif isinstance(event, events.StreamEnded):
            stream = event.stream_id or 0
            reply = self._done(stream)
            if reply is not None:
                reply.end()
            if self._unsent.pop(stream, None) is not None:
                self._reset(stream)
        elif isinstance(event, events.StreamReset):
            self._was_reset(event.stream_id or 0, event.error_code)
        elif isinstance(event, events.WindowUpdated | events.RemoteSettingsChanged):
            for stream in list(self._unsent):
                self._pump(stream)

    def _head(self, event: events.ResponseReceived) -> None:
        reply = self._replies.get(event.stream_id or 0)
        if reply is not None:
            status = dict(event.headers or []).get(":status", "")  # type: ignore[call-overload]
            reply.head(int(status))

    def _was_reset(self, stream: int, code: int | None) -> None:
        self._unsent.pop(stream, None)
        if code == ErrorCodes.REFUSED_STREAM:
            self._refused(stream, "the server refuses the request")
        elif (reply := self._done(stream)) is not None:
            reply.fail(OutcomeUnknown(f"the server broke off the answer (code {code})"))

    # What leaves.

    def _number(self) -> int:
        if self._h2.open_outbound_streams >= self._h2.remote_settings.max_concurrent_streams:
            raise BackendUnavailable("too many requests are under way")
        try:
            return self._h2.get_next_available_stream_id()
        except NoAvailableStreamIDError:
            self._leaving = (
                True  # after a thousand million requests: the next has a connection anew
            )
            raise BackendUnavailable("the connection has no streams left") from None

    def _send(self, stream: int, request: Request) -> None:
        head = fields(request, self._scheme, self._host)
        self._h2.send_headers(stream, head, end_stream=not request.body)
        if request.body:
            self._unsent[stream] = memoryview(request.body)
            self._pump(stream)
        self._flush()

    def _pump(self, stream: int) -> None:
        """Send of a body what the server has room for."""
        body = self._unsent[stream]
        while body:
            size = min(
                len(body),
                self._h2.local_flow_control_window(stream),
                self._h2.max_outbound_frame_size,
            )
            if size <= 0:
                break
            self._h2.send_data(stream, bytes(body[:size]), end_stream=size == len(body))
            body = body[size:]
        if body:
            self._unsent[stream] = body
        else:
            del self._unsent[stream]

    def _taken(self, stream: int, size: int) -> None:
        if self._problem is None and size:
            self._h2.acknowledge_received_data(size, stream)
            self._flush()

    def _reset(self, stream: int) -> None:
        self._unsent.pop(stream, None)
        try:
            self._h2.reset_stream(stream, ErrorCodes.CANCEL)
        except (NoSuchStreamError, StreamClosedError):
            return  # both have said all
        self._flush()

    def _ping(self) -> None:
        self._h2.ping(b"supersnq")
        self._flush()

    def _hang_up(self) -> None:
        self._transport.abort()

    def _flush(self) -> None:
        if data := self._h2.data_to_send():
            self._transport.write(data)
