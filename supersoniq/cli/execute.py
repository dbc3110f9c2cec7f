"""A command for each message: ``consume --exec``."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process, create_subprocess_shell
from collections.abc import Awaitable, Callable

import click

from supersoniq.api.delivery import Delivery
from supersoniq.cli.common import Stop
from supersoniq.core.checks import MAX_REASON
from supersoniq.core.errors import LeaseLost
from supersoniq.core.messages import Message

__all__ = ["Executor"]

PARTING = 2.0
"""Seconds between asking a command to end and ending it."""
TAIL = 2048
"""Bytes of a command's standard error that are looked at for the reason of a failure."""


class Executor:
    """Runs a shell command for each message, several at a time.

    Args:
        take: gives the next message; ``None`` at the end.
        command: for the shell.
        concurrency: commands at the same time.
        grace: seconds for running commands to finish once ``stop`` is asked for.
        stop: whether the user wants to end.
    """

    def __init__(
        self,
        take: Callable[[], Awaitable[Delivery | None]],
        command: str,
        concurrency: int,
        grace: float,
        stop: Stop,
    ) -> None:
        self.done = 0
        self.failed = 0
        self.lost = 0
        self._take = take
        self._command = command
        self._concurrency = concurrency
        self._grace = grace
        self._stop = stop

    async def run(self) -> None:
        """Work until there is nothing more to take and all commands have ended."""
        workers = [asyncio.ensure_future(self._work()) for _ in range(self._concurrency)]
        stopping = asyncio.ensure_future(self._stop.event.wait())
        try:
            running = set(workers)
            while running and not stopping.done():
                ended, _ = await asyncio.wait(
                    {*running, stopping}, return_when=asyncio.FIRST_COMPLETED
                )
                running -= ended
                for each in ended - {stopping}:
                    each.result()
            if running:
                click.echo(f"Stopping; running commands get {self._grace:g} s.", err=True)
                await asyncio.wait(running, timeout=self._grace)
        finally:
            stopping.cancel()
            for worker in workers:
                worker.cancel()
            outcomes = await asyncio.gather(*workers, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome
        if sys.stderr.isatty():
            click.echo(f"{self.done} done, {self.failed} failed.", err=True)

    async def _work(self) -> None:
        while (delivery := await self._take()) is not None:
            try:
                async with delivery:
                    failure = await self._execute(delivery.message)
                    if failure is not None:
                        await delivery.nack(reason=failure)
            except LeaseLost as error:
                self.lost += 1
                click.echo(f"warning: {delivery.id}: {error}; it will come again", err=True)
                continue
            if failure is None:
                self.done += 1
            else:
                self.failed += 1
                click.echo(f"{delivery.id}: delivery {delivery.attempt}: {failure}", err=True)

    async def _execute(self, message: Message) -> str | None:
        """Run the command; gives what failed, or ``None``."""
        process = await create_subprocess_shell(
            self._command,
            stdin=PIPE,
            stderr=PIPE,
            env=os.environ | _environment(message),
            # Ctrl-C on a terminal goes to every process of the group: it must not hit the command.
            start_new_session=True,
        )
        said = asyncio.ensure_future(_tee(process))
        try:
            await _feed(process, message.content)
            code = await process.wait()
            # Something left in the background may hold on to standard error for ever.
            await asyncio.wait({said}, timeout=0.5)
        finally:
            await _end(process)
            said.cancel()
        if code == 0:
            return None
        tail = said.result() if said.done() and not said.cancelled() else ""
        what = f"exit status {code}" if code > 0 else f"ended by signal {-code}"
        return (f"{what}: {tail}" if tail else what)[:MAX_REASON]


def _environment(message: Message) -> dict[str, str]:
    """What a command can know of its message."""
    facts: dict[str, object] = {
        "ID": message.id,
        "QUEUE": message.queue,
        "PRIORITY": message.priority,
        "ATTEMPT": message.deliveries,
        "CONTENT_TYPE": message.content_type,
        "SENDER": message.sender or "",
        "RECIPIENT": message.recipient or "",
        "KEY": message.key or "",
        "HEADERS": json.dumps(message.headers),
    }
    return {f"SUPERSONIQ_{name}": str(value) for name, value in facts.items()}


async def _feed(process: Process, content: bytes) -> None:
    """Give a command its standard input. It need not read it."""
    assert process.stdin is not None
    try:
        process.stdin.write(content)
        await process.stdin.drain()
        process.stdin.close()
        await process.stdin.wait_closed()
    except (BrokenPipeError, ConnectionResetError):
        pass


async def _tee(process: Process) -> str:
    """Pass a command's standard error on; gives its last line."""
    assert process.stderr is not None
    tail = b""
    while chunk := await process.stderr.read(65536):
        sys.stderr.buffer.write(chunk)
        sys.stderr.buffer.flush()
        tail = (tail + chunk)[-TAIL:]
    lines = tail.decode(errors="backslashreplace").strip().splitlines()
    return lines[-1] if lines else ""


async def _end(process: Process) -> None:
    """End a command, and what it started, if it is still running."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            return
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            pass
        try:
            async with asyncio.timeout(PARTING):
                await process.wait()
        except TimeoutError:
            pass
