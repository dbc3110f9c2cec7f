"""Lines of log: their form, whose request they name, and that nobody can flood them."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

import supersoniq
from supersoniq.adapters import create_app
from supersoniq.core.errors import BackendUnavailable
from supersoniq.core.ops import AnyOp
from supersoniq.observe import Meter, logs
from supersoniq.observe.events import Narrator, Obituaries
from supersoniq.observe.logs import BURST, Limiter, as_json, as_text, request_id, within
from supersoniq.port import Result
from tests.observe.scraping import app

log = logging.getLogger("supersoniq.test")
Records = list[logging.LogRecord]


def record(text: str, *values: Any, level: int = logging.WARNING, **more: Any) -> logging.LogRecord:
    made = logging.LogRecord("supersoniq.x", level, "x.py", 1, text, values, None)
    vars(made).update(more)
    return made


def named(records: Records, name: str) -> list[dict[str, Any]]:
    """The fields of all lines on an event."""
    return [vars(each)["fields"] for each in records if getattr(each, "event", None) == name]


def test_a_line_is_one_line_whatever_is_in_it() -> None:
    odd = 'a\nb\r\x1b[31m\u2028 "c" = d'
    made = record("it was %s", odd, event="odd", fields={"what": odd, "count": 3})
    told = json.loads(as_json(made))
    assert told["message"] == f"it was {odd}"
    assert (told["what"], told["count"], told["event"]) == (odd, 3, "odd")
    assert (told["level"], told["logger"]) == ("warning", "supersoniq.x")
    assert told["time"].endswith("Z")
    for text in (as_json(made), as_text(made)):
        assert text.splitlines() == [text]
        assert "\x1b" not in text
    assert as_text(record("plain %d", 1, fields={"queue": "q"}, event="e")) == (
        "WARNING: plain 1 queue=q"
    )
    assert as_text(record("x", fields={"tcp": ["a", "b"]}, event="e")) == 'WARNING: x tcp="a, b"'


def test_a_bug_brings_its_traceback() -> None:
    try:
        raise KeyError("x")
    except KeyError as error:
        made = record("a bug", exc_info=(KeyError, error, error.__traceback__))
    assert "KeyError: 'x'" in json.loads(as_json(made))["exception"]
    assert as_text(made).splitlines()[-1] == "KeyError: 'x'"


def test_what_comes_too_often_is_counted() -> None:
    now = 100.0
    limiter = Limiter(lambda: now)
    written = [limiter.filter(record("again %d", number)) for number in range(BURST + 30)]
    assert written == [True] * BURST + [False] * 30
    assert limiter.filter(record("something else"))
    assert limiter.filter(record("again %d", 1, level=logging.ERROR)), "errors are always told"
    now += logs.PAUSE
    made = record("again %d", 0)
    assert limiter.filter(made)
    assert json.loads(as_json(made))["omitted"] == 30
    assert not limiter.filter(record("again %d", 0))
    now += 1000 * logs.PAUSE
    assert [limiter.filter(record("again %d", 0)) for _ in range(BURST + 1)][-1] is False


def test_kinds_of_lines_are_forgotten_in_the_end() -> None:
    limiter = Limiter()
    for number in range(logs.KINDS * 2):
        assert limiter.filter(record(f"text {number}"))
    assert len(limiter._kinds) == logs.KINDS


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (b"order-17.a_B", True),
        (b"x" * 64, True),
        (b"x" * 65, False),
        (b"", False),
        (b"a b", False),
        (b"a\nb", False),
        (b'a"b', False),
        ("ä".encode(), False),
    ],
)
def test_a_request_is_called_as_its_client_says_or_anew(given: bytes, kept: bool) -> None:
    scope: dict[str, Any] = {"headers": [(b"x-request-id", given)]}
    found = request_id(scope)
    assert (found == given.decode(errors="replace")) is kept
    assert request_id(scope) == found
    assert request_id({"headers": []}) != request_id({"headers": []})


def test_every_line_of_a_request_names_it() -> None:
    scope: dict[str, Any] = {"headers": [(b"x-request-id", b"order-17")]}
    with within(scope):
        assert json.loads(as_json(record("x")))["request"] == "order-17"
        assert as_text(record("x")) == "WARNING: x request=order-17"
    assert "request" not in json.loads(as_json(record("x")))


class Kept(logging.Handler):
    """Keeps lines as they are written, in the context of whoever wrote them."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(as_json(record)))


