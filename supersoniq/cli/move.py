"""``supersoniq move``: a queue, from one store to another."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

import supersoniq
from supersoniq.api.moving import Ending, Moved, Mover
from supersoniq.cli.common import Failed, Stop, is_server, open_broker, run
from supersoniq.cli.options import TOKEN, command, json_option, queue_option
from supersoniq.cli.output import Out, progress
from supersoniq.core.errors import IllegalMove, InvalidSetting, QueueNotFound, SupersoniqError

__all__ = ["move"]

F = TypeVar("F", bound=Callable[..., Any])
AGAIN = "run the same command again to go on"


def _token_option(end: str) -> Callable[[F], F]:
    return click.option(
        f"--{end}-token-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help=f"The token for a server as {end.upper()}; or in the variable {TOKEN}.",
    )


@command(
    "Move a queue to another store.",
    "supersoniq move sqlite:///jobs.db redis://localhost --queue emails",
    "supersoniq move redis://localhost https://queue.example.com --all --wait 60",
    "supersoniq move sqlite:///jobs.db sqlite:///jobs.db --queue emails --into mails",
)
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option("--into", metavar="NAME", help="The queue's name in TO; the same, if none is given.")
@click.option("--all", "every", is_flag=True, help="All queues of FROM, instead of one.")
@click.option(
    "--wait",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="How long to wait for what consumers hold; without it, as long as it takes.",
)
@_token_option("from")
@_token_option("to")
@click.option("--hold", is_flag=True, help="Pause the queue in TO until all is there.")
@json_option
@queue_option
def move(
    source: str,
    target: str,
    into: str | None,
    every: bool,
    wait: float | None,
    hold: bool,
    from_token_file: Path | None,
    to_token_file: Path | None,
    as_json: bool,
    queue: str,
) -> None:
    """Move a queue from the store FROM to the store TO, with all that is known of its messages.

    Ids, order, priorities, delays, expiries, deliveries, dead and done ones, keys, policy: all of
    it is kept. The queue in FROM is paused first, and stays so; publishers should go to TO before.
    What is killed or cut off goes on when the same command is given again, within a week; nothing
    is lost, and nothing is stored twice.

    State: in TO, messages are as they were in FROM; what a consumer holds is waited for. In FROM
    they are gone, each as soon as TO has it.
    """
    if every and into is not None:
        raise click.UsageError("--into names one queue, --all takes all of them.")
    both = is_server(source) and is_server(target) and source != target
    if both and os.environ.get(TOKEN) and from_token_file is to_token_file is None:
        raise click.UsageError(
            f"{TOKEN} is for one server, and must not be shown to another: give the token of"
            " FROM or TO in a file."
        )
    out = Out(as_json)

    async def work(stop: Stop) -> int:
        async with (
            open_broker(source, make=False, token_file=from_token_file) as one,
            open_broker(target, token_file=to_token_file) as other,
        ):
            for url, broker in ((source, one), (target, other)):
                if not broker.backend.capabilities.lasting:
                    problem = "is forgotten when this command ends; name the server that holds it"
                    raise InvalidSetting("store", url, problem)
            there = await one.queues()
            if not every and queue not in there:
                raise QueueNotFound(queue)
            complete = True
            for name in there if every else [queue]:
                moved = await _move(one, other, name, into, wait, hold, stop)
                fields = {"queue": name, "into": into or name, **_fields(moved)}
                out.emit(fields, _sentence(name, target, into or name, moved))
                complete = complete and moved.ending is Ending.DONE
                if stop.asked:
                    break
        return stop.exit_code or (0 if complete else 1)

    run(work, graceful=True)


async def _move(
    one: supersoniq.Broker,
    other: supersoniq.Broker,
    queue: str,
    into: str | None,
    wait: float | None,
    hold: bool,
    stop: Stop,
) -> Moved:
    """Move one queue, and show how far it is."""
    with progress() as bar:
        task = bar.add_task(f"Moving {queue}", total=None, done=0)

        def told(far: Moved) -> None:
            held = f": waiting for {far.held} that consumers hold" if far.held else ""
            total = max(far.total, far.moved)
            text = f"Moving {queue}{held}"
            bar.update(task, description=text, total=total, completed=far.moved, done=far.moved)

        mover = Mover(one, other, queue, into, wait=wait, hold=hold, told=told)
        try:
            return await mover.run(stop.event)
        except IllegalMove:
            raise Failed(
                f"messages of queue {queue!r} are still in TO, where they came from: a move from"
                " there was cut off; give that command again first"
            ) from None
        except SupersoniqError as error:
            failed, far = Failed.of(error), mover.so_far
            if isinstance(error, ConnectionError):
                raise Failed(f"{failed.message}; {far.moved} messages are moved; {AGAIN}") from None
            if far.first is None:
                raise failed from None
            where = f"at message {far.first}, after {far.moved}"
            raise Failed(f"{failed.message}; {where}; {queue!r} stays paused in FROM") from None


def _fields(moved: Moved) -> dict[str, object]:
    return {
        "ending": str(moved.ending),
        "moved": moved.moved,
        "stored": moved.stored,
        "held": moved.held,
        "damaged": moved.damaged,
        "paused": moved.paused,
        "both": moved.both,
    }


def _sentence(queue: str, target: str, into: str, moved: Moved) -> str:
    """What became of it, and what is to be done."""
    done = f"Moved {moved.moved} messages of queue {queue!r} to {into!r} in {target}"
    rest = {
        Ending.DONE: f"{queue!r} stays paused; what is published there from now on is moved by the"
        " same command",
        Ending.STOPPED: AGAIN,
        Ending.HELD: f"consumers hold {moved.held}, so it was not begun: stop them, or wait longer",
        Ending.RESUMED: f"then somebody resumed {queue!r}, and {moved.both} messages are in both"
        f" stores; {AGAIN}",
        Ending.MISCOUNTED: "but figures do not add up: somebody else dropped messages meanwhile",
    }[moved.ending]
    damaged = f"; {moved.damaged} damaged ones stay where they are" if moved.damaged else ""
    paused = f"; {into!r} is paused: 'supersoniq resume' lets it deliver" if moved.paused else ""
    return f"{done}{paused}; {rest}{damaged}."
