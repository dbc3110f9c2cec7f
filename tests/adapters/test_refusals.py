"""Every field of every call, at and beyond its limits: a clear problem, and nothing changed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import pytest

Visit = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
JSON = {"content-type": "application/json"}
YEARS = 10 * 366 * 86_400
ID = "01a2094b-d385-76fe-a47b-d80000000001"


def check(answer: httpx.Response, status: int, code: str, field: str | None = None) -> None:
    """It is a whole problem document, and says what it should."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == f"urn:supersoniq:problem:{problem['code']}"
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert problem["code"] == code
    assert ("retry-after" in answer.headers) == problem["retry"]
    if field is not None:
        assert problem["data"]["field"] == field
        assert len(json.dumps(problem)) < 2000


async def stored(client: httpx.AsyncClient) -> list[tuple[str, int, int]]:
    """What publishes have done; time changes the other figures."""
    stats = (await client.get("/stats")).json()
    return [(name, each["published"], each["duplicates"]) for name, each in stats.items()]


# Fields of an envelope: the value, and whether it will do.
ENVELOPE: list[tuple[str, Any, bool]] = [
    ("priority", -32768, True),
    ("priority", 32767, True),
    ("priority", -32769, False),
    ("priority", 32768, False),
    ("priority", 2**70, False),
    ("priority", 1.0, False),
    ("priority", True, False),
    ("priority", "1", False),
    ("priority", None, False),
    ("priority", [], False),
    ("delay", 0, True),
    ("delay", 0.001, True),
    ("delay", YEARS, True),
    ("delay", YEARS + 1, False),
    ("delay", -0.001, False),
    ("delay", "1", False),
    ("delay", False, False),
    ("delay", None, False),
    ("delay", 10**400, False),
    ("ttl", 0.001, True),
    ("ttl", None, True),
    ("ttl", YEARS, True),
    ("ttl", 0, False),
    ("ttl", YEARS + 1, False),
    ("ttl", -1, False),
    ("ttl", {}, False),
    *[
        (field, value, good)
        for field in ("key", "sender", "recipient")
        for value, good in [
            ("x", True),
            ("é" * 256, True),
            (None, True),
            ("", False),
            ("x" * 257, False),
            ("a\nb", False),
            ("a\x00", False),
            ("\ud800", False),
            (1, False),
            (["x"], False),
        ]
    ],
    ("headers", {}, True),
    ("headers", None, True),
    ("headers", {f"h{n}": "x" for n in range(64)}, True),
    ("headers", {"a": "x" * 16_383}, True),
    ("headers", {f"h{n}": "x" for n in range(65)}, False),
    ("headers", {"a": "x" * 16_384}, False),
    ("headers", {"": "x"}, False),
    ("headers", {"a": "x\ny"}, False),
    ("headers", {"a": "\udc00"}, False),
    ("headers", {"\udc00": "a"}, False),
    ("headers", {"a": 1}, False),
    ("headers", {"a": None}, False),
    ("headers", [], False),
    ("headers", "a=b", False),
    ("content_type", "a/b", True),
    ("content_type", "a/b; c=d", True),
    ("content_type", "x" * 255, True),
    ("content_type", "x" * 256, False),
    ("content_type", "", False),
    ("content_type", "é/b", False),
    ("content_type", "a/b\r\nx: y", False),
    ("content_type", 1, False),
    ("content", {"a": ["\ud800"]}, False),
    ("content", "\ud800", False),
    ("content_base64", "AA==", False),  # beside content
    ("nonsense", 1, False),
    ("id", ID, False),
]


def test_every_field_of_an_envelope(visit: Visit) -> None:
    async def main() -> None:
        async with visit() as client:
            for field, value, good in ENVELOPE:
                before = await stored(client)
                raw = json.dumps({"content": 1, field: value}).encode()
                answer = await client.post("/messages", content=raw, headers=JSON)
                if good:
                    assert answer.status_code in (200, 201), (field, value, answer.text)
                    continue
                check(answer, 400, "invalid-argument")
                named = answer.json()["data"]["field"]
                assert named.startswith(field) or field == "content_base64", (field, named)
                assert await stored(client) == before

    asyncio.run(main())


