"""What ``publish`` is given, as drafts: a text, a JSON value, a file, or the lines of a stream."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections import deque
from collections.abc import Callable, Iterable
from io import UnsupportedOperation
from typing import Any, BinaryIO

from supersoniq.adapters.http import decode
from supersoniq.adapters.http.limits import Limits
from supersoniq.adapters.http.wire import Envelope, LeaseOut
from supersoniq.cli.common import unless
from supersoniq.core.errors import InvalidArgument
from supersoniq.core.messages import JSON, Draft

__all__ = ["FORMS", "Lines", "form_of", "from_json", "header_map", "reader"]

FORMS = ("text", "json", "draft")
"""What a line can be; see ``reader``."""
LONGEST = 64 * 2**20
"""Longest line, in bytes."""
DEPTH = Limits.max_depth
IGNORED = set(LeaseOut.__struct_fields__) - set(Envelope.__struct_fields__)
"""What a draft may have to no effect, so that what was browsed can be published again."""

Read = Callable[[bytes], Draft]


def form_of(name: str) -> str:
    """The form of the lines of a file of this name."""
    return "draft" if name.lower().endswith((".ndjson", ".jsonl")) else "text"


def header_map(pairs: Iterable[str]) -> dict[str, str]:
    """Headers from ``name=value`` texts.

    Raises:
        InvalidArgument: one of them has no ``=`` or no name.
    """
    headers: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InvalidArgument("header", pair, "takes NAME=VALUE")
        headers[name] = value
    return headers


def from_text(text: bytes, options: dict[str, Any]) -> Draft:
    """A draft of a text.

    Raises:
        InvalidArgument: it is not UTF-8, or an option is out of its range.
    """
    try:
        return Draft(text.decode(), **options)
    except UnicodeDecodeError as error:
        rule = f"is not UTF-8 ({error.reason}); publish bytes with --content-file"
        raise InvalidArgument("content", text, rule) from None


def from_json(text: bytes, options: dict[str, Any]) -> Draft:
    """A draft of a JSON value, which is stored to the letter.

    Raises:
        InvalidArgument: it is none, or an option is out of its range.
    """
    _decode(text)
    return Draft(text, **{"content_type": JSON, **options})


def from_draft(text: bytes, options: dict[str, Any]) -> Draft:
    """A draft of an object as HTTP takes it, whose own fields go before ``options``.

    Raises:
        InvalidArgument: it is no such object, or one of its fields is not what it must be.
    """
    value = _decode(text)
    if not isinstance(value, dict):
        rule = "is not a draft, an object with content; see --as for other lines"
        raise InvalidArgument("line", value, rule)
    own = {name: field for name, field in value.items() if name not in IGNORED}
    if "content" not in own and "content_base64" not in own:
        rule = "is missing; if the whole line is the content, say --as json"
        raise InvalidArgument("content", None, rule)
    draft = Draft("")
    draft.entry = decode.convert({**options, **own}, Envelope).entry()
    return draft


def _decode(text: bytes) -> Any:
    try:
        return decode.loads(text, DEPTH)
    except InvalidArgument as error:
        raise InvalidArgument("content", error.value, error.problem) from None


def reader(form: str, options: dict[str, Any]) -> Read:
    """What makes a draft of a line.

    Args:
        form: ``text``: the line is the content. ``json``: its JSON value is. ``draft``: it is an
            object with ``content`` and any options.
        options: for the lines that do not have their own.
    """
    read = {"text": from_text, "json": from_json, "draft": from_draft}[form]
    return lambda line: read(line, options)


class Lines:
    """The lines of a stream, as they come. Blank ones are skipped.

    Args:
        stream: a file, a pipe or a terminal.
        stop: set when no more are wanted.
    """

    def __init__(self, stream: BinaryIO, stop: asyncio.Event) -> None:
        self.size: int | None = None
        """Bytes in all, where that is known."""
        self.taken = 0
        """Bytes of the lines that were taken."""
        self._stream = stream
        self._stop = stop
        self._lines: deque[tuple[int, bytes]] = deque()
        self._parts: list[bytes] = []
        self._pending = 0
        self._number = 0
        self._ended = False
        self._waits = False
        try:
            self._fd: int | None = stream.fileno()
        except (UnsupportedOperation, OSError):
            self._fd = None  # not a real file: a test's
        else:
            status = os.fstat(self._fd)
            regular = stat.S_ISREG(status.st_mode)
            self.size = status.st_size if regular else None
            self._waits = not regular and sys.platform != "win32"

    async def take(self, limit: int) -> list[tuple[int, bytes]]:
        """Up to ``limit`` lines with their numbers, as soon as there is one; none at the end.

        Raises:
            InvalidArgument: a line is too long.
        """
        while not self._lines and not self._ended and not self._stop.is_set():
            self._split(await self._read())
        if self._stop.is_set():
            return []
        batch = [self._lines.popleft() for _ in range(min(limit, len(self._lines)))]
        self.taken += sum(len(line) + 1 for _, line in batch)
        return batch

    def _split(self, chunk: bytes) -> None:
        if not chunk:
            self._ended = True
            chunk = b"\n"
        first, *more = chunk.split(b"\n")
        self._parts.append(first)
        self._pending += len(first)
        if self._pending > LONGEST:
            rule = f"is longer than {LONGEST} bytes"
            raise InvalidArgument(f"line {self._number + 1}", self._parts[0][:80], rule)
        if more:
            self._add(b"".join(self._parts))
            for line in more[:-1]:
                self._add(line)
            self._parts, self._pending = [more[-1]], len(more[-1])

    def _add(self, line: bytes) -> None:
        self._number += 1
        if self._number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        line = line.removesuffix(b"\r")
        if line.strip():
            self._lines.append((self._number, line))

    async def _read(self) -> bytes:
        if self._fd is None:
            return self._stream.read(65536)
        if self._waits:
            await self._readable(self._fd)
            if self._stop.is_set():
                return b""
        return os.read(self._fd, 65536)

    async def _readable(self, fd: int) -> None:
        """Wait until there is something to read, or ``stop`` is set."""
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        try:
            loop.add_reader(fd, ready.set)
        except OSError:
            self._waits = False  # a device that is always ready, such as /dev/null
            return
        try:
            await unless(self._stop, ready.wait())
        finally:
            loop.remove_reader(fd)
