"""``supersoniq demo``: the main job, for real, in ten seconds, where one can watch it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from asyncio.subprocess import PIPE, create_subprocess_exec
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import click

import supersoniq
from supersoniq.cli.common import Failed, Stop, run, unless
from supersoniq.cli.options import command
from supersoniq.cli.output import Out
from supersoniq.cli.picture import Picture
from supersoniq.cli.story import CONSUMERS, DEAD_AT, MESSAGES, QUEUE, Story
from supersoniq.core.errors import MissingExtra

__all__ = ["demo"]


@command(
    "Watch the main job: a server, publishers, consumers.",
    "supersoniq demo",
    "supersoniq demo --keep --port 8000",
)
@click.option(
    "--db",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("demo.db"),
    show_default=True,
    help="The SQLite file. What it holds stays, but for the queue 'demo', which begins empty.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="The server's port; a free one if there is none given.",
)
@click.option(
    "--messages",
    type=click.IntRange(20, 100_000),
    default=MESSAGES,
    show_default=True,
    help="How many to publish.",
)
@click.option("--keep", is_flag=True, help="Keep the server running at the end, until Ctrl-C.")
def demo(db: Path, port: int, messages: int, keep: bool) -> None:
    """Start a server on an SQLite file, publish and consume over HTTP, and check the figures.

    Messages differ in priority. One fails once and is tried again; one always fails and ends dead.
    It takes about ten seconds, and its exit status is 0 only if the figures add up.

    State: the messages of queue 'demo' go all the way: ready, leased, done or dead. At the end, the
    file holds the one that died, for you to look at.
    """
    try:
        import httpx

        import supersoniq.adapters.http.native  # noqa: F401  # so that a missing extra is told here
    except ModuleNotFoundError as error:
        missing = error.name or str(error)
        raise Failed.of(MissingExtra("the demo", "supersoniq[cli,server]", missing)) from None

    async def work(stop: Stop) -> int:
        picture = Picture(Out().console, messages)
        try:
            code = await unless(stop.event, _play(picture, db, port, messages, keep))
        except httpx.HTTPError as error:
            answer = f": {error.response.text}" if isinstance(error, httpx.HTTPStatusError) else ""
            raise Failed(
                f"the server did not do its part: {error or type(error).__name__}{answer}"
            ) from None
        if code is not None:
            return code
        return 0 if keep else stop.exit_code

    run(work, graceful=True)


async def _play(picture: Picture, db: Path, port: int, messages: int, keep: bool) -> int:
    import httpx

    url = f"sqlite:///{quote(str(db))}"
    program = _program()
    picture.heading("1. A server on an SQLite file, as a process of its own")
    picture.say(f"{program} serve --backend {url} --port {port}")
    async with _server(url, port) as (address, number):
        picture.say(f"process {number}, at {address}")
        async with httpx.AsyncClient(base_url=address, timeout=30) as http:
            story = Story(http, messages)
            await story.prepare()
            who = f"{CONSUMERS} consumers lease, work and acknowledge"
            picture.heading(f"2. {messages} messages are published over HTTP; then {who}")
            counts = await _watch(picture, story)
        holds = _judge(picture, story, counts)
        if keep:
            _next(picture, program, url, story)
            picture.heading(f"The server is at {address} until Ctrl-C")
            await asyncio.Event().wait()
    async with supersoniq.connect(url) as broker:
        left = await broker.queue(QUEUE).browse()
    same = [message.id for message in left] == [story.poison]
    picture.verdict(same, f"the server has stopped; {db} holds the dead message, and no other")
    if not (holds and same):
        picture.heading("Something is wrong: the figures do not add up.")
        return 1
    _next(picture, program, url, story)
    return 0


async def _watch(picture: Picture, story: Story) -> dict[str, int]:
    """Let it happen; gives the figures at the end."""

    async def happen() -> None:
        await story.publish()
        await story.consume()

    happening = asyncio.ensure_future(happen())
    try:
        with picture:
            while not happening.done():
                picture.counts(await story.counts())
                await asyncio.wait({happening}, timeout=0.1)
            await happening
            counts = await story.counts()
            picture.counts(counts, now=True)
    finally:
        happening.cancel()
        await asyncio.gather(happening, return_exceptions=True)
    return counts


def _judge(picture: Picture, story: Story, counts: dict[str, int]) -> bool:
    """Check what must hold, and tell; whether all of it does."""
    acked, dead = counts["acked"], counts["dead"]
    expected = set(story.published) - {story.poison}
    place = {id: n for n, id in enumerate(story.published)}
    in_order = all(
        taken == sorted(taken, key=lambda each: (-each[0], place[each[1]]))
        for taken in story.taken.values()
    )
    verdicts = [
        (
            counts["published"] == story.messages == acked + dead,
            f"published {counts['published']} = acknowledged {acked} + dead {dead}",
        ),
        (
            len(story.acked) == len(expected) and set(story.acked) == expected,
            f"{len(story.acked)} different messages were acknowledged, each once",
        ),
        (
            in_order and sum(map(len, story.taken.values())) == story.messages,
            "every consumer got higher priorities first, and older messages first among equals",
        ),
        (
            story.tries[story.flaky] == 2 and story.flaky in story.acked,
            "the message that failed once was done at its 2nd delivery",
        ),
        (
            dead == 1 and story.tries[story.poison] == DEAD_AT,
            f"the message that always fails is dead after {DEAD_AT} deliveries",
        ),
    ]
    picture.heading(f"3. The figures, after {picture.elapsed:.1f} s")
    for holds, text in verdicts:
        picture.verdict(holds, text)
    return all(holds for holds, _ in verdicts)


def _next(picture: Picture, program: str, url: str, story: Story) -> None:
    where = f"--queue {QUEUE} --backend {url}"
    picture.heading("Next: commands to copy")
    for words, comment in (
        (f"explain {story.poison} {where}", "why is it not delivered?"),
        (f"redrive {where}", "give the dead one another chance"),
        (f"consume --limit 1 {where}", "take it from the file, no server needed"),
        ('publish "hello" --priority 5', "into ./supersoniq.db, the default store"),
        ("stats --watch", "a live picture of that"),
        ("serve", "the same over HTTP, at port 8000"),
    ):
        picture.say(f"{program} {words}  # {comment}")
    picture.say("From Python, or inside your web app: see README.md.")


def _program() -> str:
    """How this program is called from a shell in this directory."""
    here = Path(sys.argv[0])
    found = shutil.which("supersoniq")
    if found is not None and Path(found).resolve() == here.resolve():
        return "supersoniq"
    if here.name != "supersoniq":
        return "python -m supersoniq"
    return os.path.relpath(here) if here.is_relative_to(Path.cwd()) else str(here)


@asynccontextmanager
async def _server(url: str, port: int) -> AsyncIterator[tuple[str, int]]:
    """A server process; gives its address and process id.

    Raises:
        Failed: it did not start, or did not end as it should.
    """
    words = ("-m", "supersoniq", "serve", "--backend", url, "--port", str(port))
    process = await create_subprocess_exec(
        sys.executable,
        *words,
        *("--config", os.devnull),  # nobody's settings but these
        env={name: it for name, it in os.environ.items() if not name.startswith("SUPERSONIQ_")},
        stdout=PIPE,
        start_new_session=True,  # Ctrl-C is for us; we end it
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            first = await process.stdout.readline()
        if not first:
            raise Failed("the server did not start; its own words are above")
        yield json.loads(first)["url"], process.pid
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(10):
                code = await process.wait()
        except TimeoutError:
            process.kill()
            code = await process.wait()
    if code:
        raise Failed(f"the server ended with exit status {code}")
