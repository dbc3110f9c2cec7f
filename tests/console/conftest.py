"""A server, and Chromium before its console. What goes wrong in a page fails its test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.clients.browser import CHROMIUM, browsing
from tests.clients.served import PATIENCE, Served, served

Visit = Callable[..., Page]
UNKNOWN = "\N{EN DASH}"
"""What stands for a figure that is not known."""
expect.set_options(timeout=PATIENCE * 1000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    skip = pytest.mark.skip(reason="there is no chromium: make test-tools installs it")
    for item in items:
        if CHROMIUM is None and "tests/console" in item.path.as_posix():
            item.add_marker(skip)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One for all of these tests: each has queues of its own."""
    with served(tmp_path_factory.mktemp("served"), "--backend", "memory://") as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as tools, browsing(tools) as browser:
        yield browser


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Open the console of a URL at an address, such as ``#/q/emails``, in a window of its own."""
    contexts = []
    wrong: list[str] = []

    def visit(url: str, address: str = "", **options: Any) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE * 1000)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("console", lambda told: wrong.extend(complaints(told)))
        page.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}"))
        page.goto(f"{url}/console{address}")
        return page

    yield visit
    for context in contexts:
        context.close()
    assert wrong == []


def complaints(told: ConsoleMessage) -> list[str]:
    """What a browser complains of: not that a server cannot be reached, which tests bring about."""
    network = ("Failed to load resource", "WebSocket connection to")
    return [] if told.type != "error" or told.text.startswith(network) else [told.text]


@contextmanager
def asked(page: Page, title: str) -> Iterator[Any]:
    """The dialog of that title, which is there, and gone at the end."""
    dialog = page.get_by_role("dialog", name=title)
    dialog.wait_for()
    yield dialog
    dialog.wait_for(state="detached")
