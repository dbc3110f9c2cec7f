"""The ``h2`` library as this server needs it: with its fences where they protect.

h2 ends a connection when one request's head is wrong. So it is shown a head that is always right,
and the real one is kept aside, for ``supersoniq.servers.head`` to judge. HPACK's state, which all
requests of a connection share, is kept by the decoder in any case.

For the same reason h2 is not told how many streams the client may have: it would end the connection
of a client that opens one more, which may have been sent before our SETTINGS came. The connection
counts, and refuses that one stream. And its window is smaller than HTTP/2's own default, by which
a client goes that sends a body before our SETTINGS came.
"""

from __future__ import annotations

import logging
from typing import Any

import h2.config
import h2.connection
import h2.settings
from h2.settings import SettingCodes
from hpack import Decoder

from supersoniq.servers.h2.limits import Limits

__all__ = ["Engine", "Fields"]

Fields = list[tuple[bytes, bytes]]

RIGHT = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"x")]
ENCODER_TABLE = 4096
"""Bytes of the table with which answers are compressed, however much the client offers."""
DEFAULT_WINDOW = 65535
"""Of a stream, before our SETTINGS are known."""

# It tells of every header field at DEBUG, tokens included. Who wants to see that sets a level.
_fields = logging.getLogger("hpack")
_fields.setLevel(_fields.level or logging.INFO)


class _Decoder(Decoder):
    """Decodes, keeps the result, and gives h2 a good one."""

    def __init__(self) -> None:
        super().__init__()
        self.last: Fields = []

    def decode(self, data: bytes, raw: bool = False) -> Any:
        self.last = [(bytes(name), bytes(value)) for name, value in super().decode(data, raw=True)]
        return RIGHT


class Engine(h2.connection.H2Connection):
    """A server's side of an HTTP/2 connection, without input or output.

    Args:
        limits: bounds.
    """

    MAX_CLOSED_STREAMS = 1024  # remembered; 65,536 of them would be megabytes

    def __init__(self, limits: Limits) -> None:
        super().__init__(
            h2.config.H2Configuration(
                client_side=False,
                header_encoding=None,
                validate_inbound_headers=False,
                normalize_inbound_headers=False,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self._heads = _Decoder()
        self._heads.max_header_list_size = 2 * limits.header_list
        self.decoder = self._heads
        told = {
            SettingCodes.MAX_CONCURRENT_STREAMS: limits.streams,
            SettingCodes.INITIAL_WINDOW_SIZE: min(limits.first_window, limits.window),
            SettingCodes.MAX_HEADER_LIST_SIZE: limits.header_list,
            SettingCodes.ENABLE_CONNECT_PROTOCOL: 1,
        }
        self.local_settings = h2.settings.Settings(client=False, initial_values=told)
        self.initiate_connection()
        meant = {
            **told,
            SettingCodes.MAX_CONCURRENT_STREAMS: 2**31 - 1,
            SettingCodes.INITIAL_WINDOW_SIZE: max(limits.window, DEFAULT_WINDOW),
        }
        self.local_settings = h2.settings.Settings(client=False, initial_values=meant)
        extra = limits.connection_window - self.inbound_flow_control_window
        if extra > 0:
            self.increment_flow_control_window(extra)

    @property
    def head(self) -> Fields:
        """The header block that was decoded last, as it came."""
        return self._heads.last

    def bound_encoder(self) -> None:
        """Keep the table for answers small, after the client has changed its settings."""
        if self.encoder.header_table_size > ENCODER_TABLE:
            self.encoder.header_table_size = ENCODER_TABLE

    @property
    def least_window(self) -> int:
        """The window with which the client begins a stream; 1 at least."""
        return max(self.remote_settings.initial_window_size, 1)

    @property
    def pending(self) -> int:
        """Bytes that wait to be fetched by ``data_to_send``."""
        return len(self._data_to_send)

    def add(self, raw: bytes) -> None:
        """Send a frame that h2 does not need to know of."""
        self._data_to_send += raw
