"""The meter: all figures of one broker, those of its store and those of this process."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import msgspec

from supersoniq.api.broker import Broker
from supersoniq.core.ops import QueueStats
from supersoniq.observe.figures import Figures, Known
from supersoniq.observe.histogram import Distribution
from supersoniq.observe.labels import OTHER, Labels
from supersoniq.observe.tally import Tally

__all__ = ["Measured", "Meter", "Process", "Requests", "Store", "Times"]

SUMMED = tuple(
    name for name in QueueStats.__struct_fields__ if name not in ("queue", "paused", "paused_until")
)


class Store(msgspec.Struct):
    """What the store says of a queue, or of all that share a label."""

    counts: Counter[str] = msgspec.field(default_factory=Counter)
    """The integers of ``QueueStats`` by name."""
    paused: int = 0
    """How many of them are paused."""
    oldest: int | None = None
    """Since when a message is ready, in milliseconds since the epoch."""


class Times(msgspec.Struct, frozen=True):
    """Seconds that messages took, as this process has seen it."""

    time_in_queue: Distribution
    """From being ready (again) to a lease."""
    time_in_hand: Distribution
    """From a lease to the settlement that ended it."""


class Requests(msgspec.Struct, frozen=True):
    """How many requests were alike."""

    route: str
    method: str
    protocol: str
    status: int
    """0: the client left before it."""
    count: int


class Process(msgspec.Struct, frozen=True):
    """What one process has counted since it began."""

    commit_seconds: Distribution
    """Seconds that batches of operations took in the store."""
    commit_operations: Distribution
    """How many operations a batch had."""
    failed_batches: dict[str, int]
    """Batches that the store failed, by the code of the error."""
    failed_operations: dict[str, int]
    """Operations that were refused, by the code of the error."""
    requests: list[Requests]
    """Over HTTP."""
    connections: dict[str, int]
    """Open ones, by protocol; of the native server only."""
    websockets: dict[str, int]
    """Open ones, by protocol."""
    pushes: dict[str, int]
    """Messages pushed over HTTP/2: ``taken``, ``refused``, or ``streamed`` just then."""
    refused: dict[str, int]
    """Calls refused for want of a token or a scope, or as too much for a caller; by code."""


class Measured(msgspec.Struct, frozen=True):
    """Everything, as far as the one who asks may see it."""

    store: dict[str, Store]
    """By label."""
    times: dict[str, Times]
    """By label."""
    queues: int | None
    """How many there are; ``None``: not for this eye."""
    process: Process | None
    """``None``: not for this eye."""


class Meter:
    """Measures a broker, from now on.

    Args:
        broker: open or not.
        max_queues: queues with labels of their own, 0 or more; the others share ``_other``.
    """

    def __init__(self, broker: Broker, *, max_queues: int = 100) -> None:
        self.labels = Labels(max_queues)
        self.tally = Tally(self.labels)
        self.connections: Callable[[], Mapping[str, int]] = dict
        """Gives how many connections are open, by protocol; the server knows."""
        self.figures = Figures(lambda: broker.engine)
        broker.observe(self.tally)

    async def measured(self, sees: Callable[[str], bool] | None = None) -> Measured:
        """All figures. Those of the store may be a second old; see ``Figures``.

        Args:
            sees: which queues may be seen, and then nothing else; ``None``: all, and the process.

        Raises:
            SupersoniqError: the store does not answer.
        """
        known = await self.figures.known()
        self.tally.forget(self.labels.keep(known.stats, known.asked))
        labels = {name: self.labels.of(name) for name in known.stats}
        times, process = self.times(sees), self.process() if sees is None else None
        store = await asyncio.to_thread(_summed, known, labels)
        if sees is None:
            return Measured(store, times, len(known.stats), process)
        mine = {label: each for label, each in store.items() if label != OTHER and sees(label)}
        return Measured(mine, times, None, None)

    def times(self, sees: Callable[[str], bool] | None = None) -> dict[str, Times]:
        """What this process has seen of its queues, by label.

        Args:
            sees: see ``measured``.
        """
        return {
            label: Times(each.in_queue.told(), each.in_hand.told())
            for label, each in self.tally.queues.items()
            if sees is None or (label != OTHER and sees(label))
        }

    def process(self) -> Process:
        """What this process has counted, beside the queues."""
        tally = self.tally
        return Process(
            commit_seconds=tally.commit_seconds.told(),
            commit_operations=tally.commit_operations.told(),
            failed_batches=_sorted(tally.failed_batches),
            failed_operations=_sorted(tally.failed_operations),
            requests=[Requests(*key, count) for key, count in sorted(tally.requests.items())],
            connections=_sorted(self.connections()),
            websockets=_sorted(tally.websockets),
            pushes=_sorted(tally.pushes),
            refused=_sorted(tally.refused),
        )


def _summed(known: Known, labels: Mapping[str, str]) -> dict[str, Store]:
    """The figures by label."""
    found: dict[str, Store] = {}
    for name, stats in known.stats.items():
        label = labels[name]
        store = found.get(label)
        if store is None:
            store = found[label] = Store()
        for field in SUMMED:
            store.counts[field] += getattr(stats, field)
        store.paused += stats.paused
        store.oldest = _least((store.oldest, known.oldest.get(name)))
    return found


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items()))


def _least(instants: Iterable[int | None]) -> int | None:
    return min((each for each in instants if each is not None), default=None)
