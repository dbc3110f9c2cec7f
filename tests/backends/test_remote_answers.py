"""Answers of a server that is none of ours, or has gone mad."""

from __future__ import annotations

import asyncio

import pytest

import supersoniq
from supersoniq import (
    AuthenticationFailed,
    BackendUnavailable,
    IncompatibleStore,
    InvalidArgument,
    OutcomeUnknown,
    SupersoniqError,
)
from supersoniq.core import ops
from supersoniq.core.errors import RateLimited

ANSWERS: list[tuple[str, bytes, type[SupersoniqError]]] = [
    ("503 Service Unavailable", b"busy", BackendUnavailable),
    ("503 Service Unavailable", b'{"code":"closed","data":{"what":"x"}}', BackendUnavailable),
    ("500 Internal Server Error", b'{"code":"internal-error"}', OutcomeUnknown),
    ("502 Bad Gateway", b"<html>", OutcomeUnknown),
    ("504 Gateway Timeout", b"", OutcomeUnknown),
    ("400 Bad Request", b'{"code":"invalid-argument"}', InvalidArgument),
    ("408 Request Timeout", b"{}", BackendUnavailable),
    ("413 Content Too Large", b"", InvalidArgument),
    ("401 Unauthorized", b"", AuthenticationFailed),
    ("403 Forbidden", b"", supersoniq.PermissionDenied),
    ("429 Too Many Requests", b"", RateLimited),
    ("302 Found", b"", IncompatibleStore),
    ("404 Not Found", b"", InvalidArgument),
    ("200 OK", b"\xff\xfe", OutcomeUnknown),
    ("200 OK", b"\x82\xa2at\x00\xa7results\x91\x81\xa2ok\xa1x", OutcomeUnknown),
    ("999 What", b"", OutcomeUnknown),
]


@pytest.mark.parametrize(("status", "body", "kind"), ANSWERS)
def test_strange_answers(status: str, body: bytes, kind: type[SupersoniqError]) -> None:
    front = (
        b'{"name":"supersoniq","version":"9","durability":"disk","news":1,'
        b'"limits":{"max_batch_body":1000,"max_batch":10}}'
    )

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        first = head.startswith(b"GET")
        text = b"200 OK" if first else status.encode()
        data = front if first else body
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        writer.write(b"HTTP/1.1 %s\r\nconnection: close\r\n" % text)
        writer.write(b"content-length: %d\r\n\r\n%s" % (len(data), data))
        await writer.drain()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with supersoniq.connect(f"http://127.0.0.1:{port}/at/prefix", patience=0) as broker:
            assert broker.backend.capabilities.durability == "disk"
            (result,) = await broker.backend.execute([ops.Publish("q", ())])
            assert type(result) is kind, result
            with pytest.raises(InvalidArgument, match="1000 bytes"):
                await broker.engine.call(ops.Publish("q", [supersoniq.Draft("x" * 1000).entry]))
        server.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("scheme", "front", "kind"),
    [
        ("http", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", IncompatibleStore),
        ("http", b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n", BackendUnavailable),
        ("ws", b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", BackendUnavailable),
        *(
            (scheme, front, kind)
            for scheme in ("http", "ws")
            for front, kind in (
                (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", IncompatibleStore),
                (b"HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n", AuthenticationFailed),
                (b"SSH-2.0-OpenSSH_9\r\n\r\n", BackendUnavailable),
                (b"", BackendUnavailable),
            )
        ),
    ],
)
def test_somebody_else_answers(scheme: str, front: bytes, kind: type[SupersoniqError]) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(front)
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(kind) as caught:
            await supersoniq.connect(url).open()
        assert type(caught.value) is kind
        server.close()

    asyncio.run(main())