def test_a_batch_belongs_to_no_request(tmp_path: Path) -> None:
    """Else a slow commit would be laid at the door of whoever came first."""
    kept = Kept()
    log = logging.getLogger("supersoniq.store")
    log.addHandler(kept)

    async def main() -> None:
        async with app(f"sqlite:///{tmp_path}/store.db") as (client, broker):
            await client.get("/queues")

            async def sick(batch: Sequence[AnyOp]) -> list[Result]:
                raise BackendUnavailable("it is sick")

            coalescer = broker.engine._coalescer
            execute, coalescer.execute = coalescer.execute, sick
            broker.observe(Narrator())
            await client.get("/queues", headers={"x-request-id": "one"})
            coalescer.execute = execute

    try:
        asyncio.run(main())
    finally:
        log.removeHandler(kept)
    (line,) = [line for line in kept.lines if line["event"] == "store-failed"]
    assert line["error"] == "backend-unavailable"
    assert "request" not in line


def test_what_is_done_to_queues_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "supersoniq")

    async def main() -> None:
        async with app() as (client, _):
            await client.get("/queues")  # as a server does when it starts
            await client.post("/queues/q/messages", json=[{"content": 1}, {"content": 2}])
            await client.post("/queues/q/messages", json={"content": 3})
            await client.put("/queues/q", json={"lease": 5})
            await client.put("/queues/new")
            await client.post("/queues/q/pause")
            await client.post("/queues/q/resume")
            await client.post("/queues/q/purge")
            await client.post("/queues/q/redrive")
            await client.post("/queues/none/purge")
            await client.delete("/queues/q")
            await client.post("/queues/q/messages", json={"content": 4})

    asyncio.run(main())
    records = caplog.records
    assert [each["queue"] for each in named(records, "queue-new")] == ["default", "q", "new", "q"]
    assert named(records, "queue-configured") == [{"queue": "q", "changes": ["lease"]}]
    assert named(records, "queue-paused") == named(records, "queue-resumed") == [{"queue": "q"}]
    (purged,) = named(records, "queue-purged")
    assert purged["messages"] == 3
    assert named(records, "queue-deleted") == [{"queue": "q"}]


def test_slow_commits_and_failures_are_told(caplog: pytest.LogCaptureFixture) -> None:
    narrator = Narrator()
    narrator.batch(7, 0.2)
    narrator.batch(7, 1.5)
    narrator.failed(2, ValueError("of some content"))
    assert named(caplog.records, "commit-slow") == [{"seconds": 1.5, "operations": 7}]
    (failed,) = named(caplog.records, "store-failed")
    assert failed == {"error": "bug", "detail": "ValueError", "operations": 2}


def test_the_dead_are_told_by_queue(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        broker = supersoniq.connect("memory://")
        meter = Meter(broker)
        obituaries = Obituaries(meter.figures)
        async with broker:
            queue = broker.queue("q", max_deliveries=1, keep_dead=0.001)
            await queue.publish_many(range(3))
            obituaries.look(await broker.stats())
            for _ in range(2):
                delivery = await queue.get(0)
                assert delivery is not None
                await delivery.nack(reason="secret reason")
            await asyncio.sleep(0.01)  # forgotten dead ones have died, too
            obituaries.look(await broker.stats())
            obituaries.look(await broker.stats())

    asyncio.run(main())
    assert named(caplog.records, "messages-dead") == [{"queue": "q", "messages": 2, "dead": 0}]
    assert "secret reason" not in caplog.text


def test_refused_calls_are_told_without_their_tokens(caplog: pytest.LogCaptureFixture) -> None:
    from tests.auth import tokens

    caplog.set_level(logging.DEBUG)

    async def main() -> None:
        async with supersoniq.connect("memory://") as broker:
            served = create_app(broker, auth=tokens.verifier())
            transport = httpx.ASGITransport(served, client=("192.0.2.7", 5))
            async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
                for token in (tokens.good(scope="browse:q")[:-3], "canary", "a.canary.c"):
                    await client.get("/queues", headers={"authorization": f"Bearer {token}"})
                head = {"authorization": f"Bearer {tokens.good(scope='browse:q')}"}
                await client.post("/messages", json={"content": "canary"}, headers=head)

    asyncio.run(main())
    told = named(caplog.records, "call-refused")
    assert [each["error"] for each in told] == ["authentication-failed"] * 3 + ["permission-denied"]
    assert {each["client"] for each in told} == {"192.0.2.7"}
    text = "".join(as_json(each) for each in caplog.records)
    assert "canary" not in text
    assert "eyJ" not in text
