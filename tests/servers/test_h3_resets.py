"""Stateless resets: told to those who have a connection that the server does not know any more."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aioquic.quic.connection import QuicConnectionId
from cryptography.hazmat.primitives.asymmetric import ec

from supersoniq.servers.h3 import H3Server, udp_socket
from supersoniq.servers.h3.resets import LARGEST, SMALLEST, Resets
from tests import steady
from tests.servers.h3_client import Client, honest, serving, until, visiting

HERE = ("127.0.0.1", 8443)
TOKEN = 16


async def app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


def resets_of(server: H3Server) -> Resets:
    assert server._listener is not None
    return server._listener._resets


def names(client: Client) -> list[QuicConnectionId]:
    """What the client may call the server's side of its connection."""
    return [client._quic._peer_cid, *client._quic._peer_cid_available]


@asynccontextmanager
async def stranger(
    server: H3Server,
) -> AsyncIterator[tuple[asyncio.DatagramTransport, list[bytes]]]:
    """Somebody who sends datagrams, and what comes back."""
    got: list[bytes] = []

    class Wire(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            got.append(data)

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        Wire, remote_addr=("127.0.0.1", server.port)
    )
    try:
        yield transport, got
    finally:
        transport.close()


def test_every_name_of_a_connection_has_the_token_that_it_will_have_again(tmp_path: Path) -> None:
    """The first, those that are told later, and those that take the place of retired ones."""

    async def main() -> None:
        async with serving(app, tmp_path) as server, visiting(server) as client:
            token, seen = resets_of(server).token, set()
            for _ in range(3):
                await client.request("GET", "/")
                await until(lambda: len(client._quic._peer_cid_available) == 7)
                for each in names(client):
                    assert each.stateless_reset_token == token(each.cid)
                    seen.add(each.cid)
                client.change_connection_id()
            assert len(seen) == 10

    steady.run(main())


def test_who_knows_a_connection_of_the_server_before_is_told(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(app, tmp_path) as server:
            async with visiting(server) as client:
                assert (await client.request("GET", "/")).status == 200
                known = names(client)
                assert server._listener is not None
                for protocol in list(server._listener.connections):
                    protocol.abandon()
                server._listener.close()
                await asyncio.sleep(0)
                # As a server does that is started again, with the same certificate.
                await server.start(udp_socket("127.0.0.1", server.port, socket.AF_INET))
            async with stranger(server) as (wire, got):
                for each in known:
                    got.clear()
                    for size in (22, 30, 43, 44, 1200):
                        wire.sendto(b"\x40" + each.cid + os.urandom(size - 9))
                    await until(lambda: len(got) == 5)
                    assert [len(data) for data in got] == [21, 29, 42, 43, 43]
                    assert all(0x40 <= data[0] < 0x80 for data in got)
                    assert all(data[-TOKEN:] == each.stateless_reset_token for data in got)
                    assert len({data[:-TOKEN] for data in got}) == 5
            await honest(server)

    steady.run(main())


def test_who_is_not_told(tmp_path: Path) -> None:
    """Who has a connection, who may be in the middle of a handshake, and who says too little."""

    async def main() -> None:
        async with (
            serving(app, tmp_path) as server,
            visiting(server) as client,
            stranger(server) as (wire, got),
        ):
            wire.sendto(b"\x40" + client._quic._peer_cid.cid + bytes(100))
            wire.sendto(b"\xc0\0\0\0\1\x08clientid\x08sourceid" + bytes(30))
            wire.sendto(b"\xe0\0\0\0\1\x08clientid\x08sourceid" + bytes(1300))
            for size in range(SMALLEST + 1):
                wire.sendto(bytes([0x40] * size))
            wire.sendto(b"\x40" + bytes(SMALLEST))
            await until(lambda: got != [])
            await asyncio.sleep(0.02)
            assert [len(data) for data in got] == [SMALLEST]
            assert (await client.request("GET", "/")).status == 200

    steady.run(main())


def test_a_flood_is_answered_within_bounds(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            serving(app, tmp_path, resets=10, resets_per_second=0.01) as server,
            stranger(server) as (wire, got),
        ):
            for n in range(2000):
                wire.sendto(b"\x40" + n.to_bytes(8) + bytes(40))
                if not n % 50:
                    await asyncio.sleep(0)
            await honest(server)
            await asyncio.sleep(0.02)
            assert len(got) == 10

    steady.run(main())


def test_two_servers_do_not_go_on_for_ever() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    sides = [Resets(key, ("127.0.0.1", port), 1000, 1000) for port in (1, 2)]
    data, told = b"\x40" + bytes(1200), 0
    while answer := sides[told % 2].answer(len(data), data[1:9], 0.0):
        assert len(answer) < len(data)
        data, told = answer, told + 1
    assert told == LARGEST - SMALLEST + 1


def test_whose_tokens_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a restart; not those of another server with the same certificate, or of another key."""
    key, name = ec.generate_private_key(ec.SECP256R1()), b"12345678"

    def token(key: Any = key, address: tuple[str, int] = HERE, name: bytes = name) -> bytes:
        return Resets(key, address, 1, 1).token(name)

    told = [
        token(),
        token(ec.generate_private_key(ec.SECP256R1())),
        token(address=("127.0.0.1", 8444)),
        token(address=("127.0.0.2", 8443)),
        token(name=b"12345679"),
    ]
    assert token() == told[0]
    monkeypatch.setattr(socket, "gethostname", lambda: "another")
    told.append(token())
    assert len({*told}) == 6
    assert {len(each) for each in told} == {TOKEN}
