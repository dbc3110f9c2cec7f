"""Figures as prometheus-client's metric families, and those as text.

Each family says in its help of whom it is: ``store`` is the same from every process on that store,
so that one of them is enough; ``process`` is of the one that was asked, and several add up. Names
and units are those of OpenMetrics 1.0; counters get their ``_total`` there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import ProcessCollector, exposition
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.openmetrics import exposition as openmetrics

import supersoniq
from supersoniq.observe.histogram import Distribution
from supersoniq.observe.meter import Measured, Process, Store

__all__ = ["OPENMETRICS", "PLAIN", "families", "text"]

OPENMETRICS = "application/openmetrics-text"
PLAIN = "text/plain"
_KINDS = {
    OPENMETRICS: f"{OPENMETRICS}; version=1.0.0; charset=utf-8",
    PLAIN: f"{PLAIN}; version=0.0.4; charset=utf-8",
}
STATUSES = ("scheduled", "ready", "leased", "done", "dead")
OUTCOMES = ("acked", "nacked", "released", "rejected")
GONE = ("expired", "cancelled", "purged", "forgotten")
TOTALS = {
    "messages_published": ("published", "Messages stored; duplicates are not among them."),
    "messages_duplicate": ("duplicates", "Publishes answered with an earlier message."),
    "messages_redriven": ("redriven", "Dead messages made ready again."),
    "messages_corrupt": ("corrupt", "Messages set aside since their content was damaged."),
    "deliveries": ("leases", "Leases given."),
    "leases_lapsed": ("lapsed", "Leases that ended since their time was up."),
    "settlements_stale": ("stale", "Settlements refused since the lease was over."),
}
"""Counters by queue: the field of the figures, and the help."""


def families(measured: Measured) -> Iterator[Metric]:
    """The metric families of all figures; of those by queue, only where there is a queue."""
    yield from _of_store(measured)
    for name, what, help in (
        ("time_in_queue", "time_in_queue", "From being ready (again) to a lease"),
        ("time_in_hand", "time_in_hand", "From a lease to the settlement that ended it"),
    ):
        family = HistogramMetricFamily(
            f"supersoniq_{name}_seconds",
            f"{help}, of what went through this process. (process)",
            labels=["queue"],
            unit="seconds",
        )
        for label, times in measured.times.items():
            _add(family, [label], getattr(times, what))
        yield family
    if measured.process is not None:
        yield from _of_process(measured.process)


def text(found: Iterable[Metric], kind: str) -> tuple[bytes, str]:
    """Families as text, and its whole media type.

    Args:
        found: families.
        kind: ``OPENMETRICS`` or ``PLAIN``.
    """
    write: Callable[[Any], bytes] = (
        openmetrics.generate_latest if kind == OPENMETRICS else exposition.generate_latest
    )
    return write(_Collected(list(found))), _KINDS[kind]


class _Collected:
    """What prometheus-client's writers ask for."""

    def __init__(self, found: list[Metric]) -> None:
        self._found = found

    def collect(self) -> list[Metric]:
        return self._found


def _of_store(measured: Measured) -> Iterator[Metric]:
    store = measured.store
    for name, (field, help) in TOTALS.items():
        values = {label: each.counts[field] for label, each in store.items()}
        yield _by_queue(CounterMetricFamily, name, help, values)
    yield _split("messages_settled", "Leases ended by their consumers.", "outcome", OUTCOMES, store)
    yield _split("messages_gone", "Messages that left otherwise.", "reason", GONE, store)
    sizes = GaugeMetricFamily(
        "supersoniq_messages", "Messages there are. (store)", labels=["queue", "status"]
    )
    for label, each in store.items():
        for status in STATUSES:
            sizes.add_metric([label, status], each.counts[status])
    yield sizes
    now = time.time()
    age = GaugeMetricFamily(
        "supersoniq_oldest_ready_age_seconds",
        "How long the oldest ready message has been ready; 0 if there is none. (store)",
        labels=["queue"],
        unit="seconds",
    )
    for label, each in store.items():
        since = now if each.oldest is None else each.oldest / 1000
        age.add_metric([label], max(now - since, 0.0))
    yield age
    help = "How many queues of this label are paused."
    paused = {label: each.paused for label, each in store.items()}
    yield _by_queue(GaugeMetricFamily, "queue_paused", help, paused)
    if measured.queues is not None:
        yield GaugeMetricFamily(
            "supersoniq_queues", "Queues there are. (store)", value=measured.queues
        )


def _of_process(process: Process) -> Iterator[Metric]:
    for name, help, unit, told in (
        ("commit", "Time of a batch of operations in the store", "seconds", process.commit_seconds),
        ("commit", "Operations in such a batch", "operations", process.commit_operations),
    ):
        family = HistogramMetricFamily(
            f"supersoniq_backend_{name}_{unit}", f"{help}. (process)", labels=[], unit=unit
        )
        _add(family, [], told)
        yield family
    for name, help, label, counts in (
        ("backend_failures", "Batches that the store failed.", "error", process.failed_batches),
        (
            "operations_refused",
            "Operations that the store refused.",
            "error",
            process.failed_operations,
        ),
        (
            "pushes",
            "New messages for watchers over HTTP/2, by what became of the push.",
            "result",
            process.pushes,
        ),
        (
            "calls_refused",
            "Calls refused for want of a token or a scope, or as beyond what a caller may have.",
            "error",
            process.refused,
        ),
    ):
        counter = CounterMetricFamily(f"supersoniq_{name}", f"{help} (process)", labels=[label])
        for value, count in counts.items():
            counter.add_metric([value], count)
        yield counter
    requests = CounterMetricFamily(
        "supersoniq_http_requests",
        "Requests answered; status 0: the client left before. (process)",
        labels=["route", "method", "protocol", "status"],
    )
    for each in process.requests:
        requests.add_metric([each.route, each.method, each.protocol, str(each.status)], each.count)
    yield requests
    for name, help, counts in (
        ("connections", "Open connections, of the native server", process.connections),
        ("websockets", "Open WebSockets", process.websockets),
    ):
        gauge = GaugeMetricFamily(f"supersoniq_{name}", f"{help}. (process)", labels=["protocol"])
        for protocol, count in counts.items():
            gauge.add_metric([protocol], count)
        yield gauge
    build = InfoMetricFamily("supersoniq_build", "What is running. (process)")
    build.add_metric([], {"version": supersoniq.__version__})
    yield build
    yield from ProcessCollector(registry=None).collect()


def _by_queue(
    kind: type[CounterMetricFamily] | type[GaugeMetricFamily],
    name: str,
    help: str,
    values: Mapping[str, int],
) -> Metric:
    family = kind(f"supersoniq_{name}", f"{help} (store)", labels=["queue"])
    for label, value in values.items():
        family.add_metric([label], value)
    return family


def _split(
    name: str, help: str, by: str, fields: tuple[str, ...], store: Mapping[str, Store]
) -> Metric:
    family = CounterMetricFamily(f"supersoniq_{name}", f"{help} (store)", labels=["queue", by])
    for label, each in store.items():
        for field in fields:
            family.add_metric([label, field], each.counts[field])
    return family


def _add(family: HistogramMetricFamily, labels: list[str], told: Distribution) -> None:
    family.add_metric(labels, list(told.buckets.items()), sum_value=told.sum)
