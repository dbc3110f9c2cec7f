"""Bodies that are no JSON, no envelope, too deep or too large, or of another media type."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import pytest

from tests.adapters.refusing import check

Visit = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
JSON = {"content-type": "application/json"}


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
