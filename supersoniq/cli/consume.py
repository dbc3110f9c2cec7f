"""``supersoniq consume``: print messages, or run a command on each."""

from __future__ import annotations

import asyncio
import sys

import click

import supersoniq
from supersoniq.cli.common import Stop, open_queue, run, unless
from supersoniq.cli.execute import Executor
from supersoniq.cli.options import backend_option, command, json_option, queue_option
from supersoniq.cli.output import Out, Pipe, line, progress, whole

__all__ = ["consume"]

BATCH = 100
"""Messages leased together when printing, at most."""
PATIENCE = 0.2
"""Longest time in seconds that a printed message waits for its acknowledgement."""
PEEK = 100
"""Messages that --no-ack shows where no limit is given."""


@command(
    "Take messages: print them, or run a command on each.",
    "supersoniq consume --limit 1",
    "supersoniq consume --wait 0 --queue emails > emails.ndjson",
    "supersoniq consume --exec './send-mail.sh' --concurrency 4 --queue emails",
    "supersoniq consume --no-ack --limit 3",
)
@click.option("--limit", "-n", type=click.IntRange(1), help="End after so many messages.")
@click.option(
    "--wait",
    "-w",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="End when none came for that long; 0 takes what is ready. Default: until Ctrl-C.",
)
@click.option("--exec", "-x", "command", metavar="COMMAND", help="Run this for each message.")
@click.option(
    "--concurrency",
    "-c",
    type=click.IntRange(1, 1000),
    default=1,
    show_default=True,
    help="Commands at the same time.",
)
@click.option(
    "--grace",
    type=click.FloatRange(0),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long running commands may go on after the first Ctrl-C.",
)
@click.option("--recipient", metavar="NAME", help="Also take the messages addressed to this.")
@click.option(
    "--lease",
    type=float,
    metavar="SECONDS",
    help="Hold each that long at a time; extended while it is worked on. Default: the queue's.",
)
@click.option("--no-ack", is_flag=True, help="Give them back at the end, as if never delivered.")
@json_option
@queue_option
@backend_option
def consume(
    limit: int | None,
    wait: float | None,
    command: str | None,
    concurrency: int,
    grace: float,
    recipient: str | None,
    lease: float | None,
    no_ack: bool,
    as_json: bool,
    queue: str,
    backend: str,
) -> None:
    """Take messages in order: higher priority first, then older first.

    State: each becomes leased, then done once its line is written. A line that could not be written
    (Ctrl-C, the reader went away) leaves its message ready, as if never delivered.

    With --exec, a shell runs COMMAND with the content as its standard input and SUPERSONIQ_ID,
    _QUEUE, _PRIORITY, _ATTEMPT, _CONTENT_TYPE, _SENDER, _RECIPIENT, _KEY and _HEADERS in its
    environment. Exit status 0 makes the message done; any other makes it come back after the
    queue's backoff, or dead once it has used up its deliveries. Its lease is extended meanwhile.
    The first Ctrl-C lets running commands finish; the second ends them, and their messages are
    ready again.

    A filter such as head takes more from a pipe than it shows: use --limit.
    """
    if command is None and concurrency != 1:
        raise click.UsageError("--concurrency is for --exec; lines are printed one by one.")
    if command is not None and no_ack:
        raise click.UsageError("--no-ack is for looking at messages, not for --exec.")
    if command is not None and not command.strip():
        raise click.UsageError("--exec needs a command.")

    most = limit if limit is not None or not no_ack else PEEK

    async def work(stop: Stop) -> int:
        async with open_queue(backend, queue) as source:
            patience = 0.0 if no_ack and wait is None else wait
            taker = Taker(source, most, patience, recipient, lease, stop)
            if command is not None:
                executor = Executor(taker.next, command, concurrency, grace, stop)
                await executor.run()
                lost = executor.lost
            elif no_ack:
                await _peek(taker, Pipe(stop.event), Out(as_json).json)
                lost = 0
            else:
                lost = await _print(taker, Pipe(stop.event), Out(as_json).json)
        if stop.asked and limit is not None and taker.left:
            return stop.exit_code
        return 1 if lost else 0

    run(work, graceful=True)


