"""Every error has its status and its document, and survives the journey."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest

import supersoniq
from supersoniq import SupersoniqError
from supersoniq.adapters import create_app
from supersoniq.adapters.http.deadlines import Deadlines
from supersoniq.adapters.http.problems import STATUS, problem_of
from supersoniq.core.errors import error_from_data
from tests import steady

SAMPLES: dict[str, Any] = {"retry_after": 2.5, "size": 1, "limit": 2, "length": 3, "value": "x"}


def kinds(base: type[SupersoniqError] = SupersoniqError) -> Iterator[type[SupersoniqError]]:
    for child in base.__subclasses__():
        if child.fields:
            yield child
        yield from kinds(child)


@pytest.mark.parametrize("kind", sorted(kinds(), key=str), ids=lambda kind: str(kind.code))
def test_every_error_travels(kind: type[SupersoniqError]) -> None:
    error = kind(**{name: SAMPLES.get(name, name) for name in kind.fields})
    problem = problem_of(error)
    document = json.loads(msgspec.json.encode(problem))
    assert document["type"].rpartition(":")[2] == document["code"] == kind.code
    closed = kind is supersoniq.Closed  # which tells a program to open it
    assert document["detail"] == ("what is going away; come back" if closed else str(error))
    assert document["status"] in set(STATUS.values())
    if document["status"] >= 500:
        assert issubclass(
            kind,
            supersoniq.BackendUnavailable
            | supersoniq.OutcomeUnknown
            | supersoniq.Closed
            | supersoniq.ConfigurationError,
        )
    rebuilt = error_from_data(document["code"], document["data"], document["detail"])
    assert type(rebuilt) is kind
    assert rebuilt.data == error.data
    headers = dict(problem.headers())
    assert (b"retry-after" in headers) == document["retry"]
    assert document["retry"] or not kind.retry


def test_how_errors_of_the_store_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with supersoniq.connect("memory://") as broker:
            transport = httpx.ASGITransport(create_app(broker))
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                for error, status in (
                    (supersoniq.BackendUnavailable("down"), 503),
                    (supersoniq.StorageFull("full"), 507),
                    (supersoniq.OutcomeUnknown("who knows"), 504),
                    (supersoniq.RateLimited(2.5), 429),
                    (supersoniq.PermissionDenied("no"), 403),
                ):

                    async def fail(op: object, error: Exception = error) -> None:
                        raise error

                    monkeypatch.setattr(broker.engine, "direct", None)
                    monkeypatch.setattr(broker.engine, "call", fail)
                    answer = await client.post("/messages", json={"content": 1})
                    assert answer.status_code == status
                    assert answer.json()["code"] == error.code
                    if error.retry:
                        assert answer.headers["retry-after"] == ("3" if status == 429 else "1")
                    if status == 503:
                        assert (await client.get("/health/ready")).status_code == 503
                        assert (await client.get("/health/live")).status_code == 200

    asyncio.run(main())


def test_a_bug_is_a_problem_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with supersoniq.connect("memory://") as broker:
            transport = httpx.ASGITransport(create_app(broker))
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:

                async def fail(op: object) -> None:
                    raise ZeroDivisionError("secret")

                monkeypatch.setattr(broker.engine, "direct", None)
                monkeypatch.setattr(broker.engine, "call", fail)
                with caplog.at_level(logging.ERROR, "supersoniq.http"):
                    answer = await client.post("/messages", json={"content": 1})
                assert answer.status_code == 500
                assert answer.json()["code"] == "internal-error"
                assert "secret" not in answer.text
                assert "secret" in caplog.text

    asyncio.run(main())


def test_deadlines() -> None:
    async def main() -> None:
        deadlines = Deadlines(1.0)
        loop = asyncio.get_running_loop()

        async def late(begin: float) -> float:
            await asyncio.sleep(begin)
            begun = loop.time()
            with pytest.raises(TimeoutError), deadlines():
                await asyncio.sleep(60)
            return loop.time() - begun

        async def in_time() -> None:
            for _ in range(20):
                with deadlines():
                    await asyncio.sleep(0.01)

        late_ones = [late(n * 0.02) for n in range(5)]
        took, _ = await asyncio.gather(asyncio.gather(*late_ones), in_time())
        assert min(took) > 0.99

        # Somebody else's cancellation stays one.
        async def wait() -> None:
            with deadlines():
                await asyncio.sleep(5)

        task = asyncio.ensure_future(wait())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    steady.run(main())
    steady.run(main())  # in another loop


def test_a_deadline_begins_only_where_something_is_waited_for() -> None:
    async def main() -> None:
        deadlines = Deadlines(0.5)

        async def slow(seconds: float, result: str = "done") -> str:
            for _ in range(3):
                await asyncio.sleep(seconds / 3)
            return result

        async def broken(seconds: float) -> str:
            if seconds:
                await asyncio.sleep(seconds)
            raise KeyError(seconds)

        async def stubborn() -> str:
            try:
                await asyncio.sleep(5)
            except asyncio.CancelledError:
                return await slow(0.003, "saved")
            return "never"

        async def at_once() -> str:
            return "at once"

        assert await deadlines.within(at_once()) == "at once"
        assert await deadlines.within(slow(0.003)) == "done"
        for wait in (0, 0.003):
            with pytest.raises(KeyError):
                await deadlines.within(broken(wait))
        with pytest.raises(TimeoutError):
            await deadlines.within(slow(5))
        assert await deadlines.within(stubborn()) == "saved"  # as within asyncio.timeout
        current = asyncio.current_task()
        assert current is not None
        assert not current.cancelling()

        # Somebody else's cancellation stays one, and reaches what is waited for.
        seen: list[str] = []

        async def notices() -> None:
            try:
                await asyncio.sleep(5)
            finally:
                seen.append("ended")

        task = asyncio.ensure_future(Deadlines(60).within(notices()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert seen == ["ended"]

    steady.run(main())
