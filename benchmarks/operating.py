"""What it costs to be seen, and to ask who calls: metrics, logs and tokens on, over all of it off.

**The sides.** Three servers that differ in nothing else, for each store. "Off" has no observer at
all and logs nothing. "Seen" counts everything that ``GET /metrics`` tells, is scraped, and writes
its log as JSON from ``info`` on into a file. The third also wants an EdDSA token with each request
and handshake, for which each operation is checked. Hashes of text have the same seed in all of
them, since that alone makes two equal processes differ by a few hundredths.

**In turns.** All three stand side by side and carry the same load one after the other (1 2 3, 3 2
1, 1 2 3), about a second each, so that whatever else the machine does meets all of them. Each
round gives a ratio; what is told is the median of many, with the smallest and largest. Before that
each has a turn that does not count, and after each turn its queue is emptied. A scrape comes at the
beginning of each turn of a server that is seen, and every second of a longer one: more often than
Prometheus would, and never while another server has its turn.

**By the clock, and by processor time.** The ratio is of messages a second by the clock; the note
has the same one by the processor time of the servers, all threads and the kernel's part included,
which other programs on the machine disturb less, and in brackets its middle half. How busy the
server with everything on was is told beside it: far below 100 % it is the load or the disk that
was measured by the clock.

**SQLite** makes the same calls on both sides, those for durability too (WAL, ``synchronous=FULL``),
on a file system in memory where there is one (``/dev/shm``). There a flush takes no time, so that
the ratio is that of all that is done, and not of a disk whose flushes take 1 ms in one turn and 10
in the next; waiting for a disk, the same on both sides, moves it towards 1. To measure that:
``TMPDIR=/var/tmp make bench ARGS="--only operating"``. There are 32 callers at a time over HTTP and
800 frames over a WebSocket, so that commits are of groups.

What it cannot do is make a busy machine quiet: ``PROFILE.md`` has what two servers came to that had
all of it off.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple
from urllib.request import Request, urlopen

from benchmarks import processes
from benchmarks.doors import BATCH, JSON, ONE
from benchmarks.harness import Goal, Plan, Row, absent, number, spread
from benchmarks.load import Posts, post_many
from benchmarks.peers import find
from benchmarks.processes import Served

SECRET = "0123456789abcdef" * 4
ROUNDS = 3
"""Rounds here for each that is asked for, as turns are short."""
EVERY = 1.0
"""Seconds between two scrapes in one turn."""


class Side(NamedTuple):
    """A server and how it is asked."""

    name: str
    served: Served
    token: str
    """What each request and handshake carries."""
    scraper: str | None
    """The token that scrapes it; ``None``: nobody does."""


class Way(NamedTuple):
    """How messages are carried."""

    name: str
    messages: int
    carry: Callable[[Side], float]
    """Gives how many a second."""


class Turn(NamedTuple):
    """What came out once."""

    rate: float
    """Messages a second by the clock."""
    per_cpu: float
    """Messages a second of the server's processor time."""
    busy: float
    """Processor time a second."""


def rows(plan: Plan) -> Iterator[Row]:
    """The results of this subject."""
    if find("uvicorn") is None or find("uvloop") is None or find("prometheus_client") is None:
        yield absent(Row("operated", "memory", "messages/s", "on", []), "supersoniq[server]")
        return
    for store in ("memory", "sqlite")[: plan.pick(2, 2, 1)]:
        with _sides(store) as sides:
            for way in _ways(plan, store):
                yield from _measure(plan, way, store, sides)


@contextmanager
def _sides(store: str) -> Iterator[tuple[Side, ...]]:
    """All off, seen, and seen with tokens."""
    token = _token()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=_memory()))

        def served(name: str, seen: bool, auth: bool) -> Served:
            url = "memory://" if store == "memory" else f"sqlite:///{folder}/{name}.db"
            return stack.enter_context(processes.operating(seen, auth, url))

        yield (
            Side("all of it off", served("off", False, False), "", None),
            Side("metrics, logs", served("seen", True, False), "", ""),
            Side("metrics, logs, tokens", served("asked", True, True), token, token),
        )


def _memory() -> str | None:
    """A file system in memory, unless it is said where temporary files shall be."""
    return "/dev/shm" if "TMPDIR" not in os.environ and os.access("/dev/shm", os.W_OK) else None


