"""Every argument of every call, out of its range: a clear error, and nothing has changed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

import supersoniq
from supersoniq.core import checks

NAN = float("nan")
CYCLE: list[Any] = []
CYCLE.append(CYCLE)
DEEP: Any = 0
for _ in range(100_000):
    DEEP = [DEEP]

Call = Callable[[supersoniq.Queue], Awaitable[object]]

DURATIONS = [-1, -0.001, NAN, float("inf"), checks.MAX_DURATION + 1, "1", True, 10**400]
LABELS = ["", "x" * 257, "a\nb", "nul\0", "\ud800", 7, b"bytes"]
BAD: dict[str, list[Any]] = {
    "content": [object(), {1, 2}, CYCLE, DEEP, NAN, {"a": NAN}, "\ud800", {"a": object()}],
    "priority": [-32769, 32768, 1.0, "1", True, None, 10**400],
    "delay": [*DURATIONS, None],
    "ttl": [*DURATIONS, 0],
    "key": LABELS,
    "sender": LABELS,
    "recipient": LABELS,
    "headers": [
        [],
        "",
        {"a": 1},
        {1: "a"},
        {"": "a"},
        {"a": "b\r\nc"},
        {"a": "\udfff"},
        {str(n): "x" for n in range(65)},
        {"a": "x" * 16_384},
        {"x" * 257: "a"},
    ],
    "content_type": ["", "a\nb", "ü/x", "x" * 257, 7, b"text/plain"],
}


def refuse(url: str, call: Call, *kinds: type[supersoniq.SupersoniqError]) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            queue = broker.queue("q", max_content=100, max_length=5)
            await queue.publish("kept", key="k")
            before = (await queue.stats(), await queue.browse(), await queue.policy())
            with pytest.raises(kinds or supersoniq.InvalidArgument) as caught:
                await call(queue)
            assert str(caught.value)
            assert len(str(caught.value)) < 400, "an error must not quote all of its value"
            assert (await queue.stats(), await queue.browse(), await queue.policy()) == before
            await queue.publish("still works")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("field", "value"),
    [(field, value) for field, values in BAD.items() for value in values],
    ids=lambda value: value if isinstance(value, str) and value in BAD else "",
)
@pytest.mark.parametrize("batch", [False, True])
def test_publish(url: str, field: str, value: Any, batch: bool) -> None:
    options = {"content": "x", field: value}

    async def call(queue: supersoniq.Queue) -> None:
        if batch:
            await queue.publish_many(["fine", supersoniq.Draft(**options)])
        else:
            await queue.publish(**options)

    refuse(url, call)


def test_an_unknown_option_is_refused(url: str) -> None:
    refused = False

    async def main() -> None:
        nonlocal refused
        async with supersoniq.connect(url) as broker:
            try:
                await broker.queue("q").publish("x", prio=1)  # type: ignore[call-arg]  # on purpose
            except TypeError:
                refused = True

    asyncio.run(main())
    assert refused


@pytest.mark.parametrize(
    ("call", "kinds"),
    [
        (lambda q: q.publish("x" * 101), [supersoniq.ContentTooLarge]),
        (lambda q: q.publish_many(["a", "x" * 101]), [supersoniq.ContentTooLarge]),
        (lambda q: q.publish_many(["x"] * 5), [supersoniq.QueueFull]),
        (lambda q: q.publish("other", key="k"), [supersoniq.KeyConflict]),
        (lambda q: q.publish_many(["a", supersoniq.Draft("b", key="k")]), [supersoniq.KeyConflict]),
        (
            lambda q: q.publish_many(
                [supersoniq.Draft("a", key="n"), supersoniq.Draft("b", key="n")]
            ),
            [supersoniq.KeyConflict],
        ),
        (lambda q: q.publish_many(["x"] * 10_001), []),
        (lambda q: q.get(-1), []),
        (lambda q: q.get("1"), []),
        (lambda q: q.get(0, lease=0.09), []),
        (lambda q: q.get(0, lease=43_200.1), []),
        (lambda q: q.get(0, recipient=""), []),
        (lambda q: q.get_many(0, 0), []),
        (lambda q: q.get_many(10_001, 0), []),
        (lambda q: q.get_many(True, 0), []),
        (lambda q: q.message("nonsense"), [supersoniq.InvalidId]),
        (lambda q: q.message(7), [supersoniq.InvalidId]),
        (
            lambda q: q.message("00000000-0000-4000-8000-000000000000"),
            [supersoniq.InvalidId],
        ),
        (
            lambda q: q.message("018bcfe5-6800-7435-9b7d-770000000001"),
            [supersoniq.MessageNotFound],
        ),
        (lambda q: q.explain("x"), [supersoniq.InvalidId]),
        (lambda q: q.cancel("x"), [supersoniq.InvalidId]),
        (lambda q: q.browse("reddy"), []),
        (lambda q: q.browse(after="x"), [supersoniq.InvalidId]),
        (lambda q: q.browse(limit=0), []),
        (lambda q: q.browse(limit=10_001), []),
        (lambda q: q.redrive("x"), [supersoniq.InvalidId]),
        (lambda q: q.redrive(limit=0), []),
        (lambda q: q.purge("leased"), [supersoniq.IllegalMove]),
        (lambda q: q.purge("x"), []),
        (lambda q: q.pause(-1), []),
        (lambda q: q.pause("soon"), []),
        (lambda q: q.pause(datetime(2030, 1, 1)), []),
        (lambda q: q.pause(timedelta(-1)), []),
        (lambda q: q.configure(colour="red"), [supersoniq.InvalidPolicy]),
    ],
)
def test_other_calls(url: str, call: Call, kinds: list[type[supersoniq.SupersoniqError]]) -> None:
    refuse(url, call, *kinds)


POLICY: dict[str, list[Any]] = {
    "lease": [0.09, 43_200.1, "30", None, True, NAN],
    "max_deliveries": [-1, 1_000_001, 1.5, None, True],
    "backoff": ["1", None, -1, {"first": 1}, {"factor": 0.5}, {"initial": 2, "maximum": 1}, []],
    "dedup_window": [-1, NAN, None],
    "keep_done": [-1, NAN, None],
    "keep_dead": [-1, NAN, None],
    "max_length": [0, -1, 1.5, True],
    "max_content": [0, 2**30 + 1, None],
    "on_expiry": ["drops", None, 1],
}


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in POLICY.items() for value in values]
)
def test_policy(url: str, field: str, value: Any) -> None:
    refuse(url, lambda q: q.configure(lease=5, **{field: value}), supersoniq.InvalidPolicy) if (
        field != "lease"
    ) else refuse(url, lambda q: q.configure(**{field: value}), supersoniq.InvalidPolicy)

    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            with pytest.raises(supersoniq.InvalidPolicy):
                broker.queue("new", **{field: value})
            assert "new" not in await broker.queues()

    asyncio.run(main())


@pytest.mark.parametrize("name", ["", "-a", ".a", "a b", "a/b", "ä", "a" * 129, "a\n", 7, None])
def test_queue_names(url: str, name: Any) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            with pytest.raises(supersoniq.InvalidName):
                broker.queue(name)
            with pytest.raises(supersoniq.InvalidName):
                await broker.delete_queue(name)

    asyncio.run(main())


def test_the_limits_themselves_are_taken(url: str) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            queue = broker.queue("a" * 128, max_content=100, lease=43_200, keep_dead=0)
            await queue.publish(
                b"x" * 100,
                priority=32767,
                delay=checks.MAX_DURATION,
                ttl=timedelta(seconds=checks.MAX_DURATION),
                key="k" * 256,
                sender="ß" * 256,
                recipient="r" * 256,
                headers={"x" * 256: "y" * 100, **{str(n): "" for n in range(63)}},
                content_type="a/" + "b" * 253,
            )
            await queue.publish(None, priority=-32768, delay=0.0001, ttl=0.0001, headers={})
            (first, *_) = await queue.browse()
            assert first.priority == 32767
            assert len(first.headers) == 64
            assert await broker.queue("9.-_").get(0) is None

    asyncio.run(main())
