"""A shell for each test."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.shell import Shell


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    monkeypatch.chdir(tmp_path)
    made = Shell(tmp_path)
    yield made
    for process in made.processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture(autouse=True)
def logs_as_they_were() -> Iterator[None]:
    """A command that is run in this process sets them up: lines are left out from then on."""
    own, root = logging.getLogger("supersoniq"), logging.getLogger()
    level = own.level
    before = [(each, each.formatter, list(each.filters)) for each in root.handlers]
    yield
    own.setLevel(level)
    for handler, formatter, filters in before:
        handler.setFormatter(formatter)
        handler.filters[:] = filters
