"""A shell for tests: the real program, as a process or in this one."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from supersoniq.cli.group import group


class Shell:
    """Runs ``supersoniq`` in a directory of its own.

    ``ask`` runs it in this process (fast); ``run`` and ``start`` as a process (real), where every
    warning is an error.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("SUPERSONIQ_")}

    def ask(self, *words: str, input: bytes | str | None = None) -> Result:
        return CliRunner().invoke(group, words, input=input, env={"SUPERSONIQ_BACKEND": None})

    def lines(self, *words: str, input: bytes | str | None = None) -> list[Any]:
        """The JSON lines of a command that must succeed."""
        result = self.ask(*words, input=input)
        assert result.exit_code == 0, result.output
        return [json.loads(line) for line in result.stdout.splitlines()]

    def stats(self, queue: str = "default") -> dict[str, Any]:
        [figures] = self.lines("stats", "--queue", queue)
        assert isinstance(figures, dict)
        return figures

    def start(self, *words: str, **more: Any) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "supersoniq", *words],
            cwd=self.folder,
            env=self.env,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more},
        )
        self.processes.append(process)
        return process

    def run(
        self, *words: str, input: bytes | None = None, **more: Any
    ) -> subprocess.CompletedProcess[bytes]:
        process = self.start(*words, stdin=subprocess.PIPE, **more)
        out, err = process.communicate(input, timeout=60)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def end(self, process: subprocess.Popen[bytes], number: int = signal.SIGINT) -> tuple[str, str]:
        """Send a signal, and give what it said."""
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        return out.decode() if out else "", err.decode() if err else ""

    def until(self, holds: Callable[[], object], seconds: float = 60) -> None:
        """Wait for something that another process brings about."""
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, "it never came"
            time.sleep(0.02)


def on_a_terminal(shell: Shell, *words: str, signal_at: bytes = b"", **more: Any) -> str:
    """What a command shows on a terminal of 120 columns."""
    ours, theirs = pty.openpty()
    shell.env |= {"COLUMNS": "120", "TERM": "xterm"}
    process = shell.start(*words, **{"stdout": theirs, "stderr": theirs, **more})
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 10_000)
        except OSError:
            break
        if signal_at and signal_at in shown:
            process.send_signal(signal.SIGINT)
            signal_at = b""
    os.close(ours)
    assert process.wait(timeout=60) == 0
    return shown.decode()
