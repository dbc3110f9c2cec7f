"""One attack after another on one server, and what it and the honest clients have to show for it.

Before each, the server is let come to rest. Then honest clients are measured alone, and again
while the attack lasts. When it is over, everything that it began has to go away. What an attack
must find (it is answered so, it is cut off) it looks for itself.

It does not hold if the server dies, if its memory grows by more than ``MOST`` over what it had at
rest, if an honest client loses a message or gets nothing done, or if a task, a connection or a
stream is left behind. How long honest clients wait is told, and judged by whoever reads it: the
machine may have other work.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from statistics import quantiles
from typing import TypeVar

from benchmarks.abuse import doors
from benchmarks.abuse.honest import Honest, Times
from benchmarks.abuse.serving import MIB, Served

__all__ = ["Attack", "Result", "Scale", "fill", "trials"]

T = TypeVar("T")

MOST = 64 * MIB
"""Bytes that an attack may cost."""
ALONE = 3.0
"""Seconds for which the honest clients are measured alone."""
BESIDE = 3.0
"""The same with an attack, at the least."""
REST = 90.0
"""Seconds in which everything that an attack began has to go away; QUIC may be silent for 30."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of it: the whole, or a taste that takes a second."""

    full: bool

    def pick(self, full: T, taste: T) -> T:
        """One of two."""
        return full if self.full else taste


@dataclass(frozen=True, slots=True)
class Attack:
    """What somebody does to a server.

    Args:
        name: of it.
        door: through which.
        run: does it; gives a word on what has come of it. Raises AssertionError if the server does
            not answer as it must.
        patient: whether it is about waiting for deadlines, so that there is no taste of it.
    """

    name: str
    door: str
    run: Callable[[str, int, Scale], Coroutine[None, None, str]]
    patient: bool = False

    def __str__(self) -> str:
        return f"{self.name} ({self.door})"


