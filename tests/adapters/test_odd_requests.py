"""Requests that no decent client makes: refused in good order, never a 5xx, never a stack trace."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

import supersoniq
from supersoniq.adapters import create_app
from tests.adapters.calling import Answer, Caller

Serving = Callable[..., AbstractAsyncContextManager[str]]
ID = "01a2094b-d385-76fe-a47b-d80000000001"
JSON = ("content-type", "application/json")


@pytest.fixture
def caller() -> Iterator[Caller]:
    broker = supersoniq.connect("memory://")
    caller = Caller(create_app(broker, max_wait=0.01))
    caller.run(broker.open)
    assert caller.call("PUT", "/queues/q").status == 201
    yield caller
    caller.run(broker.close)
    caller.close()


def decent(answer: Answer) -> None:
    """It is an answer, or a whole problem, and no bug."""
    assert answer.status < 500, answer
    assert b"Traceback" not in answer.body
    if answer.status >= 400:
        assert dict(answer.fields)["content-type"] == "application/problem+json"
        if not answer.body:
            return  # of a HEAD
        problem = json.loads(answer.body)
        assert problem["status"] == answer.status
        assert len(answer.body) < 4000


NAMES = [
    "%FF", "%C3%28", "%ED%A0%80", "%00", "%2F", "a%2Fb", "a%2fmessages", "%2E%2E", "..", ".", "a;b",
    "a%20b", "%", "%zz", "a" * 5000, "%25", "q%2F..%2Fq", "%E2%80%AE", "q%0d%0aX:%20y",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name[:12])
def test_names_in_paths(caller: Caller, name: str) -> None:
    for method, rest in itertools.product(
        ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"),
        ("", "/messages", "/leases", "/stats", f"/messages/{ID}", "/events"),
    ):
        answer = caller.call(method, f"/queues/{name}{rest}", [("prefer", "wait=0")])
        decent(answer)
        if method != "OPTIONS":
            assert answer.status >= 400
    decent(caller.call("GET", f"/messages/{name}"))
    assert json.loads(caller.call("GET", "/queues").body) == ["default", "q"]


QUERIES = [
    "limit=1&limit=2", "limit=null", "limit=NaN", "limit=1e400", "limit=" + "9" * 5000, "limit=%31",
    "limit=1.0", "limit=%FF", "limit", "=", "&&&", "limit=-0", "limit=+1", "limit=%E0%A4%A",
    "%FF=1",
    "after=null", "status=%00", "&".join("a" for _ in range(1000)), "limit=1;limit=2", "limit=\xff",
]  # fmt: skip


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: repr(query[:12]))
def test_queries(caller: Caller, query: str) -> None:
    for path in ("/messages", "/queues/q/messages", "/queues/q/events", "/queues", "/", "/stats"):
        decent(caller.call("GET", f"{path}?{query}", [("prefer", "wait=0")]))
    for path in ("/queues/q/messages", "/queues/q/leases", "/operations", "/queues/q/purge"):
        decent(caller.call("POST", f"{path}?{query}", [JSON], b"{}"))
        decent(caller.call("POST", f"{path}?{query}", [("content-type", "a/b")], b"{}"))


BODIES = [
    b"", b"\x00", b"NaN", b"[NaN]", b'{"limit": NaN}', b'{"limit": 1e999}', b'"\xff"', b"\xff\xfe[",
    b'{"limit": "\\ud800"}', b'{"\\ud800": 1}', b'{"limit": ' + b"9" * 10_000 + b"}",
    b"[" * 100_000,
    b'{"a":' * 50_000, b"[]" * 1000, b"[[]]", b"[{}]", b"null", b"true", b"-", b"1e5", b"{}{}",
    b'{"content": "\\ud800\\udc00"}', b'{"limit": 1, "limit": 1}', b'[{"op": "stats"}]',
    b'[{"op": "nothing"}]', b'[{"op": 1}]', b"\xdf\xff\xff\xff\xff", b"\xc1", b"\x91" * 5000,
]  # fmt: skip
KINDS = [
    "application/json", "application/x-ndjson", "application/msgpack",
    "APPLICATION/JSON ; charset=x",
    "application/json;", "", ";", "/", "a", "text/plain; charset=utf-7", "multipart/form-data",
    "\xe9/x",
    "a/b; c=" + "x" * 5000, "application/json, text/plain", "application/vnd.api+json",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: repr(kind[:14]))
def test_bodies_of_every_kind(caller: Caller, kind: str) -> None:
    paths = ("messages", "leases", "settlements", "pause", "resume", "purge", "redrive")
    for path in ("/operations", "/stirs", *(f"/queues/q/{each}" for each in paths)):
        for body in BODIES:
            decent(caller.call("POST", path, [("content-type", kind)], body))
    for body in BODIES:
        decent(caller.call("PUT", "/queues/q", [("content-type", kind)], body))


FIELDS = [
    ("accept", "*/*;q=nan"), ("accept", "*/*;q=inf"), ("accept", "application/json;q=-1"),
    ("accept", ",,,"), ("accept", ""), ("accept", "a" * 10_000), ("accept", "\xff"),
    ("accept", ";q=1"), ("accept", "text/event-stream;q=0.1, application/json;q=0.2"),
    ("content-length", "9" * 5000), ("content-length", "-1"), ("content-length", "\xb2"),
    ("content-encoding", "gzip"), ("content-encoding", ""), ("last-event-id", "9" * 5000),
    ("last-event-id", "-1"), ("last-event-id", "\xb2"), ("last-event-id", ""),
    ("prefer", "wait=nan"),
    ("expect", "100-continue"), ("range", "bytes=0-1"), ("upgrade", "websocket"),
]  # fmt: skip


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: repr((field[0], field[1][:12])))
def test_header_fields(caller: Caller, field: tuple[str, str]) -> None:
    for path in (
        "/",
        "/queues",
        "/messages",
        "/queues/q",
        "/queues/q/events",
        "/openapi.json",
        "/ws",
    ):
        decent(caller.call("GET", path, [field, ("prefer", "wait=0")]))
        decent(caller.call("HEAD", path, [field, ("prefer", "wait=0")]))
    for path in ("/messages", "/queues/q/leases", "/queues/q/settlements", "/operations"):
        decent(caller.call("POST", path, [field, JSON], b"[]"))


def test_head_is_get_without_a_body_and_options_tells_the_methods(caller: Caller) -> None:
    document = json.loads(caller.call("GET", "/openapi.json").body)
    for path, methods in document["paths"].items():
        url = path.replace("{queue}", "q").replace("{id}", ID)
        options = caller.call("OPTIONS", url)
        allowed = {*dict(options.fields)["allow"].lower().split(", ")} - {"head", "options"}
        assert (options.status, allowed) == (204, set(methods))
        if "get" in methods:
            wait = [("prefer", "wait=0")]
            got, head = caller.call("GET", url, wait), caller.call("HEAD", url, wait)
            assert (head.status, head.body) == (got.status, b"")
            assert dict(head.fields)["content-type"] == dict(got.fields)["content-type"]


@pytest.mark.parametrize(
    "head",
    [
        b"POST /messages HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST /messages HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /messages HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST /messages HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\nx",
        b"POST /messages HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nx",
        b"POST /messages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /queues?\xff=\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://other/queues HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_heads_that_lie_over_a_real_server(serving: Serving, head: bytes) -> None:
    async def main() -> None:
        async with (
            supersoniq.connect("memory://") as broker,
            serving(create_app(broker, body_timeout=0.3)) as url,
        ):
            host, port = url.removeprefix("http://").split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(head)
            status: Any = await asyncio.wait_for(reader.readline(), 20)
            assert not status or 200 <= int(status.split()[1]) < 500, status
            writer.close()
            stats = await broker.stats()
            assert all(each.published == 0 for each in stats.values())

    asyncio.run(main())


@pytest.mark.parametrize("turn", [1, -1])
def test_fields_that_are_lists_may_come_in_several_lines(caller: Caller, turn: int) -> None:
    prefer = [("prefer", "respond-async"), ("prefer", 'WAIT = "0";x=y')][::turn]
    answer = caller.call("GET", "/queues/default/events", prefer)
    assert ("preference-applied", "wait=0") in answer.fields
    accept = [("accept", "text/html"), ("accept", "application/json")][::turn]
    assert caller.call("GET", "/queues", accept).status == 200


@pytest.mark.parametrize("prefer", ["wait=1, wait=0", "wait", "wait=00", "x=wait=0", "await=0"])
def test_preferences_that_are_none_of_ours(caller: Caller, prefer: str) -> None:
    answer = caller.call("GET", "/queues/default/events", [("prefer", prefer)])
    assert "preference-applied" not in dict(answer.fields)


def test_errors_are_for_people(caller: Caller) -> None:
    kind = [("content-type", "application/json")]
    deep = caller.call("POST", "/messages", kind, b"[" * 70 + b"]" * 70)
    assert b"b'" not in deep.body
    query = caller.call("POST", "/messages?priority=1", kind, b'{"content": 1}')
    assert b"priority = '1': has no place in the query" in query.body
