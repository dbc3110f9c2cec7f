"""``supersoniq publish``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO

import click

import supersoniq
from supersoniq.adapters.http.wire import PublishedOut
from supersoniq.cli import drafts
from supersoniq.cli.common import Failed, Stop, note_if_forgotten, open_queue, run
from supersoniq.cli.options import backend_option, command, queue_option
from supersoniq.cli.output import Out, progress
from supersoniq.core.errors import InvalidArgument, SupersoniqError
from supersoniq.core.messages import Draft, Published

__all__ = ["publish"]

BATCH = 500
"""Lines in one call, at most: a batch is stored as a whole or not at all."""


@command(
    "Store messages: one, or one for each line.",
    'supersoniq publish "hello" --priority 5',
    'supersoniq publish --json \'{"to": "ada@example.com"}\' --key order-17 --queue emails',
    "supersoniq publish --file jobs.ndjson --queue jobs",
    "tail -f app.log | supersoniq publish --queue log",
)
@click.argument("text", required=False)
@click.option("--json", "json_text", metavar="VALUE", help="Publish this JSON value.")
@click.option(
    "--content-file",
    type=click.File("rb"),
    help="Publish this file's bytes as one message; - is standard input.",
)
@click.option(
    "--file",
    "-f",
    "lines",
    type=click.File("rb"),
    help="Publish each line of this file; - is standard input, as when nothing else is given.",
)
@click.option(
    "--as",
    "form",
    type=click.Choice(drafts.FORMS),
    help="What a line is: the text itself, a JSON value, or a draft: an object as HTTP takes it, "
    "with content and any of the fields below. Default: draft for .ndjson and .jsonl files, "
    "else text.",
)
@click.option("--priority", "-p", type=int, help="-32768 to 32767, higher is sooner; default 0.")
@click.option("--delay", type=float, metavar="SECONDS", help="Make it ready only after that long.")
@click.option(
    "--ttl", type=float, metavar="SECONDS", help="Let it expire if nobody took it by then."
)
@click.option("--key", help="Publish once: a second message of this key is not stored (5 minutes).")
@click.option("--sender", help="Whoever it is from.")
@click.option("--recipient", help="Only a consumer that asks as this gets it.")
@click.option("--header", "-H", multiple=True, metavar="NAME=VALUE", help="Repeatable.")
@click.option("--content-type", metavar="TYPE", help="A media type; the default fits the content.")
@click.option("--quiet", is_flag=True, help="Print nothing when it went well.")
@queue_option
@backend_option
def publish(
    text: str | None,
    json_text: str | None,
    content_file: BinaryIO | None,
    lines: BinaryIO | None,
    form: str | None,
    header: tuple[str, ...],
    quiet: bool,
    queue: str,
    backend: str,
    **options: Any,
) -> None:
    """Store messages, and print their ids once they are safe.

    State: a new message is ready, or scheduled with --delay. When this command prints an id, the
    message is stored at the durability that it names; for SQLite that is the disk.

    Lines go in batches of up to 500, each stored as a whole or not at all. If one is refused, the
    error names the line; what was published before it stays published. Blank lines are skipped.
    A stream is followed: its lines are published as they come.
    """
    one = [text is not None, json_text is not None, content_file is not None]
    if sum(one) + (lines is not None) > 1:
        raise click.UsageError("Give one of: a text, --json, --content-file, --file.")
    if form is not None and any(one):
        raise click.UsageError("--as says what a line is: it goes with --file or standard input.")
    if not any(one) and options["key"] is not None:
        raise click.UsageError("--key is for one message; give each line its own with --as draft.")
    given = {name: value for name, value in options.items() if value is not None}
    out = Out()

    async def single(_: Stop) -> None:
        fields = {**given, "headers": drafts.header_map(header)} if header else given
        if json_text is not None:
            draft = drafts.from_json(json_text.encode(errors="surrogateescape"), fields)
        else:
            draft = Draft(content_file.read() if content_file else text or "", **fields)
        async with open_queue(backend, queue) as to:
            note_if_forgotten(to)
            [published] = await to.publish_many([draft])
        if not quiet:
            out.emit(_data(published), _sentence(published, queue))

    async def many(stop: Stop) -> int:
        fields = {**given, "headers": drafts.header_map(header)} if header else given
        stream = lines if lines is not None else _standard_input()
        read = drafts.reader(form or drafts.form_of(str(getattr(stream, "name", ""))), fields)
        async with open_queue(backend, queue) as to:
            note_if_forgotten(to)
            return await _publish_lines(
                to, drafts.Lines(stream, stop.event), read, out, quiet, stop
            )

    if any(one):
        run(single)
    else:
        run(many, graceful=True)


def _standard_input() -> BinaryIO:
    if sys.stdin.isatty():
        raise click.UsageError("Nothing to publish: give a text, --json, --file, or pipe lines in.")
    return sys.stdin.buffer


def _data(published: Published) -> PublishedOut:
    return PublishedOut(published.id, published.duplicate, published.durability)


def _sentence(published: Published, queue: str) -> str:
    if published.duplicate:
        return f"Nothing stored: {published.id} has that key and the same content."
    return f"Published {published.id} to queue {queue!r}, durability {published.durability}."


async def _publish_lines(
    queue: supersoniq.Queue,
    lines: drafts.Lines,
    read: Callable[[bytes], Draft],
    out: Out,
    quiet: bool,
    stop: Stop,
) -> int:
    began, done, duplicates = time.monotonic(), 0, 0
    with progress() as bar:
        task = bar.add_task(f"Publishing to {queue.name}", total=lines.size, done=0)
        while batch := await lines.take(BATCH):
            items, bad = _drafts(batch, read)
            try:
                published = await queue.publish_many(items)
            except SupersoniqError as error:
                first, last = batch[0][0], batch[len(items) - 1][0]
                where = f"lines {first} to {last}" if last > first else f"line {first}"
                raise Failed(f"{where}: {Failed.of(error).message}; {_so_far(done)}") from None
            done += len(published)
            duplicates += sum(each.duplicate for each in published)
            bar.update(task, completed=lines.taken, done=done)
            if out.json and not quiet:
                out.lines(_data(each) for each in published)
            if bad is not None:
                raise Failed(f"{bad}; {_so_far(done)}")
    if not out.json and not quiet:
        known = f" ({duplicates} of them were there already)" if duplicates else ""
        took = f"in {time.monotonic() - began:.1f} s"
        out.emit({}, f"Published {done} messages{known} to queue {queue.name!r} {took}.")
    if stop.asked:
        click.echo(f"Stopped; {_so_far(done)}.", err=True)
    return stop.exit_code


def _so_far(done: int) -> str:
    return f"the {done} messages before are published" if done else "nothing is published"


def _drafts(
    batch: Sequence[tuple[int, bytes]], read: Callable[[bytes], Draft]
) -> tuple[list[Draft], str | None]:
    """The drafts of the lines up to the first bad one, and what is wrong with that."""
    items: list[Draft] = []
    for number, text in batch:
        try:
            items.append(read(text))
        except InvalidArgument as error:
            return items, f"line {number}: {error}"
    return items, None
