"""``top``: the queues of a store, live, the busiest first."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator

import click
from rich.live import Live

import supersoniq
from supersoniq.cli.common import Failed, Stop, open_broker, run
from supersoniq.cli.options import backend_argument, command
from supersoniq.cli.output import Out, without_password
from supersoniq.cli.top_view import Close, Look, Row, Screen
from supersoniq.core.errors import QueueNotFound, SupersoniqError
from supersoniq.core.states import Status

__all__ = ["top"]

CLOSELY = 20
"""Messages of each kind that the page of one queue shows, at most."""


@command(
    "Watch all queues on a full screen; pick one to look into.",
    "supersoniq top",
    "supersoniq top redis://localhost",
    "supersoniq top --interval 0.5",
)
@backend_argument
@click.option(
    "--interval",
    type=click.FloatRange(0.1, 3600),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="How often to look.",
)
def top(url: str, interval: float) -> None:
    """Show what each queue holds, how fast it fills and empties, and how old its oldest is.

    \b
    Keys:  up, down  pick a queue      s  sort by the next column     q  end
           enter     look into it      r  the other way round
           escape    back              space  hold the picture

    A queue whose oldest ready message gets older and older has too few consumers; one with many
    leased and little going out has slow or stuck ones; red figures are dead messages.

    State: nothing changes.
    """  # noqa: D301  # click's own mark
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Failed("top is for a terminal; 'supersoniq stats --watch' writes JSON lines", 2)
    from supersoniq.cli.keys import keys  # takes a system with terminals

    async def work(stop: Stop) -> None:
        async with open_broker(url, make=False) as broker:
            screen = Screen(without_password(url))
            console = Out().console
            with keys() as pressed, Live(console=console, screen=True, auto_refresh=False) as live:
                async for _ in _ticks(stop, pressed, screen, interval):
                    if not screen.held:
                        await _look(broker, screen)
                    live.update(screen.render(console.height, console.width), refresh=True)

    run(work, graceful=True)


async def _ticks(
    stop: Stop, pressed: asyncio.Queue[str], screen: Screen, interval: float
) -> AsyncIterator[None]:
    """Once now, then at every interval and after every key, until it is to end."""
    yield
    while not stop.asked:
        getting = asyncio.ensure_future(pressed.get())
        stopping = asyncio.ensure_future(stop.event.wait())
        try:
            await asyncio.wait(
                {getting, stopping}, timeout=interval, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            stopping.cancel()
            getting.cancel()
        if getting.done() and not getting.cancelled() and not screen.key(getting.result()):
            return
        if not stop.asked:
            yield


async def _look(broker: supersoniq.Broker, screen: Screen) -> None:
    """See how things are. A store that cannot be reached is told on the screen, and tried again."""
    try:
        found = await broker.stats()
        now = time.time()
        rows = []
        for name, figures in found.items():
            oldest = await _oldest(broker.queue(name), figures.ready, now)
            rows.append(Row(figures, oldest))
        close = await _close(broker, screen.opened)
    except SupersoniqError as error:
        screen.trouble = str(error)
        return
    screen.show(Look(time.monotonic(), rows, close))


async def _oldest(queue: supersoniq.Queue, ready: int, now: float) -> float | None:
    """Seconds since the message that was published first, of those that are ready."""
    if not ready:
        return None
    try:
        page = await queue.browse(Status.READY, limit=1)
    except QueueNotFound:
        return None
    return max(0.0, now - page[0].created_at / 1000) if page else None


async def _close(broker: supersoniq.Broker, name: str | None) -> Close | None:
    """The page of one queue, if one is open."""
    if name is None:
        return None
    queue = broker.queue(name)
    try:
        policy = await queue.policy()
        pages = {
            status: await queue.browse(status, limit=CLOSELY)
            for status in (Status.DEAD, Status.LEASED, Status.READY, Status.SCHEDULED)
        }
    except QueueNotFound:
        return None
    return Close(name, policy, pages)
