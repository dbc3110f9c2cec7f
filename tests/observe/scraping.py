"""Apps to scrape, and what their answers say."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

import supersoniq
from supersoniq import Broker
from supersoniq.adapters import create_app

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Scrape:
    """One answer of ``GET /metrics``, read by prometheus-client's own parser."""

    def __init__(self, text: str) -> None:
        self.text = text
        parse: Callable[[str], Iterable[Metric]] = text_string_to_metric_families
        self.families = {each.name: each for each in parse(text)}
        self._samples: Samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.families.values()
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float | None:
        """A sample's value; ``None`` if it is not there."""
        return self._samples.get((f"supersoniq_{name}", frozenset(labels.items())))

    def labels(self, name: str, label: str) -> set[str]:
        """The values that a label has in a family."""
        return {each.labels[label] for each in self.families[f"supersoniq_{name}"].samples}


@asynccontextmanager
async def app(
    url: str = "memory://", **options: Any
) -> AsyncIterator[tuple[httpx.AsyncClient, Broker]]:
    """A client of an app, and the broker behind it."""
    async with supersoniq.connect(url) as broker:
        transport = httpx.ASGITransport(create_app(broker, **options))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield client, broker


async def scrape(client: httpx.AsyncClient, headers: Mapping[str, str] | None = None) -> Scrape:
    """``GET /metrics``."""
    answer = await client.get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    return Scrape(answer.text)
