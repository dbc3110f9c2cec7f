"""Datagrams that cost their sender nothing, and as many connections as one may have."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl

from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection

from benchmarks.abuse import doors, quic
from benchmarks.abuse.trial import Attack, Scale

__all__ = ["ATTACKS"]

ELSEWHERE = "127.0.0.2"
"""Another address than that of the honest clients."""


def initial() -> bytes:
    """The first packet of a client that is there for the first time."""
    one = QuicConnection(
        configuration=QuicConfiguration(alpn_protocols=["h3"], verify_mode=ssl.CERT_NONE)
    )
    one.connect((doors.HOST, 1), now=0.0)
    return one.datagrams_to_send(now=0.0)[0][0]


async def initials(door: str, port: int, scale: Scale) -> str:
    """First packets, and nothing after them, from many ports; answers are not read."""
    count = scale.pick(100_000, 3_000)
    packets = [initial() for _ in range(50)]
    sockets = []
    for _ in range(50):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((ELSEWHERE, 0))
        sock.setblocking(False)
        sockets.append(sock)
    received = 0
    for n in range(count):
        packet = packets[n % 50]
        # Another name for the connection, each time: its Retry has to be made anew.
        packet = packet[:6] + os.urandom(8) + packet[14:]
        sockets[n * 7 % 50].sendto(packet, (doors.HOST, port))
        if n % 20 == 0:
            for sock in sockets:
                try:
                    while True:
                        received += len(sock.recv(2000))
                except BlockingIOError:
                    pass
            await asyncio.sleep(0)
    for sock in sockets:
        sock.close()
    assert received, "nothing was answered"
    assert received < 1200 * count, "more comes back than was sent"
    return f"{count} packets, {received / (1200 * count):.2f} times as many bytes came back"


async def connections(door: str, port: int, scale: Scale) -> str:
    """As many connections as the server lets one address have, and more."""
    wanted = scale.pick(150, 105)
    refused = 0
    told = [asyncio.Event() for _ in range(wanted)]
    leave = asyncio.Event()

    async def visit(tell: asyncio.Event) -> None:
        nonlocal refused
        try:
            async with quic.visiting(port, local=ELSEWHERE) as one:
                assert one.ended is None
                tell.set()
                await leave.wait()
        except OSError:
            refused += 1
            tell.set()

    visits = []
    for tell in told:
        visits.append(asyncio.ensure_future(visit(tell)))
        await asyncio.sleep(0.01)
    for tell in told:
        await tell.wait()
    leave.set()
    await asyncio.gather(*visits)
    assert refused == wanted - 100, f"{refused} of {wanted} refused"
    return f"{wanted} wanted, {refused} refused"


ATTACKS = [Attack("first packets", "h3", initials), Attack("connections", "h3", connections)]