@dataclass
class Result:
    """How it went."""

    name: str
    door: str
    told: str = ""
    seconds: float = 0.0
    grown: float = 0.0
    """MiB over what it had at rest, at the worst moment."""
    cpu: float = 0.0
    """Share of a core that the server used meanwhile."""
    alone: dict[str, tuple[float, float]] = field(default_factory=dict)
    """For each honest client, without the attack: p50 and p99 in ms."""
    beside: dict[str, tuple[float, float]] = field(default_factory=dict)
    """The same during it."""
    done: dict[str, int] = field(default_factory=dict)
    """Messages that each honest client has got through during it."""
    faults: list[str] = field(default_factory=list)

    def data(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def waits(times: Times) -> dict[str, tuple[float, float]]:
    """The p50 and p99 of each door."""
    found = {}
    for name, each in times.items():
        cuts = quantiles(each["waited"], n=100) if len(each["waited"]) > 1 else [0.0] * 99
        found[name] = round(cuts[49], 1), round(cuts[98], 1)
    return found


async def fill(port: int, messages: int) -> None:
    """Have messages of the largest size in the queue ``big``, and events that tell of them."""
    async with doors.http2(port) as ask:
        status, body = await ask("PUT", "/queues/big", "{}")
        assert status in (200, 201), body
        # Events are recorded for those who follow them, and for some minutes after.
        status, body = await ask("GET", "/queues/big/events?since=0", prefer="wait=0")
        assert status == 200, body
    reader, writer = await doors.connect(port, "http/1.1")
    content = bytes(range(256)) * (MIB // 256)
    for _ in range(messages):
        writer.write(doors.head1("POST", "/queues/big/messages", f"content-length: {MIB}").replace(
            b"application/json", b"application/octet-stream") + content)  # fmt: skip
        status, body = await doors.answer1(reader)
        assert status == 201, body
    doors.drop(writer)


def trials(
    served: Served, honest: Honest, attacks: Iterable[Attack], scale: Scale
) -> Iterator[Result]:
    """Try attacks, one after the other."""
    honest.go()  # the first visit makes what then stays: the store's own socket, for one
    honest.stop()
    time.sleep(scale.pick(5, 2))
    rest = served.census()
    alone: Times | None = None
    for attack in attacks:
        if scale.full or alone is None:
            honest.go()
            time.sleep(scale.pick(ALONE, 1.0))
            alone = honest.stop()
        result = Result(attack.name, attack.door, alone=waits(alone))
        _try(served, honest, attack, scale, result)
        if scale.full:
            result.faults += _left(_at_rest(served, rest, REST), rest)
        yield result
        if not served.alive():
            return
    if not scale.full:
        # A taste of each, and one rest after all: clients that vanish from QUIC take their time.
        yield Result("rest", "all", faults=_left(_at_rest(served, rest, REST), rest))


def _try(served: Served, honest: Honest, attack: Attack, scale: Scale, result: Result) -> None:
    served.forget_peak()
    before, cpu = served.rss(), served.cpu()
    honest.go()
    begun = time.monotonic()
    try:
        result.told = asyncio.run(_bounded(attack, served.port, scale))
    except AssertionError as error:
        result.faults.append(f"{error}")
    except (OSError, TimeoutError) as error:
        result.faults.append(f"{type(error).__name__}: {error}")
    result.seconds = round(time.monotonic() - begun, 1)
    if result.seconds < BESIDE and scale.full:
        time.sleep(BESIDE - result.seconds)  # honest clients shall have something to tell
    elif result.seconds < 1:
        time.sleep(1 - result.seconds)
    if not served.alive():
        result.faults.append("the server has ended")
        return
    lasted = time.monotonic() - begun
    times = honest.stop()
    result.cpu = round((served.cpu() - cpu) / lasted, 2)
    result.grown = round((served.peak() - before) / MIB, 1)
    result.beside = waits(times)
    result.done = {name: len(each["waited"]) for name, each in times.items()}
    if result.grown * MIB > MOST:
        result.faults.append(f"memory grew by {result.grown:.0f} MiB")
    for name, each in times.items():
        if each["failed"]:
            result.faults.append(f"honest {name}: {each['failed'][0]}")
        if not each["waited"]:
            result.faults.append(f"honest {name} got nothing done")


async def _bounded(attack: Attack, port: int, scale: Scale) -> str:
    async with asyncio.timeout(scale.pick(600, 30)):
        return await attack.run(attack.door, port, scale)


def _left(found: dict[str, int], rest: dict[str, int]) -> list[str]:
    more = {name: count - rest.get(name, 0) for name, count in found.items()}
    return [f"{count} {name} left behind" for name, count in more.items() if count > 0]


def _at_rest(served: Served, rest: dict[str, int], patience: float) -> dict[str, int]:
    """What runs once nothing runs any more; or all the same, after so many seconds."""
    end = time.monotonic() + patience
    while served.alive():
        found = served.census()
        if all(count <= rest.get(name, 0) for name, count in found.items()):
            return found
        if time.monotonic() > end:
            return found
        time.sleep(0.1)
    return {}


def table(results: Iterable[Result]) -> str:
    """Results in Markdown."""
    lines = [
        "| attack | door | what came of it | s | memory | CPU | p99 alone, ms | p99 beside, ms | |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for each in results:
        alone = " / ".join(f"{p99:.0f}" for _, p99 in each.alone.values())
        beside = " / ".join(f"{p99:.0f}" for _, p99 in each.beside.values())
        faults = "; ".join(each.faults) or "ok"
        cells = (each.name, each.door, each.told, f"{each.seconds:.0f}", f"{each.grown:+.0f} MiB",
                 f"{each.cpu:.0%}", alone, beside, faults)  # fmt: skip
        lines.append("| " + " | ".join(cells).replace("\n", " ") + " |")
    return "\n".join(lines)


def dumped(results: Iterable[Result]) -> str:
    """Results in JSON."""
    return json.dumps([each.data() for each in results], indent=2) + "\n"
