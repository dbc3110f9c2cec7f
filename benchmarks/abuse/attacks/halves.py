"""Large messages and bodies of which some comes, and then next to nothing.

Meanwhile somebody honest sends large ones as well, which have to be stored.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from h2.exceptions import StreamClosedError

from benchmarks.abuse import doors, quic
from benchmarks.abuse.attacks import frames2
from benchmarks.abuse.attacks.sockets import TEXT, close_code, frame, text
from benchmarks.abuse.trial import Attack, Scale

__all__ = ["ATTACKS"]

MIB = 1024 * 1024
CONTENT = "x" * 200 * 1024
HELLO = bytes(1000)
ELSEWHERE = "127.0.0.2"
"""The dawdlers' own address; one after the other has its turn, and then the connections of each."""
FIELDS = [(b"content-length", b"%d" % MIB), (b"content-type", b"text/plain")]


@asynccontextmanager
async def uploads(send: Callable[[], Awaitable[None]]) -> AsyncIterator[list[float]]:
    """Somebody honest sends one large message after the other; gives how long each took."""
    took: list[float] = []

    async def keep_on() -> None:
        while True:
            begun = time.monotonic()
            await send()
            took.append(time.monotonic() - begun)
            await asyncio.sleep(0.1)

    task = asyncio.ensure_future(keep_on())
    try:
        yield took
    finally:
        task.cancel()
        await asyncio.wait((task,))
        if not task.cancelled():
            await task


def told(took: list[float]) -> str:
    """How it went for them."""
    assert took, "nobody could upload anything"
    return f"{len(took)} honest uploads beside it, each within {max(took):.1f} s"


async def half_sent(door: str, port: int, scale: Scale) -> str:
    """Half of a message on each of many WebSockets, and then nothing."""
    count, codes = 40, Counter[int | None]()
    some = "\N{GRINNING FACE}".encode() + b" " * 1020  # as characters, four bytes for each
    half = frame(TEXT, some * (MIB // len(some)), length=2 * MIB - 1)
    async with AsyncExitStack() as stack:
        honest = await stack.enter_async_context(doors.wire(door, port))

        async def send() -> None:
            honest.received.clear()
            message = {"content": CONTENT, "ttl": 60}
            await honest.write(text(type="publish", id=1, queue="halves", messages=[message]))
            await honest.until(lambda: b'"id":1' in honest.received)
            assert b'"ok"' in honest.received, bytes(honest.received)

        took = await stack.enter_async_context(uploads(send))
        wires = []
        for _ in range(count):
            wire = await stack.enter_async_context(doors.wire(door, port))
            wires.append(wire)
            await wire.write(text(type="ping", id=1))
            await wire.write(half)
        await asyncio.sleep(scale.pick(10, 1))
        for wire in wires:
            if wire.over() or close_code(wire.received) is not None:
                codes[close_code(wire.received)] += 1
    cut = ", ".join(f"{n} closed with {code}" for code, n in codes.items())
    assert set(codes) == {1013}, cut or "nobody is closed"
    return f"{cut}, of {count}; {told(took)}"


Round = Callable[[], Awaitable[int]]
"""Begins to upload, dawdles, and gives the status."""


@asynccontextmanager
async def over1(port: int) -> AsyncIterator[Round]:
    async def once() -> int:
        reader, writer = await doors.connect(port, "http/1.1", host=ELSEWHERE)
        try:
            writer.write(doors.head1("POST", "/messages", f"content-length: {MIB}") + HELLO)
            with doors.dripping(writer.write, b"x"):
                return (await doors.answer1(reader))[0]
        finally:
            doors.drop(writer)

    yield once


@asynccontextmanager
async def over2(port: int) -> AsyncIterator[Round]:
    async with doors.over2(port, host=ELSEWHERE) as one:

        async def once() -> int:
            number = one.request("/messages", "POST", None, FIELDS, end=False)
            one.writer.write(frames2.frame(frames2.DATA, 0, number, HELLO))
            drop = frames2.frame(frames2.DATA, 0, number, b"x")
            with doors.dripping(one.writer.write, drop):
                status = (await one.answer(number, 60)).status
            with suppress(StreamClosedError):  # it may be the server who has done with it
                one.h2.reset_stream(number)
                one.flush()
            return status

        yield once


@asynccontextmanager
async def over3(port: int) -> AsyncIterator[Round]:
    async with quic.visiting(port) as one:

        async def once() -> int:
            stream_id = one.open([*quic.request_head("POST", "/messages"), *FIELDS])
            one.send(stream_id, HELLO)
            with doors.dripping(lambda drop: one.send(stream_id, drop), b"x"):
                return (await one.answer(stream_id).wait(60)).status

        yield once


DOORS = {"h1": over1, "h2": over2, "h3": over3}


async def dawdlers(door: str, port: int, scale: Scale) -> str:
    """A thousand bytes of a large body, and then one a second; again, when it is given up."""
    count, statuses = scale.pick(90, 20), Counter[int]()

    async def again(once: Round) -> None:
        while True:
            statuses[await once()] += 1

    async with DOORS[door](port) as once, doors.http1(port) as ask:

        async def send() -> None:
            body = json.dumps({"content": CONTENT, "ttl": 60})
            status, answer = await ask("POST", "/queues/halves/messages", body)
            assert status == 201, answer

        async with uploads(send) as took:
            tasks = [asyncio.ensure_future(again(once)) for _ in range(count)]
            await asyncio.sleep(scale.pick(30, 4))
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            for task in tasks:
                if not task.cancelled():
                    await task
        await ask("POST", "/queues/halves/purge", "{}")
    assert set(statuses) == {503}, statuses
    return f"{statuses[503]} given up with 503, of {count} at a time; {told(took)}"


ATTACKS = [
    *(Attack("WebSocket: half sent", door, half_sent) for door in doors.CARRIERS),
    *(Attack("dawdling uploads", door, dawdlers) for door in DOORS),
]
