"""Tests take turns: see ``turns``.

With ``--canary``, every test is searched for what must not be told: see ``canary``.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from supersoniq.core import messages
from supersoniq.core.errors import SupersoniqError
from tests.canary import canary
from tests.turns import share, turn


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Around all of a test, so that its time-out does not count what it waits for its turn."""
    with turn(alone=item.get_closest_marker("alone") is not None):
        return (yield)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--canary", action="store_true", help="search logs and errors for contents")


def pytest_configure(config: pytest.Config) -> None:
    """Share locks; note contents, errors and logs, wherever they are made."""
    if getattr(config.option, "numprocesses", None):  # not so in the processes that it starts
        stack = ExitStack()
        stack.enter_context(share())
        config.add_cleanup(stack.close)
    if not config.getoption("--canary"):
        return
    _note_contents()
    _note_errors()
    _note_logs()


def _note_contents() -> None:
    encode = messages._encode

    def encoding(content: Any) -> Any:
        canary.published(content)
        return encode(content)

    messages._encode = encoding


def _note_errors() -> None:
    made = SupersoniqError.__init__

    def making(self: SupersoniqError, *values: Any, **named: Any) -> None:
        made(self, *values, **named)
        canary.made(self)

    SupersoniqError.__init__ = making  # type: ignore[method-assign]


def _note_logs() -> None:
    """Down to DEBUG, of which nobody else hears: a test's own view of the logs is as it was."""
    enabled, call = logging.Logger.isEnabledFor, logging.Logger.callHandlers

    def ours(logger: logging.Logger) -> bool:
        name = logger.name
        return name == "supersoniq" or (name.startswith("supersoniq.") and not logger.level)

    def is_enabled(self: logging.Logger, level: int) -> bool:
        return ours(self) or enabled(self, level)

    def calling(self: logging.Logger, record: logging.LogRecord) -> None:
        if ours(self):
            canary.handle(record)
            if not enabled(self, record.levelno):
                return
        call(self, record)

    logging.Logger.isEnabledFor = is_enabled  # type: ignore[method-assign]
    logging.Logger.callHandlers = calling  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def nothing_is_told(request: pytest.FixtureRequest) -> Iterator[None]:
    """Neither contents nor tokens nor secrets."""
    canary.begin()
    yield
    leaks = canary.leaks()
    assert not leaks, f"{request.node.nodeid} tells: {[leak[:500] for leak in leaks[:3]]}"
