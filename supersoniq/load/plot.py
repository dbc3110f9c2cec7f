"""A picture of a report: throughput over time, and latency by percentile."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from supersoniq.core.errors import InvalidSetting, MissingExtra
from supersoniq.load.latency import Latency
from supersoniq.load.report import Moment

__all__ = ["FORMATS", "plot", "rates"]

FORMATS = (".svg", ".png", ".pdf")


def rates(timeline: Sequence[Moment]) -> list[tuple[float, float, float]]:
    """(seconds, published a second, finished a second) between each two moments."""
    start = Moment(seconds=0, published=0, finished=0)
    found = []
    for old, new in pairwise([start, *timeline]):
        if (length := new.seconds - old.seconds) >= 0.2:  # the last one may be a sliver
            into, out = new.published - old.published, new.finished - old.finished
            found.append((new.seconds, into / length, out / length))
    return found


def check(path: Path) -> None:
    """See that a picture can be drawn, before hours of load are made for it.

    Raises:
        InvalidSetting: the file's name does not end in one of ``FORMATS``.
        MissingExtra: matplotlib is not installed.
    """
    if path.suffix.lower() not in FORMATS:
        raise InvalidSetting("plot", str(path), f"must end in one of {', '.join(FORMATS)}")
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtra("--plot", "supersoniq[plot]", error.name or str(error)) from None


def plot(
    path: Path, title: str, timeline: Sequence[Moment], publish: Latency, delivery: Latency
) -> None:
    """Draw it into a file, in the format that its name ends in.

    Raises:
        InvalidSetting, MissingExtra: as ``check``.
        OSError: the file cannot be written.
    """
    check(path)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 7), layout="constrained")
    figure.suptitle(title)
    above, below = figure.subplots(2)
    steps = rates(timeline)
    for place, name in ((1, "published"), (2, "finished")):
        above.plot([step[0] for step in steps], [step[place] for step in steps], label=name)
    above.set(xlabel="seconds", ylabel="messages a second", ylim=(0, None))
    for latency, name in ((publish, "publish"), (delivery, "delivery")):
        curve = latency.curve()
        nines = [1 / (1 - share) for share, _ in curve]
        below.plot(nines, [seconds * 1000 for _, seconds in curve], label=name)
    below.set(xscale="log", yscale="log", xlabel="percentile", ylabel="milliseconds")
    ticks = [1, 2, 10, 100, 1000, 10_000, 100_000]
    most = max(10, publish.count, delivery.count)
    shown = [tick for tick in ticks if tick <= most]
    below.set_xticks(shown, [f"{100 * (1 - 1 / tick):.7g}" for tick in shown])
    for each in (above, below):
        each.grid(alpha=0.3)
        each.legend()
    figure.savefig(path, dpi=120)
