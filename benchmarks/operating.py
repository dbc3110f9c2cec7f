"""What it costs to be seen, and to ask who calls: metrics, logs and tokens on, over all of it off.

Both servers are the same but for that, and get the same load in turns. "Off" has no observer at
all and writes nothing. "On" counts everything that ``GET /metrics`` tells, is scraped once a
second, and writes its log as JSON from ``info`` on into a file. "Tokens" adds an
EdDSA token to each request and handshake, which is verified each time. The note has the same ratio
by the servers' processor time, which other programs on the machine disturb less.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.request import Request, urlopen

from benchmarks import processes
from benchmarks.doors import BATCH, JSON, ONE
from benchmarks.harness import Case, Goal, Plan, Row, absent, compare, spread
from benchmarks.load import Posts, post_many
from benchmarks.peers import find
from benchmarks.processes import Served

SECRET = "0123456789abcdef" * 4


class Way(NamedTuple):
    """How messages are carried."""

    name: str
    carry: Callable[[Served, str], float]
    """Of a server, with a token: messages a second."""
    messages: int


def rows(plan: Plan) -> Iterator[Row]:
    """The results of this subject."""
    if find("uvicorn") is None or find("uvloop") is None or find("prometheus_client") is None:
        yield absent(Row("operated", "memory", "messages/s", "on", []), "supersoniq[server]")
        return
    token = _token()
    with tempfile.TemporaryDirectory() as folder:
        for store in ("memory", "sqlite")[: plan.pick(2, 2, 1)]:
            for auth in (False, True):
                with ExitStack() as stack:
                    urls = [_url(store, folder, f"{auth}{operated}") for operated in (True, False)]
                    on = stack.enter_context(processes.operating(True, auth, urls[0]))
                    off = stack.enter_context(processes.operating(False, False, urls[1]))
                    stack.callback(_scraped(on, token))
                    for way in _ways(plan, store):
                        yield _measure(plan, way, store, on, off, token if auth else "")


def _ways(plan: Plan, store: str) -> Iterator[Way]:
    from benchmarks import sockets

    slow = 1 if store == "memory" else 4
    count = plan.pick(12_000, 4_000, 128) // slow
    yield Way(
        "HTTP/1.1, one a request",
        lambda served, token: post_many(
            Posts(f"{served.address}/messages", ONE, JSON, count, token=token)
        ),
        count,
    )
    for batch in (1, BATCH):
        many = plan.pick(20_000, 8_000, 400) * (3 if batch > 1 else 1) // slow // BATCH * BATCH
        carry = partial(_carried, sockets.carry, batch, many)
        yield Way(f"WebSocket, {batch} a frame, published, worked on, acked", carry, many)


def _carried(
    carry: Callable[..., float], batch: int, count: int, served: Served, token: str
) -> float:
    return carry(served.address, True, batch, count, token)


def _measure(plan: Plan, way: Way, store: str, on: Served, off: Served, token: str) -> Row:
    spent: dict[Served, list[float]] = {on: [], off: []}

    def carried(served: Served, token: str) -> float:
        before = served.cpu()
        rate = way.carry(served, token)
        spent[served].append(served.cpu() - before)
        _purge(served, token)
        return rate

    what = "metrics, logs, tokens" if token else "metrics, logs"
    durability = "memory" if store == "memory" else "disk"
    row = Row(way.name, durability, "messages/s", "SupersoniQ", [])
    row.goal = Goal(0.8)
    compare(
        plan,
        row,
        Case(what, lambda: carried(on, token)),
        Case("all of it off", lambda: carried(off, "")),
    )
    pairs = zip(spent[off][1:], spent[on][1:], strict=True)
    row.note = f"by processor time {spread([less / more for less, more in pairs], 'x')}"
    return row


def _purge(served: Served, token: str) -> None:
    head = {"authorization": f"Bearer {token}"} if token else {}
    path = f"{served.address}/queues/default/purge"
    with urlopen(Request(path, b"", head, method="POST")) as answer:
        answer.read()


def _scraped(served: Served, token: str) -> Callable[[], None]:
    """Scrape a server once a second, as Prometheus would; gives what ends that."""
    over = threading.Event()

    def scrape() -> None:
        head = {"authorization": f"Bearer {token}"}
        while not over.wait(1):
            with urlopen(Request(f"{served.address}/metrics", headers=head)) as answer:
                answer.read()

    thread = threading.Thread(target=scrape)
    thread.start()

    def end() -> None:
        over.set()
        thread.join()

    return end


def _url(store: str, folder: str, name: str) -> str:
    return "memory://" if store == "memory" else f"sqlite:///{folder}/{name}.db"


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
