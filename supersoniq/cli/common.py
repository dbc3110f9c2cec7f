"""What every command does alike: open a store, heed signals, tell errors."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

import click

import supersoniq
from supersoniq.cli.options import TOKEN, TOKEN_FILE
from supersoniq.core.errors import (
    AuthenticationFailed,
    InvalidSetting,
    MissingExtra,
    QueueNotFound,
    SupersoniqError,
)

__all__ = [
    "Failed",
    "Stop",
    "connected",
    "is_server",
    "note_if_forgotten",
    "open_broker",
    "open_queue",
    "run",
    "store_path",
    "unless",
]

T = TypeVar("T")

HINTS = {
    "queue-not-found": "list them with 'supersoniq queues'; publishing to one makes it",
    "message-not-found": "it is finished, or in another queue: see --queue and 'supersoniq browse'",
    "message-leased": "wait for its consumer, or for the lease to end",
    "unknown-backend": "see --backend",
    "queue-full": "consume some of it, or raise its max_length",
    "outcome-unknown": "look with 'supersoniq browse' before you repeat it, or publish with --key",
}
"""What to do about an error, where its own text leaves that open, by its code."""


class Failed(click.ClickException):
    """A failure to be told in one line."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        vars(self)["exit_code"] = code  # click declares it for the class

    @classmethod
    def of(cls, error: Exception) -> Failed:
        """The failure behind an error of the library or the system."""
        text = str(error).rstrip(".")
        if isinstance(error, OSError) and not isinstance(error, SupersoniqError):
            where = f"{error.filename}: " if error.filename else ""
            return cls(f"{where}{error.strerror or error}")
        hint = HINTS.get(getattr(error, "code", ""))
        text = f"{text}; {hint}" if hint else text
        return cls(" ".join(text.splitlines()), 2 if isinstance(error, MissingExtra) else 1)


class Stop:
    """Whether the user wants to end: set by the first SIGINT or SIGTERM."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.signal = 0

    @property
    def asked(self) -> bool:
        """Whether it was asked for."""
        return self.event.is_set()

    @property
    def exit_code(self) -> int:
        """What the shell expects of a process that this signal ended."""
        return 128 + self.signal if self.signal else 0


def run(work: Callable[[Stop], Awaitable[int | None]], *, graceful: bool = False) -> None:
    """Run a command's work and end the process with what it gives, 0 for ``None``.

    Args:
        work: what to do. Errors it raises are told in one line, exit code 1.
        graceful: the first signal only sets ``Stop``, for the work to finish in good order; the
            second one cancels it. Otherwise the first one cancels.
    """
    try:
        code = asyncio.run(_guarded(work, graceful))
    except BrokenPipeError:
        # Whoever read our output has gone: end as any filter does, without a word.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 128 + signal.SIGPIPE
    except (SupersoniqError, OSError) as error:
        raise Failed.of(error) from None
    if code:
        click.get_current_context().exit(code)


async def _guarded(work: Callable[[Stop], Awaitable[int | None]], graceful: bool) -> int:
    stop = Stop()
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()

    def caught(number: int) -> None:
        first = not stop.asked
        stop.signal = number
        stop.event.set()
        if not (first and graceful):
            task.cancel()

    signals = (signal.SIGINT, signal.SIGTERM)
    try:
        for number in signals:
            loop.add_signal_handler(number, caught, number)
    except (NotImplementedError, RuntimeError, ValueError):
        pass  # no signals on this system or thread: Ctrl-C interrupts as it does by default
    try:
        return await work(stop) or 0
    except asyncio.CancelledError:
        if not stop.asked:
            raise
        return stop.exit_code


async def unless(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """What the work gives, or ``None`` if ``stop`` was set before; the work is then cancelled."""
    task = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        stopping.cancel()
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def store_path(url: str) -> Path | None:
    """The file behind an SQLite URL; ``None`` for any other."""
    scheme, _, rest = url.partition(":///")
    if scheme.lower() != "sqlite" or not rest:
        return None
    return Path(unquote(rest.partition("?")[0]))


def is_server(url: str) -> bool:
    """Whether the store is another server's."""
    return url.lower().startswith(("http://", "https://", "ws://", "wss://"))


def connected(url: str, token_file: Path | None = None) -> supersoniq.Broker:
    """A broker that is not open yet, with the token that the user has for a server.

    A file is read again whenever another token is due: something may keep it up to date.

    Args:
        url: the store's.
        token_file: instead of what ``--token-file`` says.
    """
    if not is_server(url):
        return supersoniq.connect(url)
    file = token_file or click.get_current_context().meta.get(TOKEN_FILE)
    given = os.environ.get(TOKEN)
    token = (lambda: _token_in(file)) if file is not None else given.strip() if given else None
    return supersoniq.connect(url, token=token)


def _token_in(file: Path) -> str:
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise AuthenticationFailed(f"{file} cannot be read: {type(error).__name__}") from None


@asynccontextmanager
async def open_broker(
    url: str, *, make: bool = True, token_file: Path | None = None
) -> AsyncIterator[supersoniq.Broker]:
    """An open broker.

    Args:
        url: the store's.
        make: whether a store that is not there may be made; otherwise that is an error, since
            looking at what a mistyped name just made helps nobody.
        token_file: as for ``connected``.
    """
    path = store_path(url)
    if not make and path is not None and not path.exists():
        problem = "no such file; name the store with --backend, or publish something first"
        raise InvalidSetting("backend", url, problem)
    async with connected(url, token_file) as broker:
        yield broker


def note_if_forgotten(queue: supersoniq.Queue) -> None:
    """Say so if the store will not outlive this command."""
    if not queue.engine.backend.capabilities.lasting:
        click.echo("note: this store is forgotten when this command ends", err=True)


@asynccontextmanager
async def open_queue(url: str, name: str, *, make: bool = True) -> AsyncIterator[supersoniq.Queue]:
    """A queue of an open broker.

    Args:
        url: the store's.
        name: the queue's.
        make: whether store and queue may be made if they are not there.

    Raises:
        QueueNotFound: there is none, and it may not be made.
    """
    async with open_broker(url, make=make) as broker:
        queue = broker.queue(name)
        if not make and name != "default" and name not in await broker.queues():
            raise QueueNotFound(name)
        yield queue
