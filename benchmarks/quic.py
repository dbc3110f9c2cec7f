"""A client of HTTP/3 on aioquic, dearer than the server: go by that one's processor time."""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import Any
from urllib.parse import urlsplit

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, QuicEvent

__all__ = ["post_many"]

STREAMS = 32
"""Requests under way on the one connection."""


def post_many(url: str, body: bytes, kind: str, count: int) -> float:
    """Send the same request so many times; gives how many a second were answered."""
    return asyncio.run(_post_many(url, body, kind, count))


async def _post_many(address: str, body: bytes, kind: str, count: int) -> float:
    url = urlsplit(address)
    settings = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN)
    settings.verify_mode = ssl.CERT_NONE
    async with connect(
        url.hostname or "", url.port or 443, configuration=settings, create_protocol=_Client
    ) as client:
        assert isinstance(client, _Client)
        client.fields = [
            (b":method", b"POST"),
            (b":scheme", b"https"),
            (b":authority", url.netloc.encode()),
            (b":path", url.path.encode()),
            (b"content-type", kind.encode()),
            (b"content-length", b"%d" % len(body)),
        ]
        client.body = body
        client.to_send = client.to_come = count
        started = time.perf_counter()
        for _ in range(min(STREAMS, count)):
            client.send()
        client.transmit()
        await client.done
        return count / (time.perf_counter() - started)


class _Client(QuicConnectionProtocol):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.http = H3Connection(self._quic)
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.fields: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.to_send = self.to_come = 0

    def send(self) -> None:
        if self.to_send:
            self.to_send -= 1
            stream = self._quic.get_next_available_stream_id()
            self.http.send_headers(stream, self.fields)
            self.http.send_data(stream, self.body, end_stream=True)

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, ConnectionTerminated) and not self.done.done():
            self.done.set_exception(EOFError(event.reason_phrase))
        for each in self.http.handle_event(event):
            if isinstance(each, HeadersReceived) and dict(each.headers)[b":status"][:1] != b"2":
                self.done.set_exception(RuntimeError(repr(each.headers)))
            elif getattr(each, "stream_ended", False) and not self.done.done():
                self.to_come -= 1
                if not self.to_come:
                    self.done.set_result(None)
                self.send()
