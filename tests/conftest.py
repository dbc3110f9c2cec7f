"""Tests take turns (see ``turns``), and what they bring about is searched (see ``canary``)."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, settings

from tests.canary import canary, watch, watch_programs
from tests.turns import share, turn

watch()
# How long an example takes says nothing of what it is of, on a machine that is busy.
settings.register_profile(
    "busy", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("busy")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Around all of a test, so that its time-out does not count what it waits for its turn."""
    with turn(alone=item.get_closest_marker("alone") is not None):
        return (yield)


def pytest_configure(config: pytest.Config) -> None:
    """Share locks, or watch: processes that are started to run tests do so by themselves."""
    if getattr(config.option, "numprocesses", None):
        stack = ExitStack()
        stack.enter_context(share())
        config.add_cleanup(stack.close)
    else:
        watch_programs()


@pytest.fixture(autouse=True)
def nothing_is_told(request: pytest.FixtureRequest) -> Iterator[None]:
    """Neither contents nor tokens nor secrets."""
    canary.begin()
    yield
    leaks = canary.leaks()
    assert not leaks, f"{request.node.nodeid} tells: {[leak[:500] for leak in leaks[:3]]}"