def _ways(plan: Plan, store: str) -> Iterator[Way]:
    from benchmarks import sockets

    slow = 1 if store == "memory" else 2
    count = plan.pick(16_000, 4_000, 128) // slow

    def post(side: Side) -> float:
        return post_many(
            Posts(f"{side.served.address}/messages", ONE, JSON, count, token=side.token)
        )

    def work(batch: int, many: int, side: Side) -> float:
        return sockets.carry(side.served.address, True, batch, many, side.token)

    yield Way("HTTP/1.1, one a request", count, post)
    for batch in (1, BATCH):
        many = plan.pick(16_000, 4_000, 400) * (5 if batch > 1 else 1) // slow // BATCH * BATCH
        name = f"WebSocket, {batch} a frame, published, worked on, acked"
        yield Way(name, many, partial(work, batch, many))


def _measure(plan: Plan, way: Way, store: str, sides: tuple[Side, ...]) -> Iterator[Row]:
    turns: dict[Side, list[Turn]] = {side: [] for side in sides}
    for side in sides:
        _turn(way, side)
    for turn in range(plan.rounds * plan.pick(ROUNDS, ROUNDS, 1)):
        for side in sides if turn % 2 == 0 else reversed(sides):
            turns[side].append(_turn(way, side))
    off, *ons = sides
    for on in ons:
        row = Row(way.name, _durability(store), "messages/s", on.name, [])
        row.figures = [turn.rate for turn in turns[on]]
        row.against, row.others = off.name, [turn.rate for turn in turns[off]]
        row.goal = Goal(0.8)
        pairs = zip(turns[on], turns[off], strict=True)
        ratios = [mine.per_cpu / theirs.per_cpu for mine, theirs in pairs]
        busy = median(turn.busy for turn in turns[on])
        row.note = f"by processor time {_middle(ratios)}; server {busy:.0%} busy"
        yield row


def _durability(store: str) -> str:
    if store == "memory":
        return "memory"
    return "disk" if _memory() is None else "disk, on a file system in memory"


def _middle(ratios: list[float]) -> str:
    """Their spread, and that of the middle half."""
    told = spread(ratios, "x")
    if len(ratios) < 4:
        return told
    low, _, high = quantiles(ratios, n=4)
    return f"{told}, half of them {number(low)}-{number(high)}"


def _turn(way: Way, side: Side) -> Turn:
    with _scraped(side):
        before, began = side.served.cpu(), time.perf_counter()
        rate = way.carry(side)
        cpu, lasted = side.served.cpu() - before, time.perf_counter() - began
    _ask(side.served, "/queues/default/purge", side.token, "POST")
    return Turn(rate, way.messages / cpu, cpu / lasted)


def _ask(served: Served, path: str, token: str, method: str = "GET") -> None:
    head = {"authorization": f"Bearer {token}"} if token else {}
    body = b"" if method == "POST" else None
    with urlopen(Request(served.address + path, body, head, method=method)) as answer:
        answer.read()


@contextmanager
def _scraped(side: Side) -> Iterator[None]:
    """Meanwhile, a scrape now and every second, as Prometheus would do it."""
    token = side.scraper
    if token is None:
        yield
        return
    over = threading.Event()

    def scrape() -> None:
        _ask(side.served, "/metrics", token)
        while not over.wait(EVERY):
            _ask(side.served, "/metrics", token)

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _keys() -> tuple[bytes, bytes]:
    """A key pair made of ``SECRET``, so that servers and load have the same one."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.from_private_bytes(SECRET[:32].encode())
    pem, plain = form.Encoding.PEM, form.NoEncryption()
    private = key.private_bytes(pem, form.PrivateFormat.PKCS8, plain)
    return private, key.public_key().public_bytes(pem, form.PublicFormat.SubjectPublicKeyInfo)


def _token() -> str:
    import time

    import jwt

    scope = "publish:* consume:* manage:* metrics:*"
    claims = {"sub": "load", "exp": int(time.time()) + 86_400, "scope": scope}
    return jwt.encode(claims, _keys()[0], "EdDSA")


def be_server(operated: bool, auth: bool, store: str) -> None:
    """Be the server in this fresh process: print its address, and serve until SIGTERM."""
    import logging

    import supersoniq
    from supersoniq.adapters.http.serve import serve
    from supersoniq.auth import Issuer, Pem, Verifier
    from supersoniq.observe.logs import set_up

    broker = supersoniq.connect(store)
    verifier = None
    with tempfile.TemporaryDirectory() as folder:
        if operated:
            logging.getLogger().addHandler(logging.FileHandler(Path(folder) / "log"))
            set_up("json", "info")
        else:
            broker.observe = lambda observer: None  # type: ignore[method-assign]
            logging.disable()
        if auth:
            key = Path(folder) / "key.pem"
            key.write_bytes(_keys()[1])
            verifier = Verifier(Issuer(Pem(key)))
        serve(
            broker,
            port=0,
            auth=verifier,
            metrics=operated,
            on_started=lambda url: print(url, flush=True),
        )
