"""``bench``: make load, and tell what the store or the server carries."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from rich.markup import escape

import supersoniq
from supersoniq.cli.common import Failed, Stop, note_if_forgotten, open_broker, run
from supersoniq.cli.options import backend_argument, command
from supersoniq.cli.output import Out, progress, table, without_password
from supersoniq.core.errors import QueueNotFound
from supersoniq.load import Load, Plan, Report
from supersoniq.load.plot import check, plot, rates

__all__ = ["bench"]

USUAL = Plan()
BARS = " ▁▂▃▄▅▆▇█"


class Mix(click.ParamType[dict[int, float]]):
    """Priorities with weights: ``0=90,5=10``."""

    name = "mix"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The weights by priority."""
        if isinstance(value, dict):
            return value
        found: dict[int, float] = {}
        for part in value.split(","):
            priority, equals, weight = part.partition("=")
            try:
                number = int(priority)
                share = float(weight) if equals else 1.0
            except ValueError:
                self.fail(f"{part!r} is not PRIORITY=WEIGHT, as in 0=90,5=10", param, ctx)
            if number in found:
                self.fail(f"priority {number} is given twice", param, ctx)
            found[number] = share
        return found


F = TypeVar("F", bound=Callable[..., Any])


def _number(flag: str, metavar: str, help: str, kind: Any = float) -> Callable[[F], F]:
    """An option for the plan's field of that name."""
    name = flag.removeprefix("--").replace("-", "_")
    return click.option(
        flag,
        type=kind,
        metavar=metavar,
        default=getattr(USUAL, name),
        show_default=True,
        help=help,
    )


@command(
    "Make load, and measure what the store or the server carries.",
    "supersoniq bench",
    "supersoniq bench https://queue.example.com --rate 500 --duration 60 --plot bench.svg",
    "supersoniq bench redis://localhost --publishers 64 --consumers 64 --priorities 0=90,5=10",
    "supersoniq bench --messages 10000 --fail 0.05 --work 0.01 --json > report.json",
)
@backend_argument
@_number("--duration", "SECONDS", "Publish for so long; what is queued is then worked off.")
@click.option("--messages", "-n", type=int, help="Publish so many, instead of --duration.")
@_number("--rate", "N", "Messages a second; 0: as fast as it goes.")
@_number("--publishers", "N", "Publishing calls at the same time.", int)
@_number("--batch", "N", "Messages published in one call.", int)
@_number("--consumers", "N", "Messages worked on at the same time; 0: leave them queued.", int)
@_number("--size", "BYTES", "Of each content, at least 16.", int)
@click.option(
    "--priorities",
    type=Mix(),
    default="0",
    show_default=True,
    metavar="P=WEIGHT,...",
    help="How often each priority is given.",
)
@_number("--fail", "SHARE", "Of deliveries that fail and come back, 0 to 1.")
@_number("--work", "SECONDS", "That a consumer works on each.")
@_number("--patience", "SECONDS", "Without progress until the rest is given up.")
@click.option(
    "--seed",
    type=int,
    help="Of the dice for priorities and failures; without it, one that is told.",
)
@click.option(
    "--queue", "-q", metavar="NAME", help="An empty one. Default: a new one, deleted at the end."
)
@click.option(
    "--plot",
    "picture",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Draw rates and percentiles into this .svg, .png or .pdf.",
)
@click.option("--json", "as_json", is_flag=True, help="The whole report as one JSON object.")
def bench(url: str, queue: str | None, picture: Path | None, as_json: bool, **given: Any) -> None:
    """Publish to the store or server at URL and consume, and tell rates and latencies.

    With --rate, a publish that begins late counts from when it was due, so that a store that stalls
    cannot hide it. Delivery latency includes the time in the queue: without --rate, that is
    mostly how far publishers are ahead of consumers.

    State: messages are published to a queue of their own, become leased, then done, or come back
    (--fail); the queue is deleted at the end. A queue named with --queue stays.

    The exit status is 1 if a message was lost, or delivered again after it was acknowledged, or if
    nothing could be published. The first Ctrl-C ends publishing, the second ends all.
    """
    if given["seed"] is None:
        given["seed"] = secrets.randbelow(2**32)
    plan = Plan(**given)
    out = Out(as_json)
    name = queue or f"bench-{secrets.token_hex(4)}"

    async def work(stop: Stop) -> int:
        if picture is not None:
            check(picture)
        async with open_broker(url) as broker:
            made = queue is None
            source = broker.queue(name)
            if out.json is False:
                note_if_forgotten(source)
            load = Load(source, plan, stop.event)
            try:
                report = await _measure(load)
            finally:
                if made:
                    await _forget(broker, name)
        title = f"{without_password(url)}, {report.published:,} messages of {plan.size} bytes"
        if picture is not None:
            plot(picture, title, report.timeline, load.publish, load.delivery)
        if out.json:
            shown = {"url": without_password(url), "queue": name, "plan": plan, "report": report}
            out.lines([msgspec.to_builtins(shown, str_keys=True)])
        else:
            _show(out, title, report)
            out.console.print(f"  --seed {plan.seed} throws the same dice again")
        if not report.sound:
            raise Failed(
                f"{report.lost} messages were lost, and {report.delivered_after_finished} were "
                "delivered after they had been acknowledged"
            )
        return 0 if report.published else 1

    run(work, graceful=True)


