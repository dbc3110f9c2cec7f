"""WebSockets whose clients do not read, or send what nobody could take; over every carrier."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import struct
import zlib
from typing import Any

from wsproto.connection import Connection, ConnectionType
from wsproto.events import TextMessage

from benchmarks.abuse import doors
from benchmarks.abuse.trial import Attack, Scale

__all__ = ["ATTACKS"]

MIB = 1024 * 1024
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv1: bool = False,
          length: int | None = None) -> bytes:  # fmt: skip
    """A masked frame; the mask is nothing. ``length`` may be a lie."""
    size = len(payload) if length is None else length
    head = bytes([opcode | 0x80 * fin | 0x40 * rsv1])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65536:
        head += bytes([0x80 | 126]) + struct.pack(">H", size)
    else:
        head += bytes([0x80 | 127]) + struct.pack(">Q", size)
    return head + bytes(4) + payload


def text(**fields: Any) -> bytes:
    """A frame of the protocol."""
    return frame(TEXT, json.dumps(fields).encode())


def close_code(received: bytes | bytearray) -> int | None:
    """The code with which the server has closed, if it has."""
    at = 0
    while at + 2 <= len(received):
        opcode, size = received[at] & 15, received[at + 1] & 127
        start = at + 2
        if size == 126:
            size, start = int.from_bytes(received[start : start + 2], "big"), start + 2
        elif size == 127:
            size, start = int.from_bytes(received[start : start + 8], "big"), start + 8
        if opcode == CLOSE:
            return int.from_bytes(received[start : start + 2], "big")
        at = start + size
    return None


async def thrown_out(wire: doors.Wire, *codes: int) -> int:
    """Wait until the server has closed, with one of these codes."""
    try:
        await wire.until(lambda: close_code(wire.received) is not None)
    except TimeoutError:
        raise AssertionError("it is not closed") from None
    code = close_code(wire.received)
    assert code in codes, f"closed with {code}: {bytes(wire.received[-200:])!r}"
    return code


async def never_reads(door: str, port: int, scale: Scale) -> str:
    """Work on and watch 200 MiB of messages, and read none of it until one is cut."""
    async with doors.wire(door, port) as wire:
        await wire.until(lambda: b"welcome" in wire.received)
        wire.deafen()
        ask = {"type": "subscribe", "queue": "big"}
        await wire.write(text(**ask, id=1, mode="work", credit=10_000))
        await wire.write(text(**ask, id=2, mode="broadcast", since=0))
        if not scale.full:
            await asyncio.sleep(1)
            return "let go after 1 s"
        await asyncio.sleep(45)
    return "let go after 45 s"


async def vanishes(door: str, port: int, scale: Scale) -> str:
    """The same, and be gone."""
    count = scale.pick(20, 3)
    for _ in range(count):
        async with doors.wire(door, port) as wire:
            wire.deafen()
            ask = {"type": "subscribe", "queue": "big", "id": 1, "credit": 100}
            await wire.write(text(**ask, mode="work"))
            await asyncio.sleep(0.1)
    return f"{count} connections"


async def nobody_reads(door: str, port: int, scale: Scale) -> str:
    """One of three who watch a queue does not read: the others hear everything."""
    count, size = scale.pick(200, 20), MIB // 2
    heard = [0, 0]

    async def hear(which: int, wire: doors.Wire) -> None:
        frames = Connection(ConnectionType.CLIENT)
        parts: list[str] = []
        await wire.write(text(type="subscribe", id=1, queue="news", mode="broadcast"))
        while heard[which] < count and not wire.over():
            frames.receive_data(bytes(wire.received))
            wire.received.clear()
            for event in frames.events():
                if isinstance(event, TextMessage):
                    parts.append(event.data)
                    if event.message_finished:
                        told = json.loads("".join(parts))
                        heard[which] += len(told.get("events", ()))
                        assert all(e["kind"] == "published" for e in told.get("events", ()))
                        if told["type"] == "ok":
                            ready[which].set()
                        parts.clear()
            await asyncio.sleep(0.002)

    ready = [asyncio.Event(), asyncio.Event()]
    async with (
        doors.wire(door, port) as stuck,
        doors.wire(door, port) as one,
        doors.wire(door, port) as other,
        doors.http1(port) as ask,
    ):
        assert (await ask("PUT", "/queues/news", "{}"))[0] < 300
        await stuck.until(lambda: b"welcome" in stuck.received)
        stuck.deafen()
        await stuck.write(text(type="subscribe", id=1, queue="news", mode="broadcast"))
        listening = [asyncio.ensure_future(hear(n, w)) for n, w in enumerate((one, other))]
        async with asyncio.timeout(20):
            for each in ready:
                await each.wait()
        for n in range(count):
            body = json.dumps({"content": "x" * size, "ttl": 60})
            status, told = await ask("POST", "/queues/news/messages", body)
            assert status == 201, told
            async with asyncio.timeout(60):
                while min(heard) < n - 5:  # noqa: ASYNC110
                    await asyncio.sleep(0.002)
        async with asyncio.timeout(60):
            await asyncio.gather(*listening)
        await ask("POST", "/queues/news/purge", "{}")
    assert heard == [count, count], heard
    return f"{count} events of {size // 1024} KiB, heard by both others"


async def bomb(door: str, port: int, scale: Scale) -> str:
    """A frame of permessage-deflate, 200 MiB in 200 KiB; the extension was only asked for."""
    squeeze = zlib.compressobj(wbits=-15)
    packed = b"".join(squeeze.compress(bytes(MIB)) for _ in range(200)) + squeeze.flush()
    told = 0
    for _ in range(scale.pick(20, 1)):
        async with doors.wire(door, port) as wire:
            with contextlib.suppress(OSError):
                await wire.write(frame(TEXT, packed, rsv1=True))
            told = await thrown_out(wire, 1002)
    return f"closed with {told}"


async def huge(door: str, port: int, scale: Scale) -> str:
    """A frame that says it has 1 GiB, and comes."""
    told = 0
    for _ in range(scale.pick(5, 1)):
        sent = 0
        async with doors.wire(door, port) as wire:
            with contextlib.suppress(OSError):
                await wire.write(frame(BINARY, b"", length=1 << 30))
                while sent < 256:
                    await wire.write(bytes(MIB))
                    sent += 1
            told = await thrown_out(wire, 1009)
    return f"closed with {told} while MiB {sent + 1} was sent"


async def fragments(door: str, port: int, scale: Scale) -> str:
    """A message in fragments without end, that are empty."""
    count = scale.pick(5_000_000, 100_000)
    batch = frame(0, fin=False) * 1000
    sent = 0
    async with doors.wire(door, port) as wire:
        with contextlib.suppress(OSError):
            await wire.write(frame(TEXT, fin=False))
            while sent < count and close_code(wire.received) is None:
                await wire.write(batch)
                await asyncio.sleep(0)
                sent += 1000
        code = await thrown_out(wire, 1009)
    return f"closed with {code} after {sent:,} at most"


async def small_fragments(door: str, port: int, scale: Scale) -> str:
    """The same with two bytes in each."""
    count = scale.pick(2_000_000, 100_000)
    sent = 0
    async with doors.wire(door, port) as wire:
        with contextlib.suppress(OSError):
            await wire.write(frame(TEXT, fin=False))
            while sent < count and close_code(wire.received) is None:
                await wire.write(b"".join(frame(0, os.urandom(2), fin=False) for _ in range(1000)))
                await asyncio.sleep(0)
                sent += 1000
        code = await thrown_out(wire, 1009, 1007)
    return f"closed with {code} after {sent:,} at most"


async def pings(door: str, port: int, scale: Scale) -> str:
    """Pings, of whose answers none is read."""
    count = scale.pick(1_000_000, 20_000)
    batch = frame(PING, b"x" * 100) * 100
    async with doors.wire(door, port) as wire:
        wire.deafen()
        sent = 0
        try:
            async with asyncio.timeout(scale.pick(60, 2)):
                while sent < count:
                    await wire.write(batch)
                    sent += 100
            raise AssertionError("nobody minds")
        except OSError:
            return f"cut after {sent:,} at most"
        except TimeoutError:
            return f"{sent:,} were taken, then no more"


ATTACKS = [
    Attack(name, carrier, run)
    for name, run in (
        ("WebSocket: never reads 200 MiB", never_reads),
        ("WebSocket: vanishes while stalled", vanishes),
        ("WebSocket: nobody reads one of three", nobody_reads),
        ("WebSocket: deflate bomb", bomb),
        ("WebSocket: 1 GiB frame", huge),
        ("WebSocket: empty fragments", fragments),
        ("WebSocket: fragments of two bytes", small_fragments),
        ("WebSocket: PING flood", pings),
    )
    for carrier in doors.CARRIERS
]
