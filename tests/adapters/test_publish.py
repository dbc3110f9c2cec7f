"""Publishing over HTTP, and how content travels."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import pytest

import supersoniq
from supersoniq.adapters import create_app

Visit = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
NDJSON = {"content-type": "application/x-ndjson"}


def test_an_envelope(visit: Visit) -> None:
    async def main() -> None:
        async with visit() as client:
            envelope = {
                "content": {"to": "ada@example.com"},
                "priority": 5,
                "delay": 60,
                "ttl": 120.5,
                "key": "order-17",
                "sender": "shop",
                "recipient": "ada",
                "headers": {"trace": "abc"},
            }
            answer = await client.post("/queues/emails/messages", json=envelope)
            assert answer.status_code == 201
            told = answer.json()
            assert set(told) == {"id", "duplicate", "durability"}
            assert not told["duplicate"]
            assert answer.headers["location"] == f"/queues/emails/messages/{told['id']}"

            message = (await client.get(answer.headers["location"])).json()
            for field in ("content", "priority", "key", "sender", "recipient", "headers"):
                assert message[field] == envelope[field]
            assert message["status"] == "scheduled"
            assert message["content_type"] == "application/json"
            assert message["available_at"] - message["created_at"] == 60_000
            assert message["expires_at"] - message["created_at"] == 120_500

            again = await client.post("/queues/emails/messages", json=envelope)
            assert again.status_code == 200
            assert again.json() == {**told, "duplicate": True}
            assert again.headers["location"] == answer.headers["location"]

    asyncio.run(main())


def test_the_default_queue_is_always_there(visit: Visit) -> None:
    async def main() -> None:
        async with visit() as client:
            assert (await client.get("/messages")).json() == []
            assert (await client.get("/queues")).json() == ["default"]
            assert (await client.delete("/queues/default")).status_code == 204
            assert (await client.get("/stats")).json()["default"]["published"] == 0
            answer = await client.post("/messages", json={"content": "hello"})
            assert answer.headers["location"] == f"/messages/{answer.json()['id']}"
            by_name = await client.get(f"/queues/default{answer.headers['location']}")
            assert by_name.json() == (await client.get(answer.headers["location"])).json()

    asyncio.run(main())


CONTENTS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"content": value}, {"content": value, "content_type": "application/json"})
    for value in (None, True, 0, -1.5, 2**70, [], {}, {"a": [1, {"b": None}]}, ["é\n\u2028"])
] + [
    ({"content": "é\r\n"}, {"content": "é\r\n", "content_type": "text/plain; charset=utf-8"}),
    ({"content": ""}, {"content": "", "content_type": "text/plain; charset=utf-8"}),
    (
        {"content": "a string", "content_type": "application/json"},
        {"content": "a string", "content_type": "application/json"},
    ),
    (
        {"content": {"a": 1}, "content_type": "text/x-mine"},
        {"content": '{"a":1}', "content_type": "text/x-mine"},
    ),
    (
        {"content": "<a/>", "content_type": "image/svg+xml"},
        {"content_base64": "PGEvPg==", "content_type": "image/svg+xml"},
    ),
    (
        {"content_base64": "AP8="},
        {"content_base64": "AP8=", "content_type": "application/octet-stream"},
    ),
    (
        {"content_base64": "", "content_type": "text/plain"},
        {"content": "", "content_type": "text/plain"},
    ),
    # What is not what its media type says.
    (
        {"content_base64": "/w==", "content_type": "text/plain"},
        {"content_base64": "/w==", "content_type": "text/plain"},
    ),
    (
        {"content_base64": "YWI=", "content_type": "text/plain; charset=latin-1"},
        {"content_base64": "YWI=", "content_type": "text/plain; charset=latin-1"},
    ),
    (
        {"content_base64": "e2E=", "content_type": "application/json"},
        {"content_base64": "e2E=", "content_type": "application/json"},
    ),
    (
        {"content_base64": "Iv8i", "content_type": "application/json"},
        {"content_base64": "Iv8i", "content_type": "application/json"},
    ),
]


@pytest.mark.parametrize(("sent", "seen"), CONTENTS, ids=lambda value: json.dumps(value)[:40])
def test_content_comes_back_as_it_went(
    visit: Visit, sent: dict[str, Any], seen: dict[str, Any]
) -> None:
    async def main() -> None:
        async with visit() as client:
            answer = await client.post("/messages", json=sent)
            assert answer.status_code == 201
            message = (await client.get(answer.headers["location"])).json()
            names = {"content", "content_base64", "content_type"} & set(message)
            assert {name: message[name] for name in names} == seen
            leased = (await client.post("/queues/default/leases", json={})).json()[0]
            assert {name: leased[name] for name in names} == seen
            # Every byte, for those who need it.
            asked = {"content": "base64"}
            exact = (await client.get(answer.headers["location"], params=asked)).json()
            again = {k: exact[k] for k in ("content_base64", "content_type")}
            second = await client.post("/messages", json=again)
            twin = (await client.get(second.headers["location"], params=asked)).json()
            assert twin["content_base64"] == exact["content_base64"]
            # And what was seen can be sent.
            third = await client.post("/messages", json=seen)
            copy = (await client.get(third.headers["location"], params=asked)).json()
            assert copy["content_base64"] == exact["content_base64"]

    asyncio.run(main())


def test_the_same_content_from_python_has_the_same_key(url: str) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            transport = httpx.ASGITransport(create_app(broker))
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                value = {"a": [1, 1.5, 1e16, "é"], "b": None}
                first = await broker.queue("q").publish(value, key="k")
                spelt = '{ "key": "k", "content": {"a": [1, 1.50, 1e16, "\\u00e9"], "b": null} }'
                kind = {"content-type": "application/json"}
                answer = await client.post("/queues/q/messages", content=spelt, headers=kind)
                assert answer.status_code == 200
                assert answer.json()["id"] == first.id
                answer = await client.post(
                    "/queues/q/messages", json={"key": "k", "content": {"a": 2}}
                )
                assert answer.status_code == 409
                assert answer.json()["code"] == "key-conflict"
                assert answer.json()["data"] == {"queue": "q", "key": "k", "id": first.id}

    asyncio.run(main())


def test_any_other_type_is_the_content_itself(visit: Visit) -> None:
    async def main() -> None:
        async with visit() as client:
            query = {
                "priority": "-3",
                "delay": "1.5",
                "ttl": "60",
                "key": "k",
                "sender": "s",
                "recipient": "r",
                "headers.trace": "a b",
            }
            answer = await client.post(
                "/queues/q/messages",
                params=query,
                content=b"\x00\xff",
                headers={"content-type": "image/png"},
            )
            assert answer.status_code == 201
            message = (await client.get(answer.headers["location"])).json()
            assert base64.b64decode(message["content_base64"]) == b"\x00\xff"
            assert message["content_type"] == "image/png"
            assert message["priority"] == -3
            assert message["available_at"] - message["created_at"] == 1500
            assert message["headers"] == {"trace": "a b"}
            assert (message["key"], message["sender"], message["recipient"]) == ("k", "s", "r")

            untyped = await client.post("/messages", content=b"")
            message = (await client.get(untyped.headers["location"])).json()
            assert message["content_type"] == "application/octet-stream"
            assert message["content_base64"] == ""

    asyncio.run(main())


def test_an_array_is_all_or_nothing(visit: Visit) -> None:
    async def main() -> None:
        async with visit() as client:
            answer = await client.post(
                "/queues/q/messages",
                json=[{"content": 1, "key": "k"}, {"content": 1, "key": "k"}, {"content": "x"}],
            )
            assert answer.status_code == 201
            assert [each["duplicate"] for each in answer.json()] == [False, True, False]
            assert "location" not in answer.headers
            before = (await client.get("/stats")).json()

            bad = await client.post(
                "/queues/q/messages", json=[{"content": 1}, {"content": 2, "priority": 99999}]
            )
            assert bad.status_code == 400
            assert bad.json()["data"]["field"] == "[1].priority"
            conflict = await client.post(
                "/queues/q/messages", json=[{"content": 1}, {"content": 2, "key": "k"}]
            )
            assert conflict.status_code == 409
            assert (await client.get("/stats")).json() == before

            empty = await client.post("/queues/other/messages", json=[])
            assert (empty.status_code, empty.json()) == (200, [])
            duplicates = await client.post("/queues/q/messages", json=[{"content": 1, "key": "k"}])
            assert duplicates.status_code == 200

    asyncio.run(main())


def test_lines_are_published_in_batches(visit: Visit) -> None:
    async def main() -> None:
        async def body() -> AsyncIterator[bytes]:
            text = b"".join(b'{"content": %d, "key": "k%d"}\r\n\n' % (n, n % 6) for n in range(7))
            text += b'{"content": "last"}'  # without an end of its own
            for n in range(len(text)):
                yield text[n : n + 1]

        async with visit(line_batch=3) as client:
            answer = await client.post("/queues/q/messages", content=body(), headers=NDJSON)
            # The seventh has the first's key and other content: its batch fails, two are stored.
            assert answer.status_code == 409
            assert answer.json()["published"]["lines"] == 6
            stats = (await client.get("/queues/q/stats")).json()
            assert stats["published"] == 6

            lines = b'{"content": 0, "key": "k0"}\n{"content": "x"}\n'
            answer = await client.post("/queues/q/messages", content=lines, headers=NDJSON)
            told = answer.json()
            assert answer.status_code == 201
            assert (told["lines"], told["duplicates"]) == (2, 1)
            page = (await client.get("/queues/q/messages")).json()
            assert told["first"] == page[0]["id"]
            assert told["last"] == page[-1]["id"]

            answer = await client.post("/queues/q/messages", content=b"", headers=NDJSON)
            assert (answer.status_code, answer.json()["lines"]) == (200, 0)

    asyncio.run(main())


def test_a_bad_line_is_named_and_what_came_before_its_batch_stays(visit: Visit) -> None:
    async def main() -> None:
        async with visit(line_batch=2, max_body=100) as client:
            good = b'{"content": 1}\n'
            for bad, status in ((b'{"content": }', 400), (b'"' + 200 * b"x", 413), (b"[]", 400)):
                before = (await client.get("/stats")).json().get("q", {"published": 0})
                body = good * 3 + bad + b"\n" + good
                answer = await client.post("/queues/q/messages", content=body, headers=NDJSON)
                assert answer.status_code == status
                problem = answer.json()
                assert problem["published"]["lines"] == 2
                if status == 400:
                    assert problem["data"]["field"].startswith("line 4")
                after = (await client.get("/queues/q/stats")).json()
                assert after["published"] == before["published"] + 2

    asyncio.run(main())


def test_content_and_length_limits(visit: Visit) -> None:
    async def main() -> None:
        async with visit() as client:
            policy = {"max_content": 10, "max_length": 2}
            await client.put("/queues/q", json=policy)
            answer = await client.post("/queues/q/messages", content=b"x" * 11)
            assert answer.status_code == 413
            assert answer.json()["code"] == "content-too-large"
            assert answer.json()["data"] == {"queue": "q", "size": 11, "limit": 10}
            for _ in range(2):
                answer = await client.post("/queues/q/messages", content=b"x" * 10)
                assert answer.status_code == 201
            answer = await client.post("/queues/q/messages", content=b"x")
            assert answer.status_code == 429
            assert answer.json()["code"] == "queue-full"
            assert answer.json()["retry"] is True
            assert int(answer.headers["retry-after"]) > 0
            assert (await client.get("/queues/q/stats")).json()["published"] == 2

    asyncio.run(main())
