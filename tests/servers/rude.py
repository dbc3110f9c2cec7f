"""Clients of HTTP/2 that mean harm, each with an honest one beside it, and what they cost.

``beside`` asks for something, all the time, on a connection of its own: it must get every answer,
and soon. Memory is what Python holds, after the connection has done its worst.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from hpack import Encoder

from supersoniq.servers.h2 import frames
from tests.servers.http2 import (
    Client,
    Running,
    client,
    until,
)

MIB = 1024 * 1024
ENHANCE_YOUR_CALM = 11
HELLO = frames.PREFACE + b"\0\0\0\4\0\0\0\0\0"


def frame(kind: int, flags: int, stream: int, body: bytes = b"") -> bytes:
    return len(body).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, stream) + body


def head_block(path: str = "/", method: bytes = b"GET") -> bytes:
    return Encoder().encode(
        [
            (b":method", method),
            (b":scheme", b"http"),
            (b":authority", b"localhost"),
            (b":path", path.encode()),
        ]
    )


@asynccontextmanager
async def beside(server: Running, bound: int = 8 * MIB, worst: float = 2.0) -> AsyncIterator[None]:
    """An honest client that is served all the while; and nothing grows, and no task is left."""
    async with client(server) as honest:
        await honest.get("/honest")
        gc.collect()
        tasks = server.tasks
        tracemalloc.start()
        slowest, count = 0.0, 0
        stop = False
        loop = asyncio.get_running_loop()

        async def ask() -> None:
            nonlocal slowest, count
            while not stop:
                begun, worked = loop.time(), time.process_time()
                answer = await honest.get("/honest", method="POST", body=b"x")
                assert answer.status == 200
                # Who keeps it waiting waits as well, or works: what a busy machine does is neither.
                slowest = max(slowest, loop.time() - begun, time.process_time() - worked)
                count += 1
                honest.answers.clear()
                await asyncio.sleep(0.002)

        asking = asyncio.ensure_future(ask())
        try:
            yield
            stop = True
            await asking
            _, peak = tracemalloc.get_traced_memory()
        finally:
            asking.cancel()
            tracemalloc.stop()
        assert peak < bound, f"{peak / MIB:.1f} MiB"
        assert count > 0
        assert slowest < worst, f"{slowest:.2f} s"
        await until(lambda: server.tasks == tasks)


async def rudely(server: Running, act: Callable[[Client], Awaitable[None]]) -> Client:
    """Let a client do what it does until it is thrown out, reading what it is told."""
    async with client(server, raw=True) as one:
        one.h2.initiate_connection()
        one.h2.data_to_send()
        one.pump = asyncio.ensure_future(listen(one))
        try:
            await act(one)
        except ConnectionError:
            pass
        await asyncio.wait_for(one.lost.wait(), 30)
        return one


async def listen(one: Client) -> None:
    """Look for the GOAWAY in whatever comes: for clients that say what h2 would not."""
    try:
        while True:
            head = await one.reader.readexactly(9)
            body = await one.reader.readexactly(int.from_bytes(head[:3], "big"))
            if head[3] == frames.GOAWAY:
                one.goaway = int.from_bytes(body[4:8], "big")
    except (ConnectionError, EOFError):
        pass
    finally:
        one.lost.set()


def stop_reading(one: Client) -> None:
    """Take nothing, and have little room for what one does not take."""
    one.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    one.writer.transport.pause_reading()  # type: ignore[attr-defined]


async def pour(one: Client, data: bytes, times: int) -> None:
    for _ in range(times):
        if one.lost.is_set():
            return
        one.writer.write(data)
        await one.writer.drain()
        await asyncio.sleep(0)  # the honest one lives in this loop as well