class Taker:
    """Takes messages until there have been enough, none come, or the user wants to end.

    Args:
        queue: where from.
        limit: how many in all; ``None``: no limit.
        wait: seconds to wait for the next; ``None``: for ever.
        recipient: whose messages, beside the unaddressed ones.
        lease: seconds to hold each; ``None``: the queue's.
        stop: whether the user wants to end.
    """

    def __init__(
        self,
        queue: supersoniq.Queue,
        limit: int | None,
        wait: float | None,
        recipient: str | None,
        lease: float | None,
        stop: Stop,
    ) -> None:
        self.queue = queue
        self.left = limit
        self.stop = stop
        self._wait = wait
        self._recipient = recipient
        self._lease = lease

    async def take(self, most: int) -> list[supersoniq.Delivery]:
        """Up to ``most``, at least one; none at the end."""
        wanted = most if self.left is None else min(most, self.left)
        if not wanted or self.stop.asked:
            return []
        if self.left is not None:
            self.left -= wanted
        coming = self.queue.get_many(
            wanted, self._wait, recipient=self._recipient, lease=self._lease
        )
        found = await unless(self.stop.event, coming) or []
        if self.left is not None:
            self.left += wanted - len(found)
        return found

    async def next(self) -> supersoniq.Delivery | None:
        """The next one; ``None`` at the end."""
        found = await self.take(1)
        return found[0] if found else None


async def _print(taker: Taker, pipe: Pipe, as_json: bool) -> int:
    """Print and acknowledge; gives how many were printed and yet lost to somebody else.

    What was leased and not printed is released when the broker closes.
    """
    lost = told = 0
    loop = asyncio.get_running_loop()
    with progress(shown=not sys.stdout.isatty()) as bar:
        task = bar.add_task(f"Consuming {taker.queue.name}", total=taker.left, done=0)
        while batch := await taker.take(BATCH):
            printed: list[supersoniq.Delivery] = []
            since = loop.time()
            for delivery in batch:
                await delivery.keep()
            try:
                for delivery in batch:
                    if not await pipe.write(_line(delivery, as_json)):
                        break
                    printed.append(delivery)
                    told += 1
                    if loop.time() - since > PATIENCE:
                        done, printed = printed, []
                        lost += await _ack(taker.queue, done, pipe)
                        since = loop.time()
            finally:
                lost += await _ack(taker.queue, printed, pipe)
                bar.update(task, completed=told, done=told)
    return lost


def _line(delivery: supersoniq.Delivery, as_json: bool) -> bytes:
    message = delivery.message
    if as_json:
        return line(message)
    return f"{message.id}  p{message.priority}  {whole(message)}\n".encode()


async def _ack(queue: supersoniq.Queue, printed: list[supersoniq.Delivery], pipe: Pipe) -> int:
    """Acknowledge what was printed; gives how many leases were lost before that."""
    if not printed:
        return 0
    pipe.sync()
    lost = 0
    for delivery, verdict in zip(printed, await queue.ack_many(printed), strict=True):
        if verdict is None:
            await delivery.finish()
        else:
            lost += 1
            again = "it was printed, and will be delivered again"
            click.echo(f"warning: {delivery.id}: {verdict}; {again}", err=True)
    return lost


async def _peek(taker: Taker, pipe: Pipe, as_json: bool) -> None:
    """Print, and release all of it at the end: released sooner, it would be the next to come."""
    shown: list[supersoniq.Delivery] = []
    try:
        while batch := await taker.take(BATCH):
            for delivery in batch:
                await delivery.keep()
            shown += batch
            for delivery in batch:
                if not await pipe.write(_line(delivery, as_json)):
                    return
    finally:
        await asyncio.gather(*(delivery.release() for delivery in shown))