BODIES: list[tuple[bytes, str]] = [
    (b"", "body"),
    (b"   ", "body"),
    (b"nope", "body"),
    (b"1", "body"),
    (b'"x"', "body"),
    (b"null", "body"),
    (b"{}", "content"),
    (b'{"content": 1', "body"),
    (b'{"content": 1} x', "body"),
    (b"{'content': 1}", "body"),
    (b'{"content": NaN}', "body"),
    (b'{"content": -Infinity}', "body"),
    (b'{"content": 1e999}', "content"),
    (b'{"content": "\xff"}', "body"),
    (b'\xef\xbb\xbf{"content": 1}', "body"),
    ('{"content": 1}'.encode("utf-16"), "body"),
    (b'{"content": "\n"}', "body"),
    (b'{"content": 1, "content": 2}', "body"),
    (b'{"content": {"a": 1, "a": 1}}', "body"),
    (b'{"content": 1, "\\u006bey": "a", "key": "b"}', "body"),
    (b'{"content": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "body"),
    (b'{"content": ' + b"[" * 100_000, "body"),
    (b'{"content": ' + b'{"a":' * 64 + b"1" + b"}" * 64 + b"}", "body"),
    (b'{"content": ' + b"9" * 5000 + b"}", "body"),
    (b'{"content_base64": "AA"}', "content_base64"),
    (b'{"content_base64": "-_-_"}', "content_base64"),
    (b'{"content_base64": "AA==\\n"}', "content_base64"),
    (b'{"content_base64": 1}', "content_base64"),
    (b'{"content_base64": null}', "content_base64"),
    (b"[" * 100_000, "body"),
    (b"[1]", "[0]"),
    (b"[[]]", "[0]"),
    (b'[{"content": 1},]', "body"),
    (b'[{"content": 1}', "body"),
    (b'[{"content": 1}, {"content": {"a": 1, "a": 2}}]', "[1]"),
    (b'[{"content": 1}, {"content": "\xff"}]', "[1]"),
    (b'[{"content": 1}, {"content": 1, "x": 1}]', "[1].x"),
]


@pytest.mark.parametrize(("body", "field"), BODIES, ids=lambda value: str(value)[:30])
def test_bodies_that_are_no_envelopes(visit: Visit, body: bytes, field: str) -> None:
    async def main() -> None:
        async with visit() as client:
            before = (await client.get("/stats")).json()
            answer = await client.post("/messages", content=body, headers=JSON)
            check(answer, 400, "invalid-argument", field)
            assert (await client.get("/stats")).json() == before

    asyncio.run(main())


def test_nesting_up_to_the_limit_will_do(visit: Visit) -> None:
    async def main() -> None:
        async with visit(max_depth=5) as client:
            for depth, status in ((4, 201), (5, 400)):
                tricky = '"]]]]" , "{{{{\\"[[[["'  # brackets in strings do not count
                body = f'{{"content": {"[" * depth}{tricky}{"]" * depth}}}'
                answer = await client.post("/messages", content=body, headers=JSON)
                assert answer.status_code == status, answer.text
            wide: dict[str, Any] = {"content": [[[], {}]] * 1000}
            assert (await client.post("/messages", json=wide)).status_code == 201
            lines = b'{"content": [[[[[]]]]]}\n'
            kind = {"content-type": "application/x-ndjson"}
            assert (await client.post("/messages", content=lines, headers=kind)).status_code == 400

    asyncio.run(main())


QUERIES: list[tuple[str, str]] = [
    ("priority=32768", "priority"),
    ("priority=1.5", "priority"),
    ("priority=", "priority"),
    ("priority=1_0", "priority"),
    ("delay=nan", "delay"),
    ("delay=inf", "delay"),
    ("delay=-1", "delay"),
    ("ttl=0", "ttl"),
    ("key=", "key"),
    ("key=a&key=b", "key"),
    ("recipient=%00", "recipient"),
    ("recipient=%FF", "query"),
    ("headers.=x", "headers"),
    ("headers.a=%0A", "headers['a']"),
    ("content_type=a/b", "content_type"),
    ("content=x", "content"),
    ("x=1", "x"),
    ("&".join(f"headers.a{n}=x" for n in range(101)), "query"),
]


def test_every_field_of_a_publish_query(visit: Visit) -> None:
    async def main() -> None:
        async with visit() as client:
            before = (await client.get("/stats")).json()
            for query, field in QUERIES:
                answer = await client.post(f"/messages?{query}", content=b"x")
                check(answer, 400, "invalid-argument", field)
            answer = await client.post("/messages?priority=1", json={"content": 1})
            check(answer, 400, "invalid-argument", "priority")
            assert (await client.get("/stats")).json() == before

    asyncio.run(main())


# Method, path, JSON body, status, code, field. "q" exists; "none" does not.
CALLS: list[tuple[str, str, Any, int, str, str | None]] = [
    ("POST", "/queues/q/leases", {"limit": 0}, 400, "invalid-argument", "limit"),
    ("POST", "/queues/q/leases", {"limit": 10_001}, 400, "invalid-argument", "limit"),
    ("POST", "/queues/q/leases", {"limit": 1.5}, 400, "invalid-argument", "limit"),
    ("POST", "/queues/q/leases", {"limit": None}, 400, "invalid-argument", "limit"),
    ("POST", "/queues/q/leases", {"wait": -1}, 400, "invalid-argument", "wait"),
    ("POST", "/queues/q/leases", {"wait": 60.001}, 400, "invalid-argument", "wait"),
    ("POST", "/queues/q/leases", {"wait": "5"}, 400, "invalid-argument", "wait"),
    ("POST", "/queues/q/leases", {"lease": 0.09}, 400, "invalid-argument", "lease"),
    ("POST", "/queues/q/leases", {"lease": 43_201}, 400, "invalid-argument", "lease"),
    ("POST", "/queues/q/leases", {"recipient": ""}, 400, "invalid-argument", "recipient"),
    ("POST", "/queues/q/leases", {"recipient": "x" * 257}, 400, "invalid-argument", "recipient"),
    ("POST", "/queues/q/leases", {"content": "hex"}, 400, "invalid-argument", "content"),
    ("POST", "/queues/q/leases", {"limits": 1}, 400, "invalid-argument", "limits"),
    ("POST", "/queues/q/leases", [], 400, "invalid-argument", "body"),
    ("POST", "/queues/-q/leases", {}, 400, "invalid-name", "queue"),
    ("POST", "/queues/q/settlements", {}, 400, "invalid-argument", "body"),
    ("POST", "/queues/q/settlements", [{}] * 10_001, 400, "invalid-argument", "body"),
    ("GET", "/queues/q/messages?limit=0", None, 400, "invalid-argument", "limit"),
    ("GET", "/queues/q/messages?limit=10001", None, 400, "invalid-argument", "limit"),
    ("GET", "/queues/q/messages?limit=x", None, 400, "invalid-argument", "limit"),
    ("GET", "/queues/q/messages?status=gone", None, 400, "invalid-argument", "status"),
    ("GET", "/queues/q/messages?after=x", None, 400, "invalid-id", "after"),
    ("GET", f"/queues/q/messages?after={ID}", None, 404, "message-not-found", None),
    ("GET", "/queues/q/messages?before=x", None, 400, "invalid-argument", "before"),
    ("GET", "/queues/none/messages", None, 404, "queue-not-found", None),
    ("GET", "/queues/q/messages/x", None, 400, "invalid-id", "id"),
    ("GET", f"/queues/q/messages/{ID}", None, 404, "message-not-found", None),
    ("GET", f"/queues/none/messages/{ID}", None, 404, "queue-not-found", None),
    ("GET", f"/queues/q/messages/{ID}?content=x", None, 400, "invalid-argument", "content"),
    ("GET", f"/messages/{ID}", None, 404, "message-not-found", None),
    ("DELETE", f"/queues/q/messages/{ID}", None, 404, "message-not-found", None),
    ("DELETE", f"/queues/q/messages/{ID}?force=1", None, 400, "invalid-argument", "force"),
    ("DELETE", f"/messages/{ID}", None, 404, "message-not-found", None),
    ("GET", f"/queues/q/messages/{ID}/explanation", None, 404, "message-not-found", None),
    ("GET", "/queues/none", None, 404, "queue-not-found", None),
    ("GET", "/queues/none/stats", None, 404, "queue-not-found", None),
    ("GET", "/queues/none/events", None, 404, "queue-not-found", None),
    ("DELETE", "/queues/none", None, 404, "queue-not-found", None),
    ("POST", "/queues/none/pause", {}, 404, "queue-not-found", None),
    ("POST", "/queues/none/resume", {}, 404, "queue-not-found", None),
    ("POST", "/queues/none/purge", {}, 404, "queue-not-found", None),
    ("POST", "/queues/none/redrive", {}, 404, "queue-not-found", None),
    ("PUT", "/queues/" + "x" * 129, {}, 400, "invalid-name", "queue"),
    ("PUT", "/queues/a%00", {}, 400, "invalid-name", "queue"),
    ("PUT", "/queues/%C3%A9", {}, 400, "invalid-name", "queue"),
    ("PUT", "/queues/q", [], 400, "invalid-argument", "body"),
    ("PUT", "/queues/q", {"leases": 1}, 400, "invalid-policy", "leases"),
    ("PUT", "/queues/none", {"lease": 0}, 400, "invalid-policy", "lease"),
    ("PUT", "/queues/q", {"lease": 43_201}, 400, "invalid-policy", "lease"),
    ("PUT", "/queues/q", {"lease": "1"}, 400, "invalid-policy", "lease"),
    ("PUT", "/queues/q", {"max_deliveries": -1}, 400, "invalid-policy", "max_deliveries"),
    ("PUT", "/queues/q", {"max_length": 0}, 400, "invalid-policy", "max_length"),
    ("PUT", "/queues/q", {"max_content": 2**30 + 1}, 400, "invalid-policy", "max_content"),
    ("PUT", "/queues/q", {"backoff": {"factor": 0}}, 400, "invalid-policy", "backoff.factor"),
    ("PUT", "/queues/q", {"backoff": {"x": 0}}, 400, "invalid-policy", "backoff.x"),
    ("PUT", "/queues/q", {"on_expiry": "keep"}, 400, "invalid-policy", "on_expiry"),
    ("PUT", "/queues/q", {"lease": 1, "keep_dead": -1}, 400, "invalid-policy", "keep_dead"),
    ("POST", "/queues/q/pause", {"duration": -1}, 400, "invalid-argument", "duration"),
    ("POST", "/queues/q/pause", {"until": 1.5}, 400, "invalid-argument", "until"),
    ("POST", "/queues/q/pause", {"until": -1}, 400, "invalid-argument", "until"),
    ("POST", "/queues/q/pause", {"duration": 1, "until": 1}, 400, "invalid-argument", "until"),
    ("POST", "/queues/q/pause", {"for": 1}, 400, "invalid-argument", "for"),
    ("POST", "/queues/q/resume", {"now": True}, 400, "invalid-argument", "now"),
    ("POST", "/queues/q/purge", {"status": "all"}, 400, "invalid-argument", "status"),
    ("POST", "/queues/q/purge", {"status": "leased"}, 409, "illegal-move", None),
    ("POST", "/queues/q/purge?status=dead", {}, 400, "invalid-argument", "status"),
    ("POST", "/queues/q/redrive", {"ids": []}, 400, "invalid-argument", "ids"),
    ("POST", "/queues/q/redrive", {"ids": ["x"]}, 400, "invalid-id", "id"),
    ("POST", "/queues/q/redrive", {"ids": [ID]}, 404, "message-not-found", None),
    ("POST", "/queues/q/redrive", {"ids": ID}, 400, "invalid-argument", "ids"),
    ("POST", "/queues/q/redrive", {"limit": 0}, 400, "invalid-argument", "limit"),
    ("GET", "/queues/q/events?kinds=nonsense", None, 400, "invalid-argument", "kinds"),
    ("GET", "/queues/q/events?kinds=", None, 400, "invalid-argument", "kinds"),
    ("GET", "/queues/q/events?kinds=gap", None, 400, "invalid-argument", "kinds"),
    ("GET", "/queues/q/events?since=-1", None, 400, "invalid-argument", "since"),
    ("GET", f"/queues/q/events?since={2**63}", None, 400, "invalid-argument", "since"),
    ("GET", "/queues/q/events?since=x", None, 400, "invalid-argument", "since"),
    ("GET", "/nothing", None, 404, "not-found", None),
    ("GET", "/queues/q/nothing", None, 404, "not-found", None),
    ("GET", "/queues/", None, 404, "not-found", None),
    ("GET", "/queues//messages", None, 404, "not-found", None),
    ("GET", "/queues/a%2Fb/messages", None, 404, "not-found", None),
    ("PATCH", "/queues/q", {}, 405, "method-not-allowed", None),
    ("DELETE", "/messages", None, 405, "method-not-allowed", None),
    ("GET", "/queues/q/leases", None, 405, "method-not-allowed", None),
    ("POST", "/", {}, 405, "method-not-allowed", None),
    ("BREW", "/queues", None, 405, "method-not-allowed", None),
]


def test_every_other_call(visit: Visit) -> None:
    async def main() -> None:
        async with visit() as client:
            await client.put("/queues/q")
            await client.post("/queues/q/messages", json={"content": 1})
            before = (await client.get("/stats")).json()
            policy = (await client.get("/queues/q")).json()
            for method, path, body, status, code, field in CALLS:
                answer = await client.request(method, path, json=body)
                check(answer, status, code, field)
                if status == 405:
                    assert "OPTIONS" in answer.headers["allow"]
            assert (await client.get("/stats")).json() == before
            assert (await client.get("/queues/q")).json() == policy

    asyncio.run(main())


SETTLEMENTS: list[tuple[Any, str, str | None]] = [
    (1, "invalid-argument", "[1]"),
    ({}, "invalid-argument", "[1].receipt"),
    ({"receipt": "x"}, "invalid-argument", "[1].outcome"),
    ({"receipt": 1, "outcome": "ack"}, "invalid-argument", "[1].receipt"),
    ({"receipt": "x", "outcome": "done"}, "invalid-argument", "[1].outcome"),
    ({"receipt": "x", "outcome": "ack", "x": 1}, "invalid-argument", "[1].x"),
    ({"receipt": "x", "outcome": "ack", "delay": 0}, "invalid-argument", "[1].delay"),
    ({"receipt": "x", "outcome": "nack", "delay": -1}, "invalid-argument", "[1].delay"),
    ({"receipt": "x", "outcome": "nack", "duration": 1}, "invalid-argument", "[1].duration"),
    ({"receipt": "x", "outcome": "release", "reason": ""}, "invalid-argument", "[1].reason"),
    ({"receipt": "x", "outcome": "reject", "reason": "x" * 1001}, "invalid-argument", "[1].reason"),
    ({"receipt": "x", "outcome": "reject", "reason": 1}, "invalid-argument", "[1].reason"),
    ({"receipt": "x", "outcome": "extend", "duration": 0}, "invalid-argument", "[1].duration"),
    ({"receipt": "x", "outcome": "extend", "duration": 43_201}, "invalid-argument", "[1].duration"),
    ({"receipt": "x", "outcome": "ack"}, "lease-lost", None),
    ({"receipt": "", "outcome": "ack"}, "lease-lost", None),
    ({"receipt": "é" * 43, "outcome": "ack"}, "lease-lost", None),
    ({"receipt": "A" * 100_000, "outcome": "ack"}, "lease-lost", None),
]


def test_a_bad_settlement_has_its_own_verdict_and_hinders_no_other(visit: Visit) -> None:
    async def main() -> None:
        async with visit() as client:
            for bad, code, field in SETTLEMENTS:
                await client.post("/queues/q/messages", json={"content": 1})
                receipt = (await client.post("/queues/q/leases")).json()[0]["receipt"]
                good = {"receipt": receipt, "outcome": "ack"}
                answer = await client.post("/queues/q/settlements", json=[good, bad, good])
                assert answer.status_code == 200
                first, second, third = answer.json()
                assert first == {"ok": True}
                assert second["ok"] is False
                assert second["problem"]["code"] == code
                if field is not None:
                    assert second["problem"]["data"]["field"] == field
                assert third["ok"] is False  # acked and, with keep_done 0, forgotten
            assert (await client.get("/queues/q/stats")).json()["acked"] == len(SETTLEMENTS)

    asyncio.run(main())


def test_media_types(visit: Visit) -> None:
    async def main() -> None:
        async with visit() as client:
            text = {"content-type": "text/plain"}
            for path in ("/queues/q/leases", "/queues/q/settlements", "/queues/q/pause"):
                check(
                    await client.post(path, content=b"{}", headers=text),
                    415,
                    "unsupported-media-type",
                )
            zipped = {**JSON, "content-encoding": "gzip"}
            answer = await client.post("/messages", content=b"x", headers=zipped)
            check(answer, 415, "unsupported-media-type")
            for accept, status in (
                ("text/html", 406),
                ("application/json;q=0", 406),
                ("text/*", 406),
                ("text/html, */*;q=0.1", 200),
                ("application/*", 200),
                ("APPLICATION/JSON", 200),
            ):
                answer = await client.get("/queues", headers={"accept": accept})
                assert answer.status_code == status, accept
            answer = await client.get("/queues/q/events", headers={"accept": "application/json"})
            check(answer, 406, "not-acceptable")
            refused = await client.post("/messages", json={}, headers={"accept": "text/html"})
            check(refused, 406, "not-acceptable")
            assert (await client.get("/stats")).json()["default"]["published"] == 0

    asyncio.run(main())


def test_bodies_that_are_too_large(visit: Visit) -> None:
    async def main() -> None:
        async with visit(max_body=100, max_batch=3) as client:
            assert (await client.post("/messages", content=b"x" * 100)).status_code == 201
            check(await client.post("/messages", content=b"x" * 101), 413, "body-too-large")

            async def chunks() -> Any:
                for _ in range(11):
                    yield b"x" * 10

            check(await client.post("/messages", content=chunks()), 413, "body-too-large")
            batch = [{"content": n} for n in range(4)]
            check(await client.post("/messages", json=batch), 400, "invalid-argument", "body")
            assert (await client.get("/stats")).json()["default"]["published"] == 1

    asyncio.run(main())
