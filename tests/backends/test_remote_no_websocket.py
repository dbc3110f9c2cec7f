"""HTTP where there is no WebSocket, as behind a proxy that knows none."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

import supersoniq
from supersoniq.backends.memory import MemoryBackend
from supersoniq.backends.remote import RemoteBackend
from supersoniq.backends.remote.websocket import SocketTransport
from tests.backends.served import House, reach


def transport(broker: supersoniq.Broker) -> SocketTransport:
    assert isinstance(broker.backend, RemoteBackend)
    assert isinstance(broker.backend.transport, SocketTransport)
    return broker.backend.transport


async def _without(
    head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int
) -> None:
    """A proxy that knows no WebSockets."""
    first = await reader.readuntil(b"\r\n\r\n")
    if b"/ws " in first:
        writer.write(head)
        await writer.drain()
        writer.close()
        return
    far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
    far_writer.write(first)

    async def pump(one: asyncio.StreamReader, other: asyncio.StreamWriter) -> None:
        while data := await one.read(65536):
            other.write(data)
        other.close()

    await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 426 Upgrade Required\r\ncontent-length: 3\r\n\r\nno!",
        b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n",
    ],
)
def test_http_where_there_is_none(head: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with House(MemoryBackend()) as house:
            proxy = await asyncio.start_server(
                lambda reader, writer: _without(head, reader, writer, house.port), "127.0.0.1", 0
            )
            url = f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
            async with reach(url, "ws") as broker:
                queue = broker.queue("q")
                assert broker.backend.capabilities.leases_stay
                waiting = asyncio.ensure_future(queue.get())
                await asyncio.sleep(0.05)
                await house.broker.queue("q").publish("x")
                delivery = await asyncio.wait_for(waiting, 30)
                assert delivery is not None
                await delivery.ack()
            proxy.close()

    with caplog.at_level(logging.WARNING, "supersoniq"):
        asyncio.run(main())
    told = [each.getMessage() for each in caplog.records if each.name == "supersoniq"]
    assert len(told) == 1
    assert "going on over HTTP" in told[0]


def test_a_proxy_that_begins_to_refuse_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was under way is unknown; the rest goes on over HTTP."""

    async def main() -> None:
        async with House(MemoryBackend()) as house, reach(house.url, "ws") as broker:
            queue = broker.queue("q")
            await queue.publish("1")
            monkeypatch.setattr("supersoniq.adapters.ws.endpoint._subprotocol", _nobody)
            house.cut()
            await queue.publish("2", key="2")
            assert transport(broker).leases_stay
            assert (await queue.stats()).published == 2

    asyncio.run(main())


def _nobody(_scope: Any) -> None:
    raise supersoniq.PermissionDenied("not today")
