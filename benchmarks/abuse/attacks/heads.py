"""Heads of requests that are wrong, or do not come to an end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

from benchmarks.abuse import doors, quic
from benchmarks.abuse.attacks.frames2 import CONTINUATION, HEADERS, HELLO, frame, head_block
from benchmarks.abuse.trial import Attack, Scale

__all__ = ["ATTACKS"]

PATHS = (None, b"", b"/\xc3\xa4", b"/\xff\xfe", b"/a b", b"nothing", b"/\0")
CONNECTIONS = 100


async def bad_path1(port: int, rounds: int) -> list[int]:
    """HTTP/1.1 has no name for it, but a place; each has a connection."""
    statuses: list[int] = []
    for path in PATHS * (rounds // 10 + 1):
        reader, writer = await doors.connect(port, "http/1.1")
        writer.write(b"GET " + (path or b"") + b" HTTP/1.1\r\nhost: localhost\r\n\r\n")
        statuses.append((await doors.answer1(reader))[0])
        doors.drop(writer)
    return statuses


async def bad_path2(port: int, rounds: int) -> list[int]:
    """On one connection of HTTP/2, which lives."""
    statuses = []
    async with doors.over2(port) as one:
        usual = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"localhost")]
        for path in PATHS * rounds:
            head = usual if path is None else [*usual, (b":path", path)]
            statuses.append((await one.answer(one.send_head(head))).status)
            one.answers.clear()
        assert (await one.get("/health/live")).status == 200, "the connection is of no use any more"
    return statuses


async def bad_path3(port: int, rounds: int) -> list[int]:
    """On one connection of HTTP/3, which lives."""
    statuses = []
    async with quic.visiting(port) as one:
        usual = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"localhost")]
        for path in PATHS * rounds:
            head = usual if path is None else [*usual, (b":path", path)]
            statuses.append((await one.answer(one.open(head, end=True)).wait(60)).status)
            one.answers.clear()
        live = (await one.request("GET", "/health/live")).status
        assert live == 200, "the connection is of no use any more"
    return statuses


async def bad_path(door: str, port: int, scale: Scale) -> str:
    """No ``:path``, an empty one, and others that cannot be."""
    way = {"h1": bad_path1, "h2": bad_path2, "h3": bad_path3}[door]
    statuses = await way(port, scale.pick(50, 5))
    told = {status: statuses.count(status) for status in sorted(set(statuses))}
    # What HTTP/1.1 lets pass as a path is looked for, and not found.
    assert set(told) <= ({400, 404} if door == "h1" else {400}), told
    return ", ".join(f"{count} times {status}" for status, count in told.items())


async def _all_over(over: Sequence[Callable[[], bool]], begun: float, patience: float) -> str:
    try:
        async with asyncio.timeout(patience):
            while not all(each() for each in over):  # noqa: ASYNC110 - three kinds
                await asyncio.sleep(0.1)
    except TimeoutError:
        left = sum(not each() for each in over)
        raise AssertionError(f"{left} of {len(over)} still there after {patience:g} s") from None
    return f"{len(over)} cut within {time.monotonic() - begun:.0f} s"


async def slow_head1(door: str, port: int, scale: Scale) -> str:
    """HTTP/1.1: a field more every second, on many connections."""
    begun, over = time.monotonic(), []
    async with AsyncExitStack() as stack:
        for _ in range(CONNECTIONS):
            reader, writer = await doors.connect(port, "http/1.1")
            stack.callback(doors.drop, writer)
            writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n")
            stack.enter_context(doors.dripping(writer.write, b"x-a: b\r\n"))
            ended = asyncio.ensure_future(reader.read())
            stack.callback(ended.cancel)
            over.append(ended.done)
        return await _all_over(over, begun, 40)


async def slow_head2(door: str, port: int, scale: Scale) -> str:
    """HTTP/2: an empty CONTINUATION every second."""
    begun, over = time.monotonic(), []
    async with AsyncExitStack() as stack:
        for _ in range(CONNECTIONS):
            reader, writer = await doors.connect(port, "h2")
            stack.callback(doors.drop, writer)
            writer.write(HELLO + frame(HEADERS, 0, 1, head_block()))
            stack.enter_context(doors.dripping(writer.write, frame(CONTINUATION, 0, 1)))
            ended = asyncio.ensure_future(reader.read())
            stack.callback(ended.cancel)
            over.append(ended.done)
        return await _all_over(over, begun, 40)


async def slow_head3(door: str, port: int, scale: Scale) -> str:
    """HTTP/3: a byte of a HEADERS frame every second, on every stream that one may have."""
    begun, over = time.monotonic(), []
    async with AsyncExitStack() as stack:
        for _ in range(5):
            one = await stack.enter_async_context(quic.visiting(port))
            while one.may_open():
                stream_id = one._quic.get_next_available_stream_id()
                answer = one.answer(stream_id)
                one.raw(stream_id, b"\x01\x40\xff\0\0")

                def drip(drop: bytes, one: quic.Client = one, stream_id: int = stream_id) -> None:
                    if not one.answer(stream_id).over.is_set() and one.ended is None:
                        one.raw(stream_id, drop)

                stack.enter_context(doors.dripping(drip, b"\xd1"))

                def ended(one: quic.Client = one, answer: Any = answer) -> bool:
                    return one.ended is not None or answer.over.is_set()

                over.append(ended)
        return await _all_over(over, begun, 40)


async def no_handshake(door: str, port: int, scale: Scale) -> str:
    """TCP connections that never begin with TLS: what an idle one costs."""
    count = scale.pick(1000, 100)
    writers = []
    for _ in range(count):
        _, writer = await asyncio.open_connection(doors.HOST, port)
        writers.append(writer)
    await asyncio.sleep(scale.pick(5.0, 0.5))
    for writer in writers:
        doors.drop(writer)
    return f"{count} connections"


HTTP = ("h1", "h2", "h3")
ATTACKS = [
    *(Attack("no :path, or one that cannot be", door, bad_path) for door in HTTP),
    Attack("slow headers", "h1", slow_head1, patient=True),
    Attack("slow headers", "h2", slow_head2, patient=True),
    Attack("slow headers", "h3", slow_head3, patient=True),
    Attack("no TLS handshake", "tcp", no_handshake),
]
