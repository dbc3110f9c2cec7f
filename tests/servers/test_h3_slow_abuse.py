"""HTTP/3 clients that take up room and do nothing with it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests import steady
from tests.servers.h3_client import honest, request_head, serving, until, visiting
from tests.servers.h3_rude import app


def test_heads_that_do_not_come_end_their_streams(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(app, tmp_path, head_timeout=0.3) as server, visiting(server) as client:
            slow = [client._quic.get_next_available_stream_id() + 4 * n for n in range(20)]
            for stream_id in slow:
                client.raw(stream_id, b"\x01\x40\xff\0")
            fine = client._quic.get_next_available_stream_id()
            client.http.send_headers(fine, request_head("POST", "/"), False)
            for _ in range(4):  # it is not silence that ends them
                await asyncio.sleep(0.1)
                for stream_id in slow:
                    if stream_id in client._quic._streams and not client.answer(stream_id).reset:
                        client.raw(stream_id, b"\0")
            for stream_id in slow:
                assert (await client.answer(stream_id).wait()).reset == 0x10D
            client.send(fine, b"x", end=True)
            assert (await client.answer(fine).wait()).status == 200
            assert client.ended is None
            (connection,) = server._listener.connections  # type: ignore[union-attr]
            assert not connection._heads
            await honest(server)

    steady.run(main())


def test_a_connection_that_is_not_used_is_closed_however_lively_it_is(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(app, tmp_path, unused_timeout=0.5) as server:
            async with visiting(server) as client:
                held = client.open(request_head("POST", "/"))
                for _ in range(10):  # for a second there is a request
                    await asyncio.sleep(0.1)
                    await client.ping()
                client.send(held, b"x", end=True)
                assert (await client.answer(held).wait()).status == 200
                assert client.ended is None
                async with asyncio.timeout(10):
                    while client.ended is None:
                        client._quic.send_ping(7)
                        client.transmit()
                        await asyncio.sleep(0.05)
                assert client.ended.error_code == 0x100
            await until(lambda: server.connections == 0)
            await honest(server)

    steady.run(main())
