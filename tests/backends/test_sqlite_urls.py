"""What a URL and the options of a SQLite store may say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from supersoniq import connect
from supersoniq.backends.sqlite import connect as factory
from supersoniq.core.errors import (
    InvalidSetting,
)
from tests.backends.files import run


def test_urls() -> None:
    assert factory("sqlite:///a/b.db").path == os.path.realpath("a/b.db")
    assert factory("sqlite:////a/b.db").path == "/a/b.db"
    assert factory("sqlite:///a%20b.db").path == os.path.realpath("a b.db")
    assert factory("sqlite:///a.db?synchronous=normal").capabilities.durability == "os"
    assert factory("sqlite:///a.db", synchronous="normal").capabilities.durability == "os"
    assert factory("sqlite:///a.db").capabilities.durability == "disk"
    factory("sqlite:///a.db?min_free=5&patience=1.5")


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:",
        "sqlite://",
        "sqlite:///",
        "sqlite:////",
        "sqlite://host/a.db",
        "sqlite:///:memory:",
        "sqlite:///a.db?unknown=1",
        "sqlite:///a.db?synchronous=off",
        "sqlite:///a.db?patience=soon",
        "sqlite:///a.db?patience=-1",
        "sqlite:///a.db?patience=nan",
        "sqlite:///a.db?min_free=1.5",
        "sqlite:///a.db?min_free=-1",
        "sqlite:///a.db?min_free=1&min_free=2",
        "sqlite:///a%00.db",
        "sqlite:////tmp",
        "sqlite:///a.db#part",
        "redis:///a.db",
    ],
)
def test_urls_that_cannot_be(url: str) -> None:
    with pytest.raises(InvalidSetting):
        factory(url)


def test_an_unknown_option_by_keyword() -> None:
    with pytest.raises(InvalidSetting, match="journal"):
        factory("sqlite:///a.db", journal="off")


def test_it_is_found_by_its_scheme(tmp_path: Path) -> None:
    async def work() -> None:
        async with connect(f"sqlite:///{tmp_path}/q.db", min_free=0) as broker:
            published = await broker.queue().publish("hi")
        assert published.durability == "disk"

    run(work())
