"""What tests of a store's file begin with."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from supersoniq.api.broker import Broker
from supersoniq.backends.sqlite import SqliteBackend
from supersoniq.core.messages import prepare

__all__ = ["HI", "fill", "run", "sql", "store"]

HI = prepare("hi")


def store(path: Path, **options: Any) -> Broker:
    return Broker(SqliteBackend(path, **{"min_free": 0, **options}))


async def fill(path: Path, *contents: Any) -> None:
    async with store(path) as broker:
        await broker.queue("q").publish_many(contents)


def sql(path: Path, statement: str, *values: Any) -> list[Any]:
    other = sqlite3.connect(path)
    try:
        with other:
            return other.execute(statement, values).fetchall()
    finally:
        other.close()


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)
