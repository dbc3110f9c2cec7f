"""Commands that look at messages and change nothing: ``browse``, ``explain``, ``watch``."""

from __future__ import annotations

import click

from supersoniq.cli.common import Stop, open_queue, run, unless
from supersoniq.cli.options import backend_option, command, json_option, queue_option
from supersoniq.cli.output import (
    Out,
    plain,
    preview,
    short_time,
    table,
)
from supersoniq.core.messages import Event, EventKind, Message
from supersoniq.core.states import Status

__all__ = ["browse", "explain", "watch"]

PAGE = 1000
KINDS = [str(kind) for kind in EventKind if kind is not EventKind.GAP]


@command(
    "List messages, without taking them.",
    "supersoniq browse --status dead",
    "supersoniq browse --queue emails --limit 10000 > emails.ndjson",
    "supersoniq browse --status ready | jq .priority",
)
@click.option("--status", type=click.Choice([str(s) for s in Status]), help="Only those.")
@click.option("--limit", "-n", type=click.IntRange(1), default=100, show_default=True)
@click.option("--after", metavar="ID", help="Only those published after this one: the next page.")
@json_option
@queue_option
@backend_option
def browse(
    status: str | None, limit: int, after: str | None, as_json: bool, queue: str, backend: str
) -> None:
    """List messages in the order of their publishing.

    State: nothing changes; no lease is taken, so a message listed here can be with a consumer.
    """
    out = Out(as_json)

    async def work(_: Stop) -> None:
        cursor, left, found = after, limit, list[Message]()
        async with open_queue(backend, queue, make=False) as looked_at:
            while left:
                asked = min(left, PAGE)
                page = await looked_at.browse(status, cursor, asked)
                if out.json:
                    out.lines(page)
                else:
                    found += page
                left -= len(page)
                if len(page) < asked:
                    break
                cursor = page[-1].id
        if not out.json:
            _show_messages(out, found, more=not left)

    run(work)


def _show_messages(out: Out, found: list[Message], more: bool) -> None:
    if not found:
        out.console.print("No messages.")
        return
    columns = ("id", "status", "priority", "deliveries", "created", "content", "reason")
    rows = [
        (
            message.id,
            message.status,
            message.priority,
            message.deliveries,
            short_time(message.created_at),
            preview(message),
            plain(message.reason or "", 80),
        )
        for message in found
    ]
    out.console.print(table(*columns, rows=rows, numbers="priority deliveries"))
    if more:
        out.console.print(f"Perhaps there are more: --after {found[-1].id}", highlight=False)


@command(
    "Say why a message is not being delivered.",
    "supersoniq explain 0199e0f5-3b5c-7d2f-8a1e-5f0c6b7d8e9a",
    "supersoniq browse --status dead | jq -r .id | xargs -n1 supersoniq explain",
)
@click.argument("id")
@json_option
@queue_option
@backend_option
def explain(id: str, as_json: bool, queue: str, backend: str) -> None:
    """Say in a sentence why the message of that ID is not being delivered.

    State: nothing changes.
    """
    out = Out(as_json)

    async def work(_: Stop) -> None:
        async with open_queue(backend, queue, make=False) as looked_at:
            sentence = await looked_at.explain(id)
        out.emit({"id": id, "queue": queue, "explanation": sentence}, plain(sentence))

    run(work)


@command(
    "Tell events as they happen.",
    "supersoniq watch",
    "supersoniq watch --kind acked --kind rejected --queue emails",
    "supersoniq watch --kind lapsed | jq -r .message.id",
)
@click.option(
    "--kind",
    "-k",
    "kinds",
    multiple=True,
    type=click.Choice(KINDS),
    metavar="KIND",
    default=["published"],
    show_default=True,
    help=f"Repeatable: {', '.join(KINDS)}.",
)
@click.option("--since", type=int, metavar="OFFSET", help="Resume after this event.")
@click.option("--limit", "-n", type=click.IntRange(1), help="End after so many.")
@json_option
@queue_option
@backend_option
def watch(
    kinds: tuple[str, ...],
    since: int | None,
    limit: int | None,
    as_json: bool,
    queue: str,
    backend: str,
) -> None:
    """Tell a queue's events as they happen, from now on and until Ctrl-C.

    State: nothing changes, nothing is taken: every watcher sees every event, whichever process it
    came from.
    """
    out = Out(as_json)

    async def work(stop: Stop) -> None:
        async with open_queue(backend, queue) as watched, watched.watch(since, kinds) as events:
            told = 0
            while told != limit:
                event = await unless(stop.event, events.next())
                if event is None:
                    return
                out.emit(event, _event_sentence(event))
                told += 1

    run(work, graceful=True)


def _event_sentence(event: Event) -> str:
    if event.message is None:
        return f"{short_time(event.at)} {event.kind}: events up to {event.offset} are lost"
    message = event.message
    return (
        f"{short_time(event.at)} {event.kind:9} {message.id} p{message.priority} {preview(message)}"
    )
