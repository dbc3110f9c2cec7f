"""Every field of an envelope and of a publish query, at and beyond its limits; nothing changes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx

from tests.adapters.refusing import check, stored

Visit = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
JSON = {"content-type": "application/json"}
YEARS = 10 * 366 * 86_400
ID = "01a2094b-d385-76fe-a47b-d80000000001"


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
