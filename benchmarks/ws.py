"""WebSocket: the messages of one connection beside beanstalkd, and how soon one wakes a consumer.

The servers are processes of their own, ours on the memory backend, beanstalkd without its log; each
client is one connection that costs less than the server. A message goes all the way: published,
delivered, acknowledged, in batches of 100 with several of them under way. beanstalkd knows no
batches: there 100 commands go in one write. Latency runs from before one connection of the
``websockets`` library publishes to when another has the message.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Iterator
from statistics import median, quantiles
from typing import Any

import msgspec

from benchmarks import processes
from benchmarks.harness import CONTENT, Case, Goal, Plan, Row, absent, compare, single, spread
from benchmarks.peers import find
from benchmarks.processes import Served

BATCH = 100


def rows(plan: Plan) -> Iterator[Row]:
    """The results of this subject."""
    row = Row(f"one connection, batches of {BATCH}", "memory", "messages/s", "SupersoniQ", [])
    late = {
        name: Row(f"wake-up, WebSocket, {name}", "memory", "us", "SupersoniQ", [])
        for name in ("median", "p99")
    }
    late["median"].goal = Goal(250, at_least=False)
    if find("websockets") is None or find("uvicorn") is None or find("uvloop") is None:
        yield absent(row, "supersoniq[server]")
        return
    with processes.supersoniq() as ours, processes.beanstalkd() as beanstalkd:
        if beanstalkd is None:
            yield absent(row, "beanstalkd (make bench-tools)")
        else:
            yield _beside(plan, row, ours, beanstalkd)
        count = plan.pick(500, 150, 5)
        address = ours.address.replace("http:", "ws:") + "/ws"
        yield from single(plan, lambda: asyncio.run(_latency(address, count)), late)


def _beside(plan: Plan, row: Row, ours: Served, beanstalkd: Served) -> Row:
    from benchmarks import sockets, tubes

    count = plan.pick(600, 200, 8) * BATCH
    spent: dict[Served, list[float]] = {ours: [], beanstalkd: []}

    def measured(served: Served, carry: Callable[[], float]) -> float:
        before = served.cpu()
        rate = carry()
        spent[served].append(served.cpu() - before)
        return rate

    row.goal = Goal(4)
    compare(
        plan,
        row,
        Case(
            "MessagePack",
            lambda: measured(ours, lambda: sockets.carry(ours.address, True, BATCH, count)),
        ),
        Case(
            f"beanstalkd, {BATCH} pipelined",
            lambda: measured(beanstalkd, lambda: tubes.carry(beanstalkd.address, BATCH, count)),
        ),
    )
    pairs = zip(spent[beanstalkd][1:], spent[ours][1:], strict=True)
    row.note = f"by processor time {spread([theirs / mine for theirs, mine in pairs], 'x')}"
    return row


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
