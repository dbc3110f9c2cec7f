"""Writing down what a worker does: the lines that ``supersoniq.testing.history`` judges."""

from __future__ import annotations

import json
import time
from typing import Any, TextIO

__all__ = ["Recorder"]


class Recorder:
    """Writes a worker's history, a line at a time.

    Args:
        stream: where to; each line is written with one call and flushed.
        worker: a name of its own for every process.
    """

    def __init__(self, stream: TextIO, worker: str) -> None:
        self._stream = stream
        self._worker = worker
        self._made = 0

    def invoke(self, op: str, **fields: Any) -> int:
        """Say that a call is about to be made, and get its number for ``ok`` or ``refused``.

        ``publish`` takes ``messages``, each a map of ``content`` (a digest or the text itself,
        different for each message), and ``key``, ``priority``; the settlements take ``id`` and
        ``receipt``; ``take`` nothing.
        """
        self._made += 1
        self._write(self._made, "invoke", {"op": op, **fields})
        return self._made

    def ok(self, number: int, **fields: Any) -> None:
        """Say that it was answered.

        ``publish`` takes ``ids`` and ``duplicates`` (lists); ``take`` takes ``leases``, each a map
        of ``id``, ``receipt``, ``content``, ``attempt``, ``deadline``, ``priority``; ``extend``
        takes its new ``deadline``.
        """
        self._write(number, "ok", fields)

    def refused(self, number: int, problem: str = "") -> None:
        """Say that it was certainly not done."""
        self._write(number, "refused", {"problem": problem})

    def final(self, *, ready: list[str], dead: list[str]) -> None:
        """Say what the store still held after everything was drained."""
        self._made += 1
        self._write(self._made, "final", {"op": "final", "ready": ready, "dead": dead})

    def _write(self, number: int, phase: str, fields: dict[str, Any]) -> None:
        line = {"t": time.time() * 1000, "w": self._worker, "n": number, "phase": phase, **fields}
        self._stream.write(json.dumps(line) + "\n")
        self._stream.flush()
