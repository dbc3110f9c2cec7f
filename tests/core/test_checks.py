"""The door: each check just below, at and above its limit, and with wrong types."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from supersoniq.core import checks
from supersoniq.core.errors import InvalidArgument, InvalidName
from supersoniq.core.messages import Draft, prepare

NAN, INFINITY = float("nan"), float("inf")
WRONG: tuple[Any, ...] = (None, b"1", [], {}, object(), True, False, 1 + 2j, NAN)


def refused(check: Callable[..., object], *arguments: object) -> InvalidArgument:
    with pytest.raises(InvalidArgument) as caught:
        check(*arguments)
    assert caught.value.field
    assert str(caught.value)
    return caught.value


@pytest.mark.parametrize("name", ["a", "0", "Z" * 128, "a.b-c_d", "a..", "9-"])
def test_good_queue_names(name: str) -> None:
    assert checks.queue_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "a" * 129, ".a", "-a", "_a", "a b", "a/b", "a\n", "\n", "\u00e4", "a\0", "a:b", *WRONG],
)
def test_bad_queue_names(name: object) -> None:
    with pytest.raises(InvalidName) as caught:
        checks.queue_name(name)
    assert caught.value.field == "queue"


def test_priorities() -> None:
    for good in (-32768, -32767, 0, 32766, 32767):
        assert checks.priority(good) == good
    for bad in (-32769, 32768, 0.0, 1.5, 10**400, *WRONG):
        refused(checks.priority, bad)


@pytest.mark.parametrize(
    ("seconds", "ms"),
    [
        (0, 0), (0.0, 0), (-0.0, 0), (1, 1000), (0.001, 1), (0.0001, 1), (0.0011, 2), (1.1, 1100),
        (0.1, 100), (0.3, 300), (2.675, 2675), (timedelta(milliseconds=5), 5),
        (timedelta(microseconds=1), 1), (checks.MAX_DURATION, checks.MAX_DURATION * 1000),
        (0.0000001, 0),
    ],
)  # fmt: skip
def test_durations_become_milliseconds_rounded_up(seconds: object, ms: int) -> None:
    assert checks.duration("delay", seconds) == ms


@pytest.mark.parametrize(
    "seconds",
    [
        -0.001, -1, checks.MAX_DURATION + 0.001, INFINITY, -INFINITY, 10**400,
        timedelta(seconds=-1), timedelta.max, *WRONG,
    ],
)  # fmt: skip
def test_bad_durations(seconds: object) -> None:
    refused(checks.duration, "delay", seconds)


def test_durations_have_limits_of_their_own() -> None:
    assert checks.duration("lease", 0.1, 0.1, 5) == 100
    assert checks.duration("lease", 5, 0.1, 5) == 5000
    refused(checks.duration, "lease", 0.0999, 0.1, 5)
    refused(checks.duration, "lease", 5.0001, 0.1, 5)


def test_instants() -> None:
    last = 253_402_300_799_999
    for good in (0, 1, last):
        assert checks.instant("until", good) == good
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    assert checks.instant("until", moment) == 1_767_225_600_000
    for bad in (-1, last + 1, 1.5, datetime(2026, 1, 1), datetime(1960, 1, 1, tzinfo=UTC), *WRONG):
        refused(checks.instant, "until", bad)


def test_labels() -> None:
    for good in ("a", "x" * 10, "\u00e4 \N{SNOWMAN}"):
        assert checks.label("key", good, 10) == good
    for bad in ("", "x" * 11, "a\0", "a\n", "\x7f", "\ud800", "a\udfff", *WRONG):
        refused(checks.label, "key", bad, 10)


def test_reasons() -> None:
    assert checks.reason(None) is None
    assert checks.reason("") is None
    assert checks.reason("line\nline") == "line\nline"
    assert checks.reason("x" * checks.MAX_REASON) == "x" * checks.MAX_REASON
    wrong: tuple[Any, ...] = ("x" * (checks.MAX_REASON + 1), "\ud800", 1, b"x", [], True)
    for bad in wrong:
        refused(checks.reason, bad)


def test_content_types() -> None:
    for good in ("a", "text/plain; charset=utf-8", "x" * 255):
        assert checks.content_type(good) == good
    for bad in ("", " a", "a\n", "\u00e4", "x" * 256, *WRONG):
        refused(checks.content_type, bad)


def test_headers() -> None:
    assert checks.headers(None) is None
    assert checks.headers({}) is None
    given = {"a": "", "\N{SNOWMAN}": "x y"}
    kept = checks.headers(given)
    given["later"] = "1"
    assert kept == {"a": "", "\N{SNOWMAN}": "x y"}
    many = {f"h{n}": "" for n in range(checks.MAX_HEADERS)}
    assert checks.headers(many) == many
    refused(checks.headers, {**many, "one more": ""})
    full = {"a": "x" * (checks.MAX_HEADERS_SIZE - 1)}
    assert checks.headers(full) == full
    refused(checks.headers, {"ab": "x" * (checks.MAX_HEADERS_SIZE - 1)})
    wrong: list[Any] = ["a", ["a"], {1: "a"}, {"a": 1}, {"a": None}, {"": "a"}, {"a\n": "b"}, 5]
    for bad in (*wrong, {"a": "b\0"}, {"a": "\ud800"}, {"x" * 257: "a"}, {b"a": "b"}):
        refused(checks.headers, bad)


def test_contents_that_cannot_be_are_refused() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    for bad in (NAN, [INFINITY], {"a": object()}, "\ud800", ["\ud800"], {1, 2}, deep, {(1,): 2}):
        refused(prepare, bad)
    while deep:  # taken apart by hand: freeing it in one go would overflow the stack too
        deep = deep[0]


@pytest.mark.parametrize(
    "options",
    [
        {"priority": 32768}, {"priority": True}, {"delay": -1}, {"delay": NAN}, {"ttl": 0},
        {"ttl": -1}, {"ttl": 0.0000001}, {"key": ""}, {"key": "x" * 257}, {"sender": "x" * 257},
        {"recipient": ""}, {"recipient": 5}, {"headers": []}, {"content_type": ""},
    ],
)  # fmt: skip
def test_a_draft_checks_every_option(options: dict[str, Any]) -> None:
    assert refused(lambda: Draft(b"x", **options)).field.partition("[")[0] == next(iter(options))


def test_errors_are_short_whatever_was_given() -> None:
    for monster in ("x" * 10_000, b"y" * 10_000, 10**5000, ["z"] * 9999):
        error = refused(checks.priority, monster)
        assert len(str(error)) < 300
