"""The real ``supersoniq serve`` in a process of its own, and what is seen of it from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

__all__ = ["ROOT", "Served", "serving"]

ROOT = Path(__file__).resolve().parents[2]
MIB = 1024 * 1024


class Served:
    """A server that runs.

    Args:
        process: it.
        url: where it listens.
        census: the file into which it writes what runs within.
    """

    def __init__(self, process: subprocess.Popen[str], url: str, census: Path) -> None:
        self.process = process
        self.url = url
        self.port = urlsplit(url).port or 443
        self._census = census

    def alive(self) -> bool:
        """Whether the process is there."""
        return self.process.poll() is None

    def rss(self) -> int:
        """Bytes of memory that it has now."""
        return self._status("VmRSS")

    def peak(self) -> int:
        """The most bytes of memory that it has had since ``forget_peak``."""
        return self._status("VmHWM")

    def forget_peak(self) -> None:
        """Begin to look for the peak anew (``proc(5)``, ``clear_refs``)."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def _status(self, name: str) -> int:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError(f"the kernel tells no {name}")

    def cpu(self) -> float:
        """Seconds of CPU that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _sockets(self) -> int:
        count = 0
        for each in Path(f"/proc/{self.process.pid}/fd").iterdir():
            try:
                count += each.readlink().name.startswith("socket:")
            except FileNotFoundError:
                pass  # closed meanwhile
        return count

    def census(self, patience: float = 60) -> dict[str, int]:
        """What runs within: tasks, connections, streams.

        Raises:
            TimeoutError: the event loop does not come round.
        """
        self._census.unlink(missing_ok=True)
        self.process.send_signal(signal.SIGUSR1)
        end = time.monotonic() + patience
        while time.monotonic() < end:
            if self._census.exists():
                found: dict[str, int] = json.loads(self._census.read_text())
                found["sockets"] = self._sockets()
                return found
            time.sleep(0.02)
        raise TimeoutError(f"no census within {patience:g} s")


@contextmanager
def serving(directory: Path, backend: str | None = None) -> Iterator[Served]:
    """Run ``supersoniq serve --dev`` until the block ends; it has to end well."""
    census, told = directory / "census.json", directory / "server.log"
    store = backend or f"sqlite:///{directory}/store.db"
    command = [sys.executable, "-m", "benchmarks.abuse.program", str(census)]
    command += ["serve", "--dev", "--port", "0", "--backend", store]
    environment: dict[str, Any] = {**os.environ, "XDG_CACHE_HOME": str(directory / "cache")}
    with (
        told.open("w") as log,
        subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"the server did not start: {told.read_text()[-2000:]}")
            yield Served(process, json.loads(line)["url"], census)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
