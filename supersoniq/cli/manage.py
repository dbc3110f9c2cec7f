"""Commands that manage a queue: ``cancel``, ``redrive``, ``purge``, ``pause``, ``resume``."""

from __future__ import annotations

from datetime import timedelta

import click

from supersoniq.cli.common import Stop, open_queue, run
from supersoniq.cli.options import backend_option, command, json_option, queue_option
from supersoniq.cli.output import Out

__all__ = ["cancel", "pause", "purge", "redrive", "resume"]


@command(
    "Drop one message that nobody holds.",
    "supersoniq cancel 0199e0f5-3b5c-7d2f-8a1e-5f0c6b7d8e9a",
)
@click.argument("id")
@json_option
@queue_option
@backend_option
def cancel(id: str, as_json: bool, queue: str, backend: str) -> None:
    """Drop the message of that ID.

    State: scheduled, ready or dead becomes gone. One that a consumer holds is refused.
    """
    out = Out(as_json)

    async def work(_: Stop) -> None:
        async with open_queue(backend, queue, make=False) as managed:
            await managed.cancel(id)
        out.emit({"id": id, "queue": queue, "cancelled": 1}, f"Cancelled {id}.")

    run(work)


@command(
    "Make dead messages ready again.",
    "supersoniq redrive",
    "supersoniq redrive --limit 10 --queue emails",
    "supersoniq redrive 0199e0f5-3b5c-7d2f-8a1e-5f0c6b7d8e9a",
)
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--limit", "-n", type=click.IntRange(1), help="At most so many, oldest first.")
@json_option
@queue_option
@backend_option
def redrive(
    ids: tuple[str, ...], limit: int | None, as_json: bool, queue: str, backend: str
) -> None:
    """Make dead messages ready again: those of the IDs, or all of them.

    State: dead becomes ready, with deliveries back to 0. If one of the IDs is not dead, none moves.
    """
    out = Out(as_json)

    async def work(_: Stop) -> None:
        async with open_queue(backend, queue, make=False) as managed:
            count = await managed.redrive(*ids, limit=limit)
        out.emit({"queue": queue, "redriven": count}, f"Made ready again: {count}.")

    run(work)


@command(
    "Drop all messages of a state.",
    "supersoniq purge --status dead",
    "supersoniq purge --queue scratch --yes",
)
@click.option(
    "--status",
    type=click.Choice(["scheduled", "ready", "done", "dead"]),
    help="Only those; without it, all that are scheduled, ready or dead.",
)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@json_option
@queue_option
@backend_option
def purge(status: str | None, yes: bool, as_json: bool, queue: str, backend: str) -> None:
    """Drop a queue's messages. They cannot be had back; it asks first.

    State: scheduled, ready, done or dead becomes gone. What a consumer holds stays.
    """
    out = Out(as_json)
    if not yes:
        what = f"{status} messages" if status else "scheduled, ready and dead messages"
        click.confirm(f"Drop all {what} of queue {queue!r} in {backend}?", abort=True, err=True)

    async def work(_: Stop) -> None:
        async with open_queue(backend, queue, make=False) as managed:
            count = await managed.purge(status)
        out.emit({"queue": queue, "purged": count}, f"Dropped: {count}.")

    run(work)


@command(
    "Give no more messages to consumers.",
    "supersoniq pause --queue emails",
    "supersoniq pause --for 600",
)
@click.option(
    "--for", "seconds", type=float, metavar="SECONDS", help="Resume by itself after that."
)
@json_option
@queue_option
@backend_option
def pause(seconds: float | None, as_json: bool, queue: str, backend: str) -> None:
    """Give no more messages to consumers, until resumed.

    State: no message changes. Publishing goes on, and so does the work on what was delivered.
    """
    out = Out(as_json)

    async def work(_: Stop) -> None:
        until = None if seconds is None else _span(seconds)
        async with open_queue(backend, queue, make=False) as managed:
            await managed.pause(until)
            found = await managed.stats()
        fields = {"queue": queue, "paused": found.paused, "paused_until": found.paused_until}
        end = "until 'supersoniq resume'" if seconds is None else f"for {seconds:g} s"
        out.emit(fields, f"Paused queue {queue!r} {end}.")

    run(work)


def _span(seconds: float) -> timedelta:
    try:
        return timedelta(seconds=seconds)
    except (OverflowError, ValueError):
        raise click.BadParameter(f"{seconds} is no length of time", param_hint="--for") from None


@command(
    "Give messages to consumers again.",
    "supersoniq resume --queue emails",
)
@json_option
@queue_option
@backend_option
def resume(as_json: bool, queue: str, backend: str) -> None:
    """Give messages to consumers again; resuming a queue that is not paused does nothing.

    State: no message changes; what is ready is delivered again.
    """
    out = Out(as_json)

    async def work(_: Stop) -> None:
        async with open_queue(backend, queue, make=False) as managed:
            await managed.resume()
        out.emit({"queue": queue, "paused": False}, f"Resumed queue {queue!r}.")

    run(work)