async def _measure(load: Load) -> Report:
    plan = load.plan
    total = plan.messages if plan.messages is not None else plan.duration
    with progress() as bar:
        task = bar.add_task(f"Load on {load.queue.name}", total=total, done=0)

        def tell(load: Load) -> None:
            elapsed = load.elapsed
            far = load.published if plan.messages is not None else elapsed
            bar.update(task, completed=min(far, total), done=f"{load.finished:,}")

        return await load.run(tell)


async def _forget(broker: supersoniq.Broker, name: str) -> None:
    """Delete the queue made for this, whatever happened; say so if that is impossible."""
    try:
        async with asyncio.timeout(10):
            await broker.delete_queue(name)
    except QueueNotFound:
        pass
    except (supersoniq.SupersoniqError, TimeoutError) as error:
        click.echo(f"warning: queue {name} is left behind: {error or 'no answer'}", err=True)


def _show(out: Out, title: str, report: Report) -> None:
    say = out.console.print
    say(f"[bold]{escape(title)}[/]", soft_wrap=True)
    say(
        f"  published {report.published:,} in {report.seconds:.1f} s: "
        f"{report.published_per_second:,.0f} a second"
    )
    say(
        f"  finished {report.finished:,} in {report.seconds_worked_off:.1f} s: "
        f"{report.finished_per_second:,.0f} a second"
    )
    also = [
        f"{count:,} {what}"
        for what, count in (
            ("deliveries failed as planned", report.failed),
            ("dead", report.dead),
            ("still queued", report.queued),
            *((f"not published: {code}", count) for code, count in report.errors.items()),
        )
        if count
    ]
    if also:
        say("  " + ", ".join(also))
    columns = ("p50", "p90", "p99", "p999", "max", "mean")
    rows = [
        [name, *(f"{getattr(figures, column):,.2f}" for column in columns)]
        for name, figures in (("publish", report.publish_ms), ("delivery", report.delivery_ms))
        if figures is not None
    ]
    say(table("milliseconds", *columns, rows=rows, numbers=" ".join(columns)))
    steps = rates(report.timeline)
    if len(steps) > 1:
        most = max(max(step[1:]) for step in steps) or 1.0
        for name, place in (("in/s", 1), ("out/s", 2)):
            bars = "".join(BARS[round(step[place] / most * 8)] for step in _thinned(steps, 60))
            say(f"  {name:5} {bars}  up to {max(step[place] for step in steps):,.0f}")


def _thinned(
    steps: list[tuple[float, float, float]], most: int
) -> list[tuple[float, float, float]]:
    """At most so many of them, evenly."""
    every = -(-len(steps) // most)
    return steps[::every]
