"""``stats`` and ``queues``: what a store holds, in figures."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import click
from rich.live import Live
from rich.table import Table

import supersoniq
from supersoniq.cli.common import Stop, open_broker, run
from supersoniq.cli.options import backend_option, command, json_option
from supersoniq.cli.output import Out, short_time, table
from supersoniq.core.errors import QueueNotFound
from supersoniq.core.ops import QueueStats

__all__ = ["figures", "queues", "stats"]


@command(
    "Count messages by state; --watch for a live picture.",
    "supersoniq stats",
    "supersoniq stats --watch",
    "supersoniq stats --queue emails | jq .dead",
)
@click.option("--queue", "-q", metavar="NAME", help="Only this queue.  [default: all]")
@click.option("--watch", "-w", "live", is_flag=True, help="Again and again, until Ctrl-C.")
@click.option(
    "--interval",
    type=click.FloatRange(0.05),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="With --watch: how often.",
)
@json_option
@backend_option
def stats(queue: str | None, live: bool, interval: float, as_json: bool, backend: str) -> None:
    """Count each queue's messages by state, and what has become of all the others.

    State: nothing changes. In each picture, published = scheduled + ready + leased + dead + acked +
    expired + cancelled + purged + forgotten.
    """
    out = Out(as_json)

    async def work(stop: Stop) -> None:
        async with open_broker(backend, make=False) as broker:
            if not live:
                found = await _figures(broker, queue)
                if out.json:
                    out.lines(found.values())
                else:
                    out.console.print(figures(found) if found else "No queues.")
            elif out.json:
                while not stop.asked:
                    out.lines((await _figures(broker, queue)).values())
                    await _pause(stop, interval)
            else:
                await _live(out, broker, queue, interval, stop)

    run(work, graceful=live)


async def _figures(broker: supersoniq.Broker, queue: str | None) -> dict[str, QueueStats]:
    if queue is None:
        return await broker.stats()
    looked_at = broker.queue(queue)
    if queue not in await broker.queues():
        raise QueueNotFound(queue)
    return {queue: await looked_at.stats()}


async def _pause(stop: Stop, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.event.wait()
    except TimeoutError:
        pass


async def _live(
    out: Out, broker: supersoniq.Broker, queue: str | None, interval: float, stop: Stop
) -> None:
    before: dict[str, QueueStats] = {}
    then = time.monotonic()
    with Live(console=out.console, auto_refresh=False, transient=False) as picture:
        while not stop.asked:
            found = await _figures(broker, queue)
            now = time.monotonic()
            picture.update(figures(found, before, now - then), refresh=True)
            before, then = found, now
            await _pause(stop, interval)


COUNTS = ("scheduled", "ready", "leased", "dead", "acked", "published")


def figures(
    found: Mapping[str, QueueStats],
    before: Mapping[str, QueueStats] | None = None,
    seconds: float = 0.0,
) -> Table:
    """A table of queues' figures.

    Args:
        found: the figures by queue.
        before: those of an earlier picture, for rates; ``None``: no rates.
        seconds: how much earlier.
    """
    rates = ("in/s", "out/s") if before is not None else ()
    rest = ("expired", "cancelled", "purged", "forgotten")
    rows = []
    for name, now in found.items():
        row: list[object] = [name, *(f"{getattr(now, count):,}" for count in COUNTS)]
        if before is not None:
            old = before.get(name)
            for count in ("published", "acked"):
                gain = getattr(now, count) - getattr(old, count) if old and seconds else 0
                row.append(f"{gain / seconds:,.0f}" if old else "-")
        gone = [f"{getattr(now, each):,} {each}" for each in rest if getattr(now, each)]
        if now.paused:
            gone.insert(
                0, f"paused until {short_time(now.paused_until)}" if now.paused_until else "paused"
            )
        rows.append([*row, ", ".join(gone)])
    columns = ("queue", *COUNTS, *rates, "also")
    return table(*columns, rows=rows, numbers=" ".join((*COUNTS, *rates)))


@command(
    "Name the queues.",
    "supersoniq queues",
    "supersoniq queues --backend sqlite:////var/lib/app/jobs.db",
)
@json_option
@backend_option
def queues(as_json: bool, backend: str) -> None:
    """Name the queues of a store, one a line.

    State: nothing changes.
    """
    out = Out(as_json)

    async def work(_: Stop) -> None:
        async with open_broker(backend, make=False) as broker:
            for name in await broker.queues():
                out.emit({"queue": name}, name)

    run(work)
