"""What is not HTTP/3 where it should be, and noise: it costs a connection at most."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from supersoniq.servers.h3.protocol import Protocol
from tests import steady
from tests.servers.h3_client import Client, honest, serving, visiting
from tests.servers.h3_rude import (
    GET,
    app,
    connection_of,
    frame,
    on_a_new_uni,
    on_a_stream,
    on_control,
)

pytestmark = pytest.mark.usefixtures("no_traceback")

BREAKS: dict[str, Callable[[Client], None]] = {
    "data first": on_a_stream(frame(0, b"x")),
    "settings on a stream": on_a_stream(frame(4)),
    "goaway on a stream": on_a_stream(frame(7, b"\x00")),
    "push promise": on_a_stream(frame(5, b"\x00\x00")),
    "http/2 frame": on_a_stream(frame(6, b"\x00")),
    "field block of nonsense": on_a_stream(frame(1, b"\xff" * 50)),
    "field block cut": on_a_stream(frame(1)),
    "field block empty": on_a_stream(frame(1, b"\0\0")),
    "dynamic table": on_a_stream(frame(1, b"\x05\x00\x80\x11")),
    "truncated frame": on_a_stream(b"\x01\x40", end=True),
    "truncated block": on_a_stream(frame(1, b"\x00" * 20)[:10], end=True),
    "settings twice": on_control(frame(4)),
    "data on control": on_control(frame(0, b"x")),
    "control stream ends": on_control(b"", end=True),
    "second control stream": on_a_new_uni(b"\x00" + frame(4)),
    "push stream": on_a_new_uni(b"\x01\x00"),
    "encoder nonsense": on_a_new_uni(b"\x02" + b"\xff" * 30),
    "decoder nonsense": on_a_new_uni(b"\x03" + b"\xff" * 30),
    "webtransport": on_a_new_uni(b"\x40\x54\x00hello", end=True),
    "webtransport stream": on_a_stream(b"\x40\x41\x00hello", end=True),
}


def test_broken_framing_costs_its_connection_at_most(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(app, tmp_path) as server:
            for send in BREAKS.values():
                async with visiting(server) as client:
                    assert (await client.request("GET", "/")).status == 200
                    send(client)
                    await asyncio.sleep(0.02)
                    await honest(server)

    steady.run(main())


def test_frames_that_are_unknown_or_endless_fill_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(app, tmp_path) as server, visiting(server) as client:
            stream_id = client._quic.get_next_available_stream_id()
            for _ in range(3):
                client.raw(stream_id, frame(0x21, bytes(100_000)))
            client.http.send_headers(stream_id, GET, True)
            assert (await client.answer(stream_id).wait()).status == 200
            # A MAX_PUSH_ID frame that says it has a GiB, and begins to send it.
            on_control(b"\x0d\xc0\x00\x00\x00\x40\x00\x00\x00" + bytes(2_000_000))(client)
            await asyncio.sleep(0.3)
            connection = connection_of(server, client)
            kept = sum(len(stream.buffer) for stream in connection.framing._stream.values())
            assert kept <= server.limits.window
            assert (await client.request("GET", "/")).status == 200
            await honest(server)

    steady.run(main())


def test_noise_on_the_socket(tmp_path: Path) -> None:
    """Datagrams that are nothing, or begin like something."""

    async def main() -> None:
        chance = random.Random(7)
        async with serving(app, tmp_path) as server:
            noise = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            noise.connect(("127.0.0.1", server.port))
            begins = (b"", b"\xc0\0\0\0\1", b"\xc3\0\0\0\1\x08", b"\xd0\x6b\x33\x43\xcf", b"\x40")
            for n in range(1500):
                size = chance.choice((0, 1, 5, 30, 1200, 1400, 9000))
                noise.send(begins[n % len(begins)] + chance.randbytes(size))
                if n % 50 == 0:
                    await asyncio.sleep(0.005)
            noise.close()
            assert server.connections == 0
            await honest(server)

    steady.run(main())


def test_noise_on_streams(tmp_path: Path) -> None:
    async def main() -> None:
        chance = random.Random(11)
        async with serving(app, tmp_path) as server:
            for _ in range(15):
                async with visiting(server) as client:
                    for _ in range(10):
                        kind = chance.choice((0, 1, 4, 5, 0x21, 0x41))
                        data = chance.randbytes(chance.choice((0, 1, 8, 200, 5000)))
                        head = (
                            frame(1, b"\0\0\xd1\xd7\xc1\x50\x01x") if chance.random() < 0.5 else b""
                        )
                        on_a_stream(head + frame(kind, data), end=chance.random() < 0.5)(client)
                        await asyncio.sleep(0)
            await honest(server)

    steady.run(main())


def test_noise_in_place_of_packets(tmp_path: Path) -> None:
    """A client of good standing sends datagrams that were damaged, or are of another one."""

    async def main() -> None:
        chance = random.Random(3)
        async with serving(app, tmp_path) as server, visiting(server) as client:
            transport: Any = client._transport
            send = transport.sendto

            def damaged(data: bytes, address: Any = None) -> None:
                for _ in range(3):
                    changed = bytearray(data)
                    for _ in range(chance.randrange(1, 4)):
                        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
                    send(bytes(changed[: chance.randrange(1, len(changed) + 1)]), address)
                send(data, address)

            client._transport = type("", (), {"sendto": staticmethod(damaged)})()
            for _ in range(20):
                assert (await client.request("GET", "/")).status == 200
            client._transport = transport
            await honest(server)

    steady.run(main())


def test_nothing_ends_the_listener(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault of any kind, anywhere below, costs one connection."""

    async def main() -> None:
        async with serving(app, tmp_path) as server:
            for name, owner in (
                ("receive_datagram", "quic"),
                ("datagrams_to_send", "quic"),
                ("get_timer", "quic"),
                ("next_event", "quic"),
                ("_http", None),
                ("quic_event_received", None),
            ):
                async with visiting(server) as client:
                    assert (await client.request("GET", "/")).status == 200
                    protocol = connection_of(server, client)
                    target: Any = protocol.quic if owner else protocol
                    setattr(target, name, _fail)
                    stream_id = client.open(GET, end=True)
                    await asyncio.sleep(0.05)
                    assert client.answer(stream_id).status == 0
                    await honest(server)
            monkeypatch.setattr(Protocol, "__init__", _fail)
            with pytest.raises((TimeoutError, ConnectionError)):
                async with asyncio.timeout(0.3), visiting(server):
                    pass
            monkeypatch.undo()
            await honest(server)

    steady.run(main())
    assert any("ZeroDivisionError" in record.getMessage() for record in caplog.records)
    caplog.clear()


def _fail(*_args: object, **_named: object) -> Any:
    raise ZeroDivisionError
