"""A server by somebody else, as small as one can be: one request a connection, HTTP/1.0's way."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

from supersoniq.servers.plugin import Feature, Options

__all__ = ["Spout", "nothing"]


class Spout:
    """Pours one answer after the other."""

    carries = frozenset({Feature.HTTP1})
    honours = frozenset({"grace"})

    async def serve(
        self,
        app: Any,
        listener: socket.socket,
        options: Options,
        *,
        started: Callable[[], None],
        stop: asyncio.Event,
    ) -> None:
        """Serve, as ``ServerPlugin`` says."""
        working: set[asyncio.Task[None]] = set()

        async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            working.add(task)
            try:
                await answer(app, reader, writer)
            finally:
                working.discard(task)
                writer.close()

        server = await asyncio.start_server(pour, sock=listener)
        started()
        await stop.wait()
        server.close()
        await options.leave()
        if working:
            await asyncio.wait(working, timeout=options.grace)
        for task in list(working):
            task.cancel()


async def answer(app: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One request."""
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head[:-4].split(b"\r\n")
    method, target, _ = first.decode().split(" ")
    fields = [line.partition(b":")[::2] for line in lines]
    headers = [(name.lower(), value.strip()) for name, value in fields]
    parts = urlsplit(target)
    length = int(dict(headers).get(b"content-length", b"0"))
    asked = [{"type": "http.request", "body": await reader.readexactly(length), "more_body": False}]

    async def receive() -> dict[str, Any]:
        if asked:
            return asked.pop()
        await reader.read()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            writer.write(b"HTTP/1.1 %d Tea\r\nconnection: close\r\n" % message["status"])
            for name, value in message["headers"]:
                writer.write(name + b": " + value + b"\r\n")
            writer.write(b"\r\n")
        else:
            writer.write(message.get("body", b""))
            await writer.drain()

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(parts.path),
        "raw_path": parts.path.encode(),
        "query_string": parts.query.encode(),
        "root_path": "",
        "headers": headers,
        "client": writer.get_extra_info("peername")[:2],
        "server": writer.get_extra_info("sockname")[:2],
    }
    await app(scope, receive, send)


def nothing() -> None:
    """What is no server."""
