"""Output: JSON lines for programs, tables and sentences for people.

A line is one JSON object in the words of the HTTP face (``supersoniq.adapters.http.wire``), so that
what ``browse`` or ``consume`` gives, ``publish --as draft`` takes.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import select
import stat
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from supersoniq.adapters.http.wire import EventOut, MessageOut
from supersoniq.cli.common import unless
from supersoniq.core.messages import Event, Message

__all__ = [
    "Out",
    "Pipe",
    "line",
    "plain",
    "preview",
    "progress",
    "short_time",
    "table",
    "whole",
    "without_password",
]


def line(value: Any) -> bytes:
    """One JSON object on a line of its own.

    Args:
        value: a map, or one of the structs that have a form on the wire.
    """
    if isinstance(value, Message):
        value = MessageOut.of(value)
    elif isinstance(value, Event):
        value = EventOut.of(value, "auto")
    return msgspec.json.encode(value) + b"\n"


def plain(text: str, longest: int = 0) -> str:
    """Text that is safe on a terminal: what would steer it is shown as an escape, not obeyed."""
    if longest and len(text) > longest:
        text = text[: longest - 1] + "…"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def preview(message: Message, longest: int = 60) -> str:
    """The beginning of a message's content, for people."""
    try:
        return plain(message.content[: longest * 4].decode(), longest)
    except UnicodeDecodeError:
        return f"{len(message.content)} bytes of {plain(message.content_type)}"


def whole(message: Message) -> str:
    """All of a message's content, for people."""
    try:
        return plain(message.text())
    except UnicodeDecodeError:
        return f"{plain(message.content_type)} {base64.b64encode(message.content).decode()}"


def short_time(instant: int | None) -> str:
    """An instant in this machine's time zone, for people."""
    if instant is None:
        return "-"
    return datetime.fromtimestamp(instant / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def table(*columns: str, rows: Iterable[Iterable[object]] = (), numbers: str = "") -> Table:
    """A table of plain text; the columns named in ``numbers`` are aligned as such."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        right = column in numbers.split()
        made.add_column(column, justify="right" if right else "left", overflow="fold")
    for row in rows:
        made.add_row(*(escape(str(cell)) for cell in row))
    return made


def without_password(url: str) -> str:
    """A backend's URL as it may be shown."""
    url = re.sub(r"(?<=://)([^/@]*):[^/]*@", r"\1:***@", url)
    return re.sub(r"([?&]\w*(?:password|token|secret)\w*=)[^&#]*", r"\1***", url)


class Out:
    """Where a command's results go.

    Args:
        as_json: whether to write JSON lines even to a terminal.
    """

    def __init__(self, as_json: bool = False) -> None:
        self.json = as_json or not sys.stdout.isatty()
        self.console = Console(highlight=False)

    def emit(self, value: Any, sentence: str) -> None:
        """Tell one result: as a JSON object, or a sentence."""
        if self.json:
            self.lines([value])
        else:
            self.console.print(escape(sentence), soft_wrap=True)

    def lines(self, values: Iterable[Any]) -> None:
        """Write JSON lines."""
        stdout = sys.stdout.buffer
        for value in values:
            stdout.write(line(value))
        stdout.flush()


def progress(shown: bool = True) -> Progress:
    """A progress bar on standard error, with a count of messages; nothing where no terminal is.

    Args:
        shown: false where results on the same terminal are progress enough.
    """
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[done]} messages"),
        TimeElapsedColumn(),
        console=console,
        disable=not (shown and console.is_terminal),
        transient=True,
    )


class Pipe:
    """Standard output, written such that one knows what was written, and can stop waiting for it.

    A reader that is slow, or gone, must neither stall the event loop (leases have to be extended
    meanwhile) nor make a message count as printed that was not.

    Args:
        stop: set when no more is to be written.
    """

    CHUNK = 4096
    """What a pipe that is ready for writing takes at once (PIPE_BUF on Linux)."""

    def __init__(self, stop: asyncio.Event) -> None:
        sys.stdout.flush()
        self._stop = stop
        self._fd = sys.stdout.fileno()
        self._regular = stat.S_ISREG(os.fstat(self._fd).st_mode)
        self._waits = not self._regular and sys.platform != "win32"

    async def write(self, data: bytes) -> bool:
        """Write all of it; false if it was stopped before that.

        Raises:
            BrokenPipeError: the reader has gone. Not all of it was written.
        """
        view = memoryview(data)
        while view:
            if self._stop.is_set():
                return False
            if self._waits and not select.select([], [self._fd], [], 0)[1]:
                await self._ready()
                continue
            view = view[os.write(self._fd, view[: self.CHUNK]) :]
        return True

    def sync(self) -> None:
        """Make what was written to a file safe, before anybody relies on it."""
        if self._regular:
            os.fsync(self._fd)

    async def _ready(self) -> None:
        """Wait until the reader takes more, or ``stop`` is set."""
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_writer(self._fd, ready.set)
        try:
            await unless(self._stop, ready.wait())
        finally:
            loop.remove_writer(self._fd)
