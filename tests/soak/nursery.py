"""Starts workers, kills them, and gathers their history."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from supersoniq.testing.history import read

__all__ = ["Nursery", "Worker"]

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Worker:
    """A process at work."""

    role: str
    name: str
    url: str
    pid: int


class Nursery:
    """The program that forks workers, and the pipe with their history."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        read_end, write_end = os.pipe()
        self._program = subprocess.Popen(
            [sys.executable, "-m", "tests.soak.workers", str(write_end)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            pass_fds=[write_end],
        )  # fmt: skip
        os.close(write_end)
        self._reader = threading.Thread(target=self._read, args=(read_end,))
        self._reader.start()
        self._made = 0
        self._released: dict[str, float] = {}

    def _read(self, read_end: int) -> None:
        with os.fdopen(read_end) as stream:
            self.lines += stream

    def fork(self, role: str, url: str) -> Worker:
        """Start a worker on the store at a URL."""
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._made += 1
        name = f"{role}{self._made}"
        self._program.stdin.write(f"{role} {name} {url}\n")
        self._program.stdin.flush()
        return Worker(role, name, url, int(self._program.stdout.readline()))

    def kill(self, worker: Worker) -> None:
        """kill -9.

        What it had leased over a WebSocket is released then: as if it had tried to.
        """
        if worker.url.startswith("ws"):
            self._released[worker.name] = time.time() * 1000
        os.kill(worker.pid, signal.SIGKILL)

    def close(self) -> list[str]:
        """End it, once every worker is dead, and give the history."""
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.close()
        self._program.wait(30)
        self._program.stdout.close()
        self._reader.join(30)
        return self.lines + list(self._releases())

    def _releases(self) -> Iterator[str]:
        calls = read(self.lines)
        # What was cut short may not have been done, and an extended lease is still one.
        done = [call for call in calls if call.outcome == "ok" and call.op != "extend"]
        settled = {call.asked["receipt"] for call in done if "receipt" in call.asked}
        held = [(lease, call) for call in calls for lease in call.answer.get("leases", ())]
        for number, (lease, call) in enumerate(held):
            if call.worker in self._released and lease["receipt"] not in settled:
                at = {"t": self._released[call.worker], "w": f"end of {call.worker}", "n": number}
                asked = {"op": "release", "id": lease["id"], "receipt": lease["receipt"]}
                yield json.dumps({**at, "phase": "invoke", **asked})
