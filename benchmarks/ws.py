"""WebSocket: the messages a second of one connection, and how soon one that waits has its own.

The server is a process of its own, on the memory backend, so that the protocol is what is measured;
the client is one connection of the ``websockets`` library, and costs about as much as the server.
A message goes all the way: published, delivered, acknowledged, in batches of 100 with 8 of them
under way. Latency runs from before one connection publishes to when another has the message.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median, quantiles
from typing import Any

import msgspec

from benchmarks.harness import CONTENT, ROOT, Case, Goal, Plan, Row, absent, compare, single
from benchmarks.peers import find

BATCH = 100
UNDER_WAY = 8


def rows(plan: Plan) -> Iterator[Row]:
    """The results of this subject."""
    row = Row(f"one connection, batches of {BATCH}", "memory", "messages/s", "SupersoniQ", [])
    late = {
        name: Row(f"wake-up, WebSocket, {name}", "memory", "us", "SupersoniQ", [])
        for name in ("median", "p99")
    }
    late["median"].goal = Goal(250, at_least=False)
    if find("websockets") is None or find("uvicorn") is None:
        yield absent(row, "supersoniq[server]")
        return
    batches = plan.pick(600, 200, 4)
    with _server() as address:
        yield compare(
            plan,
            row,
            Case("MessagePack", _rate(address, True, batches)),
            Case("JSON", _rate(address, False, batches)),
        )
        count = plan.pick(500, 150, 5)
        yield from single(plan, lambda: asyncio.run(_latency(address, count)), late)


@contextmanager
def _server() -> Iterator[str]:
    program = (
        "from supersoniq.adapters.http.serve import serve\n"
        "serve('memory://', port=0, on_started=lambda url: print(url, flush=True))\n"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip().replace("http:", "ws:") + "/ws"
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(20)


def _rate(address: str, binary: bool, batches: int) -> Callable[[], float]:
    return lambda: asyncio.run(_carry(address, binary, batches))


class _Line:
    """A connection that sends and hears frames."""

    def __init__(self, socket: Any, binary: bool) -> None:
        self._socket = socket
        self._encode: Callable[[Any], Any]
        self._decode: Callable[[Any], Any]
        if binary:
            self._encode, self._decode = msgspec.msgpack.encode, msgspec.msgpack.decode
        else:
            self._encode = lambda frame: msgspec.json.encode(frame).decode()
            self._decode = msgspec.json.decode

    async def send(self, **frame: Any) -> None:
        await self._socket.send(self._encode(frame))

    async def hear(self, kind: str) -> Any:
        while True:
            frame = self._decode(await self._socket.recv())
            if frame["type"] == kind:
                return frame
            if frame["type"] in ("error", "bye"):
                raise RuntimeError(json.dumps(frame))


def _connect(address: str, binary: bool) -> Any:
    from websockets.asyncio.client import connect
    from websockets.typing import Subprotocol

    name = Subprotocol(f"supersoniq.v1.{'msgpack' if binary else 'json'}")
    return connect(address, subprotocols=[name], compression=None, max_size=None)


async def _carry(address: str, binary: bool, batches: int) -> float:
    """Publish, get and acknowledge messages; gives how many a second."""
    content: Any = CONTENT if binary else CONTENT.decode()
    async with _connect(address, binary) as socket:
        line = _Line(socket, binary)
        messages = [{"content": content}] * BATCH
        await line.send(type="subscribe", id=0, mode="work", credit=UNDER_WAY * BATCH)
        await line.hear("ok")
        started = time.perf_counter()
        published = 0
        done = 0
        while done < batches * BATCH:
            while published < batches and published * BATCH - done < UNDER_WAY * BATCH:
                published += 1
                await line.send(type="publish", id=published, messages=messages)
            delivered = (await line.hear("deliver"))["messages"]
            done += len(delivered)
            acks = [{"receipt": each["receipt"], "outcome": "ack"} for each in delivered]
            await line.send(type="settle", id="s", settlements=acks)
        await line.send(type="ping", id="end")
        while (await line.hear("ok"))["id"] != "end":
            pass
        return done / (time.perf_counter() - started)


async def _latency(address: str, count: int) -> dict[str, float]:
    """Microseconds from before a publish to when another connection has the message."""
    found: list[float] = []
    async with _connect(address, True) as one, _connect(address, True) as two:
        publisher, worker = _Line(one, True), _Line(two, True)
        await worker.send(type="subscribe", id=0, mode="work", credit=1)
        await worker.hear("ok")
        for n in range(count + 10):
            await asyncio.sleep(random.uniform(0.0005, 0.003))
            sent = time.perf_counter()
            await publisher.send(type="publish", id=n, messages=[{"content": CONTENT}])
            (message,) = (await worker.hear("deliver"))["messages"]
            found.append((time.perf_counter() - sent) * 1e6)
            ack = {"receipt": message["receipt"], "outcome": "ack"}
            await worker.send(type="settle", id=n, settlements=[ack])
            await publisher.hear("ok")
            await worker.hear("ok")
    late = found[10:]
    return {"median": median(late), "p99": quantiles(late, n=100, method="inclusive")[98]}
