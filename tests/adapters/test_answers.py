"""Large answers that nobody reads take a bounded room, and small ones are always given."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

import supersoniq
from supersoniq.adapters import create_app
from supersoniq.adapters.http.answers import SMALL, Answers
from supersoniq.adapters.http.exchange import PIECE
from supersoniq.adapters.http.problems import Refusal

MIB = 1024 * 1024


def test_room_shrinks_as_answers_wait_and_small_ones_are_always_given() -> None:
    answers = Answers(8 * MIB)
    assert answers.room(MIB) == MIB
    assert answers.room(100 * MIB) == 2 * MIB
    answers.size = 4 * MIB
    assert answers.room(100 * MIB) == MIB
    answers.size = 8 * MIB
    assert answers.room(100 * MIB) == SMALL
    answers.admit(SMALL)
    with pytest.raises(Refusal) as refused:
        answers.admit(SMALL + 1)
    problem = refused.value.problem
    assert (problem.status, problem.code, problem.retry) == (503, "too-busy", True)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_what_nobody_reads_is_bounded_and_then_refused(kind: str, tmp_path: Path) -> None:
    url = "memory://" if kind == "memory" else f"sqlite:///{tmp_path}/store.db"

    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            for n in range(20):
                await broker.queue().publish(b"%d" % n + bytes(MIB // 2), content_type="x/y")
            app = create_app(broker, max_answer=2 * MIB, max_answers=4 * MIB)
            go = asyncio.Event()
            statuses: list[int] = []
            sizes: list[int] = []

            async def stuck(method: str, path: str, body: bytes) -> None:
                told = iter(({"type": "http.request", "body": body, "more_body": False},))

                async def receive() -> dict[str, Any]:
                    for message in told:
                        return message
                    await asyncio.Event().wait()
                    raise AssertionError

                async def send(message: Any) -> None:
                    if message["type"] == "http.response.start":
                        statuses.append(message["status"])
                    else:
                        sizes.append(len(message["body"]))
                        assert sizes[-1] <= PIECE
                        if sizes[-1] > 10_000:
                            await go.wait()

                path, _, query = path.partition("?")
                scope: dict[str, Any] = {
                    "type": "http",
                    "method": method,
                    "path": path,
                    "headers": [],
                }
                scope |= {"query_string": query.encode(), "root_path": "", "http_version": "2"}
                await app({**scope, "scheme": "http", "server": None}, receive, send)

            ask = [("GET", "/messages?limit=20", b"")] * 12
            ask += [("POST", "/queues/default/leases", b'{"limit": 20, "wait": 0}')] * 12
            tasks = [asyncio.ensure_future(stuck(*each)) for each in ask]
            async with asyncio.timeout(20):
                while len(statuses) < len(ask):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            assert set(statuses) == {200, 503}
            assert sum(sizes) < 8 * MIB
            # What is small is there for everybody, and so is settling and publishing.
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
                assert (await client.get("/queues/default/stats")).status_code == 200
                assert (await client.post("/messages", json={"content": 1})).status_code == 201
                small = "/queues/small"
                await client.post(f"{small}/messages", json={"content": "x"})
                held = await client.post(f"{small}/leases", json={"limit": 10, "wait": 5})
                assert [each["content"] for each in held.json()] == ["x"]
                assert len((await client.get(f"{small}/messages")).json()) == 1
                refused = await client.get("/messages")
                assert refused.status_code == 503
                assert refused.headers["retry-after"] == "1"
            go.set()
            await asyncio.gather(*tasks)
            assert app.service.answers.size == 0
            async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
                assert (await client.get("/messages")).status_code == 200
            kept = (await broker.queue().stats()).leased
            assert kept * MIB // 2 < 8 * MIB  # what was refused was not kept

    asyncio.run(main())


def test_a_page_is_the_same_however_it_is_read(tmp_path: Path) -> None:
    async def pages(url: str) -> list[list[str]]:
        async with supersoniq.connect(url) as broker:
            for n in range(150):
                await broker.queue().publish("x" * (n * 50))
            app = create_app(broker, max_answer=100_000)
            transport = httpx.ASGITransport(app=app)
            found = []
            async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
                path: str | None = "/messages?limit=70"
                while path is not None:
                    answer = await client.get(path)
                    found.append([each["content"] for each in answer.json()])
                    path = answer.links["next"]["url"] if answer.links else None
            return found

    memory = asyncio.run(pages("memory://"))
    assert [text for page in memory for text in page] == ["x" * (n * 50) for n in range(150)]
    assert asyncio.run(pages(f"sqlite:///{tmp_path}/store.db")) == memory
