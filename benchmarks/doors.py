"""What each network door carries, beside a route that does nothing on bare uvicorn.

Over HTTP/1.1 the other side reads the same body and answers 201 with as many bytes: the ratio says
which share of a server's work is not ours, the rest went into checking, storing and answering. The
other doors stand beside the same route with one message a request.

Servers and load are processes of their own. Rates are of the clock; the note has the same ratio by
the servers' processor time, which other programs on the machine disturb less, and how busy ours
was: well below 100 %, it was the client that was measured, and the other ratio is the one to go by.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from typing import NamedTuple

import msgspec

from benchmarks import processes
from benchmarks.harness import CONTENT, Case, Goal, Plan, Row, absent, compare, spread
from benchmarks.peers import find
from benchmarks.processes import Served

BATCH = 100
JSON, NDJSON, MSGPACK = "application/json", "application/x-ndjson", "application/msgpack"
PUSHED = "pushed"
"""A queue of its own: one that was watched goes on recording for a while, at twice the cost."""
ONE = msgspec.json.encode({"content": CONTENT.decode()})


class Door(NamedTuple):
    """A way in, or out."""

    name: str
    by: str
    """What makes the load."""
    carry: Callable[[int], float]
    """Carries so many messages; gives how many a second."""
    messages: int
    """Messages in a round."""
    nothing: Callable[[], tuple[int, float]]
    """The same on bare uvicorn: how many, and how many a second."""
    ours: Served
    goal: Goal | None = None
    before: Callable[[], object] = lambda: None
    """Done before each round."""


def rows(plan: Plan) -> Iterator[Row]:
    """The results of this subject."""
    row = Row("network doors", "memory", "messages/s", "SupersoniQ", [])
    if find("uvicorn") is None or find("uvloop") is None:
        yield absent(row, "supersoniq[server]")
        return
    with processes.supersoniq() as ours, processes.bare() as bare:
        for door in (*_http(plan, ours, bare), *_sockets(plan, ours, bare)):
            yield _measure(plan, door, bare)
        for missing, name in ((_h2load, "h2load"), (_nghttp, "nghttp")):
            if not missing():
                yield absent(Row(f"HTTP/2 by {name}", "memory", "messages/s", "", []), name)
    if find("aioquic") is not None:
        with processes.supersoniq(dev=True) as ours, processes.bare() as bare:
            yield _measure(plan, _http3(plan, ours, bare), bare)


def _h2load() -> bool:
    return shutil.which("h2load") is not None


def _nghttp() -> bool:
    return shutil.which("nghttp") is not None


def _http(plan: Plan, ours: Served, bare: Served) -> Iterator[Door]:
    from benchmarks.load import Posts, post_many

    by = "h2load" if _h2load() else "Python (no h2load: make bench-tools)"

    def door(
        name: str, path: str, body: bytes, kind: str, batch: int = 1, goal: Goal | None = None
    ) -> Door:
        answer = ours.post(path, body, kind)
        requests = plan.pick(15_000, 5_000, 64) if batch == 1 else plan.pick(1_000, 300, 32)
        other = Posts(f"{bare.address}/{len(answer)}", body, kind, requests)
        mine = other._replace(url=ours.address + path)
        return Door(
            f"HTTP/1.1, {name}",
            by,
            lambda _: post_many(mine) * batch,
            requests * batch,
            lambda: (requests * batch, post_many(other) * batch),
            ours,
            goal,
        )

    array = b"[" + b",".join([ONE] * BATCH) + b"]"
    yield door("one a request", "/messages", ONE, JSON, goal=Goal(0.5))
    yield door("content as it is", "/messages", CONTENT, "application/octet-stream")
    yield door(f"arrays of {BATCH}", "/messages", array, JSON, BATCH)
    yield door(f"NDJSON, {BATCH} lines", "/messages", (ONE + b"\n") * BATCH, NDJSON, BATCH)
    yield door(f"POST /operations of {BATCH}", "/operations", _operation(), MSGPACK, BATCH)
    if _h2load():
        count = plan.pick(4_000, 1_500, 64)
        mine = Posts(f"{ours.address}/messages", ONE, JSON, count, http2=True)
        carry = lambda _: post_many(mine)  # noqa: E731  # as short as it is
        yield Door("HTTP/2, one a request", by, carry, count, _nothing(plan, bare), ours)
    if _nghttp():
        count = plan.pick(2_000, 800, 20)
        lines = (ONE + b"\n") * count

        def fill() -> None:
            ours.post(f"/queues/{PUSHED}/messages", lines, NDJSON)

        yield Door(
            "HTTP/2, pushed",
            "nghttp",
            partial(_pushed, ours),
            count,
            _nothing(plan, bare),
            ours,
            before=fill,
        )


def _operation() -> bytes:
    """A batch as the Python client sends it."""
    from supersoniq.core.messages import prepare
    from supersoniq.core.ops import Publish
    from supersoniq.wire.operations import written

    publish = Publish("default", [prepare(CONTENT)] * BATCH)
    return msgspec.msgpack.encode([written(publish)])


def _nothing(plan: Plan, bare: Served) -> Callable[[], tuple[int, float]]:
    """One message a request, read and forgotten."""
    from benchmarks.load import Posts, post_many

    posts = Posts(f"{bare.address}/85", ONE, JSON, plan.pick(15_000, 5_000, 64))
    return lambda: (posts.requests, post_many(posts))


def _pushed(ours: Served, count: int) -> float:
    """All that is ready comes pushed, and the answer ends."""
    url = f"{ours.address}/queues/{PUSHED}/events"
    command = ["nghttp", "-ns", "-H", "prefer: wait=0", url]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rate = count / (time.perf_counter() - started)
    ours.post(f"/queues/{PUSHED}/purge")
    if done.stdout.count("/messages/") != count:
        raise RuntimeError(f"not {count} were pushed:\n{done.stdout[-2000:]}")
    return rate


def _sockets(plan: Plan, ours: Served, bare: Served) -> Iterator[Door]:
    from benchmarks import sockets

    for what, carry in (("published", sockets.publish), ("published, worked on, acked", None)):
        for name, binary in (("MessagePack", True), ("JSON", False)):
            for batch in (1, BATCH):
                count = plan.pick(20_000, 8_000, 200) * (3 if batch > 1 else 1) // BATCH * BATCH
                yield Door(
                    f"WebSocket, {name}, {'singles' if batch == 1 else f'{batch} a frame'}, {what}",
                    "uvloop",
                    partial(carry or sockets.carry, ours.address, binary, batch),
                    count,
                    _nothing(plan, bare),
                    ours,
                )


def _http3(plan: Plan, ours: Served, bare: Served) -> Door:
    from benchmarks import quic

    url = f"{ours.address}/messages"
    count = plan.pick(2_000, 800, 40)
    carry = partial(quic.post_many, url, ONE, JSON)
    return Door("HTTP/3, one a request", "aioquic", carry, count, _nothing(plan, bare), ours)


def _measure(plan: Plan, door: Door, bare: Served) -> Row:
    row = Row(f"{door.name} (load: {door.by})", "memory", "messages/s", "SupersoniQ", [])
    row.goal = door.goal
    ours = door.ours
    mine: list[float] = []
    theirs: list[float] = []
    busy: list[float] = []

    def carry() -> float:
        door.before()
        before, began = ours.cpu(), time.perf_counter()
        rate = door.carry(door.messages)
        cpu, lasted = ours.cpu() - before, time.perf_counter() - began
        mine.append(cpu / door.messages)
        busy.append(cpu / lasted)
        ours.post("/queues/default/purge")
        return rate

    def nothing() -> float:
        before = bare.cpu()
        count, rate = door.nothing()
        theirs.append((bare.cpu() - before) / count)
        return rate

    compare(plan, row, Case("SupersoniQ", carry), Case("bare uvicorn", nothing))
    by_cpu = [other / own for own, other in zip(mine[1:], theirs[1:], strict=True)]
    row.note = f"by processor time {spread(by_cpu, 'x')}; server {median(busy[1:]):.0%} busy"
    return row
