"""What tests of clients that do not keep to HTTP/3 have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aioquic.buffer import encode_uint_var

from supersoniq.servers.h3.protocol import Protocol
from tests.servers.h3_client import Client, Fields, request_head

GET = request_head("GET", "/")


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Reads all, then answers; early at ``/early``."""
    while scope["path"] != "/early":
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        if not message["more_body"]:
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


def without(name: bytes) -> Fields:
    return [field for field in GET if field[0] != name]


def connection_of(server: Any, client: Any) -> Protocol:
    """The server's side of a connection."""
    address = client._transport.get_extra_info("sockname")
    connections: list[Protocol] = list(server._listener.connections)
    (found,) = (each for each in connections if each.quic.get_peer_address() == address)
    return found


def frame(kind: int, content: bytes = b"") -> bytes:
    return encode_uint_var(kind) + encode_uint_var(len(content)) + content


def on_a_stream(data: bytes, end: bool = False) -> Callable[[Client], None]:
    return lambda client: client.raw(client._quic.get_next_available_stream_id(), data, end=end)


def on_control(data: bytes, end: bool = False) -> Callable[[Client], None]:
    return lambda client: client.raw(client.http._local_control_stream_id or 0, data, end=end)


def on_a_new_uni(data: bytes, end: bool = False) -> Callable[[Client], None]:
    def send(client: Client) -> None:
        client.raw(client._quic.get_next_available_stream_id(is_unidirectional=True), data, end=end)

    return send
