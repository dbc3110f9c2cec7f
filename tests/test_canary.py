"""The search for what must not be told finds it, wherever it is told."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Status, StatusCode
from prometheus_client.core import CounterMetricFamily

from supersoniq import BackendUnavailable, Draft, InvalidSetting
from supersoniq.adapters.http.problems import Refusal
from supersoniq.adapters.ws.farewell import BAD_FRAME
from supersoniq.observe.families import OPENMETRICS, text
from supersoniq.observe.logs import event
from supersoniq.registry import find_backend
from tests.auth import tokens
from tests.canary import Canary, canary

CONTENT = "order-17-of-ada@example.com"
PASSWORD = "correct-horse-battery"
LOG = logging.getLogger("supersoniq.somewhere")
TRACER = TracerProvider().get_tracer("test")


@pytest.fixture(autouse=True)
def on_purpose(nothing_is_told: None) -> Iterator[None]:
    yield
    canary.forgive()


def failing(told: str) -> Exception:
    """An error whose cause tells it, in a group."""
    try:
        try:
            raise ExceptionGroup("several", [OSError(told)])
        except ExceptionGroup as group:
            raise RuntimeError("no more than that") from group
    except RuntimeError as error:
        return error


def span(told: str, where: str) -> None:
    with TRACER.start_as_current_span(told if where == "name" else "plain") as made:
        if where == "attribute":
            made.set_attribute("messaging.body", told)
        elif where == "event":
            made.add_event("failed", {"what": told})
        elif where == "exception":
            made.record_exception(RuntimeError(told))
        elif where == "status":
            made.set_status(Status(StatusCode.ERROR, told))


def scrape(told: str) -> None:
    family = CounterMetricFamily("supersoniq_x", "Some.", labels=["queue"])
    family.add_metric([told], 1)
    text([family], OPENMETRICS)


TELLS: dict[str, Callable[[str], object]] = {
    "debug": lambda told: LOG.debug("told: %s", told),
    "field": lambda told: event(LOG, logging.INFO, "told", "something", what=told),
    "traceback": lambda told: LOG.error("it failed", exc_info=failing(told)),
    "other log": lambda told: logging.getLogger("asyncio").warning("never retrieved: %s", told),
    "error": BackendUnavailable,
    "error of its own making": lambda told: InvalidSetting("limit", told, "takes a number"),
    "problem": lambda told: Refusal(404, f"there is nothing at {told}"),
    "farewell": lambda told: BAD_FRAME.because(f"a frame {told}"),
    "metric": scrape,
    **{
        f"span's {where}": lambda told, where=where: span(told, where)  # type: ignore[misc]
        for where in ("name", "attribute", "event", "exception", "status")
    },
}


@pytest.mark.parametrize("where", TELLS)
def test_a_content_is_found_wherever_it_is_told(where: str) -> None:
    tell, content = TELLS[where], f"{''.join(filter(str.isalpha, where))}-{CONTENT}"
    tell(content)
    assert canary.leaks() == [], "nobody has published it"
    Draft({"to": content})
    tell("something else")
    assert canary.leaks() == []
    tell(content)
    (leak,) = canary.leaks()
    assert content in leak


@pytest.mark.parametrize(
    "told",
    [
        f"Authorization: Bearer {tokens.good()}",
        f"the key is {tokens.SECRET.decode()}",
        f"the key is {tokens.private(tokens.ED)}",
        f"redis://anna:{PASSWORD}@queue.example",
    ],
)
def test_a_secret_is_found(told: str) -> None:
    tokens.verifier()
    with pytest.raises(InvalidSetting):
        find_backend(f"redis://anna:{PASSWORD}@queue.example", nonsense=True)
    assert canary.leaks() == []
    LOG.debug(told)
    assert len(canary.leaks()) == 1


PROGRAM = """
import asyncio, logging, sys
import supersoniq

async def main():
    async with supersoniq.connect("memory://") as broker:
        await broker.queue("q").publish(b"parcel-9-for-bob@example.com")

asyncio.run(main())
logging.getLogger("supersoniq.x").debug("%s", "parcel-9-for-bob@example.com")
for stream in (sys.stderr, sys.stdout):
    print(f"{stream.name}: parcel-9-for-bob@example.com", file=stream)
"""


@pytest.mark.parametrize("serve", [False, True], ids=["program", "server"])
def test_programs_that_are_started_are_watched(serve: bool) -> None:
    """What a server says on standard output is of its own; what ``consume`` does is the content."""
    command = [sys.executable, "-c", PROGRAM, *(["serve"] if serve else [])]
    done = subprocess.run(command, capture_output=True, check=True, text=True, env={"HOME": "/"})
    assert done.stderr == "<stderr>: parcel-9-for-bob@example.com\n"
    leaks = {leak.partition(":")[0] for leak in canary.leaks()}
    assert leaks == {"supersoniq.x", "<stderr>", *(["<stdout>"] if serve else [])}


@pytest.mark.parametrize("content", ["x", b"\x00", {"n": 1}, b"ab" * 500])
def test_a_content_that_is_any_word_is_found_as_bytes(content: Any) -> None:
    entry = Draft(content).entry
    LOG.debug("a client sent %s", content if isinstance(content, str) else "something")
    assert canary.leaks() == []
    for told in (entry, entry.content, {"content": entry.content}):
        canary.forgive()
        LOG.debug("stored: %s", told)
        assert len(canary.leaks()) == 1


def test_what_is_found_by_chance_is_no_leak() -> None:
    one = Canary()
    for content in (b"x" * 5000, "a b c", 12345678901, {"n": None}, object()):
        one.content(content)
    one.secret("short")
    one.told("x" * 5000)
    one.told("queue 'emails' is full: short 12345678901 {'n': None}")
    assert one.leaks() == []


def test_a_word_of_the_programs_own_is_no_leak() -> None:
    """Such as a field's name, that somebody publishes: errors tell it."""
    one = Canary()
    one.content({"max_content": 10})
    one.told("no such field; a policy has: max_length, max_content")
    assert one.leaks() == []


def test_nothing_is_forgotten_for_being_much() -> None:
    one = Canary()
    one.content(CONTENT)
    one.told(f"first: {CONTENT}")
    for number in range(6):
        one.told(f"{number}" * (1 << 20))
    assert one.leaks() == [f"first: {CONTENT}"]
    one.begin()
    one.told(f"late: {CONTENT}")
    assert one.leaks() == [f"late: {CONTENT}"], "by a server that outlives its test"
    one.begin()
    one.told(CONTENT)
    assert one.leaks() == []
