"""The batch door: what it takes, what it refuses, and how large its answers get."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import msgspec

import supersoniq
from supersoniq.adapters import create_app
from supersoniq.adapters.http.app import App

Visit = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
Serving = Callable[..., AbstractAsyncContextManager[str]]
MSGPACK = {"content-type": "application/msgpack"}
ID = "01a2094b-d385-76fe-a47b-d80000000001"
ONE = {"content": b"x", "content_type": "text/plain"}


async def carry_out(client: httpx.AsyncClient, *batch: Any) -> list[dict[str, Any]]:
    body = msgspec.msgpack.encode(batch)
    answer = await client.post("/operations", content=body, headers=MSGPACK)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/msgpack"
    results: list[dict[str, Any]] = msgspec.msgpack.decode(answer.content)["results"]
    return results


def test_a_batch_of_everything(visit: Visit) -> None:
    async def main() -> None:
        async with visit() as client:
            published, plain = await carry_out(
                client,
                {"op": "publish", "queue": "q", "messages": [{**ONE, "priority": 3}, ONE]},
                {"op": "publish", "queue": "q", "messages": []},
            )
            id = published["ok"][0]["id"]
            assert plain == {"ok": []}
            (taken,) = await carry_out(client, {"op": "take", "queue": "q", "lease": 60})
            (lease,) = taken["ok"]["leases"]
            assert (lease["id"], lease["content"], lease["attempt"]) == (id, b"x", 1)
            assert taken["ok"]["length"] == 60_000
            results = await carry_out(
                client,
                {"op": "look", "queue": "q", "id": id},
                {"op": "browse", "queue": "q", "status": "ready"},
                {"op": "explain", "queue": "q", "id": id},
                {"op": "cancel", "queue": "q", "id": id},
                {"op": "configure", "queue": "q", "changes": {"lease": 5}},
                {"op": "describe", "queue": "q"},
                {"op": "follow", "queue": "q", "kinds": ["acked"]},
                {"op": "stats", "queue": "nowhere"},
                {"op": "pause", "queue": "q", "duration": 60},
                {"op": "resume", "queue": "q"},
                {"op": "redrive", "queue": "q", "ids": []},
                {"op": "purge", "queue": "q", "status": "dead"},
                {"op": "settle", "queue": "q", "settlements": [
                    {"receipt": lease["receipt"], "outcome": "extend", "duration": 9},
                    {"receipt": lease["receipt"], "outcome": "ack"},
                    {"receipt": "x", "outcome": "ack"}]},
                {"op": "queues"},
                {"op": "delete", "queue": "q"},
            )  # fmt: skip
            look, page, why, cancel, changed, policy, follow, stats, *rest = results
            assert look["ok"]["status"] == "leased"
            assert [len(page["ok"]["messages"]), "more" in page["ok"]] == [1, False]
            assert "A consumer has held it" in why["ok"]
            assert cancel["error"]["code"] == "message-leased"
            assert changed == policy
            assert policy["ok"]["lease"] == 5
            assert follow["ok"]["events"] == []
            assert stats["error"]["data"] == {"queue": "nowhere"}
            pause, resume, redrive, purge, settle, queues, delete = rest
            assert pause == resume == delete == {"ok": None}
            assert redrive == purge == {"ok": 0}
            extended, acked, lost = settle["ok"]
            assert isinstance(extended["deadline"], int)
            assert acked is None
            assert lost["error"]["code"] == "lease-lost"
            assert "q" in queues["ok"]

    asyncio.run(main())


def test_json_says_the_same(visit: Visit) -> None:
    async def main() -> None:
        async with visit() as client:
            message = {"content": "AP8=", "content_type": "image/png", "headers": {"a": "b"}}
            batch = [
                {"op": "publish", "queue": "q", "messages": [message]},
                {"op": "take", "queue": "q"},
            ]
            answer = await client.post("/operations", json=batch)
            assert answer.headers["content-type"] == "application/json"
            told = answer.json()
            assert abs(told["at"] - told["results"][1]["ok"]["leases"][0]["created_at"]) < 10_000
            lease = told["results"][1]["ok"]["leases"][0]
            assert (lease["content"], lease["headers"]) == ("AP8=", {"a": "b"})
            for raw in ('[{"op": "queues"}', '[{"op":"queues","op":"queues"}]', "[NaN]", "[" * 99):
                answer = await client.post(
                    "/operations", content=raw, headers={"content-type": "application/json"}
                )
                assert (answer.status_code, answer.json()["data"]["field"]) == (400, "body")

    asyncio.run(main())


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"op": "stats", "queue": "a b"}, "invalid-name", "queue"),
    ({"op": "publish", "queue": "-", "messages": [ONE]}, "invalid-name", "queue"),
    ({"op": "take", "queue": "q", "limit": 0}, "invalid-argument", "limit"),
    ({"op": "take", "queue": "q", "limit": 10_001}, "invalid-argument", "limit"),
    ({"op": "take", "queue": "q", "lease": 0.01}, "invalid-argument", "lease"),
    ({"op": "take", "queue": "q", "lease": 1e9}, "invalid-argument", "lease"),
    ({"op": "take", "queue": "q", "lease": float("nan")}, "invalid-argument", "lease"),
    ({"op": "take", "queue": "q", "recipient": ""}, "invalid-argument", "recipient"),
    ({"op": "take", "queue": "q", "recipient": "a\0b"}, "invalid-argument", "recipient"),
    ({"op": "look", "queue": "q", "id": "1"}, "invalid-id", "id"),
    ({"op": "cancel", "queue": "q", "id": "\0" * 36}, "invalid-id", "id"),
    ({"op": "explain", "queue": "q", "id": ID[:-1]}, "invalid-id", "id"),
    ({"op": "browse", "queue": "q", "after": "x"}, "invalid-id", "id"),
    ({"op": "browse", "queue": "q", "limit": -1}, "invalid-argument", "limit"),
    ({"op": "redrive", "queue": "q", "ids": [ID, "x"]}, "invalid-id", "id"),
    ({"op": "redrive", "queue": "q", "limit": 0}, "invalid-argument", "limit"),
    ({"op": "redrive", "queue": "q", "ids": [ID] * 10_001}, "invalid-argument", "ids"),
    ({"op": "pause", "queue": "q", "until": -1}, "invalid-argument", "until"),
    ({"op": "pause", "queue": "q", "duration": -1}, "invalid-argument", "duration"),
    ({"op": "follow", "queue": "q", "since": -1}, "invalid-argument", "since"),
    ({"op": "follow", "queue": "q", "kinds": []}, "invalid-argument", "kinds"),
    ({"op": "follow", "queue": "q", "kinds": ["gap"]}, "invalid-argument", "kinds"),
    ({"op": "follow", "queue": "q", "limit": 0}, "invalid-argument", "limit"),
    ({"op": "configure", "queue": "q", "changes": {"lease": -1}}, "invalid-policy", "lease"),
    ({"op": "configure", "queue": "q", "changes": {"x": 1}}, "invalid-policy", "x"),
    ({"op": "configure", "queue": "q", "changes": {"lease": b"1"}}, "invalid-policy", "lease"),
    *(
        (
            {"op": "publish", "queue": "q", "messages": [ONE, {**ONE, field: value}]},
            "invalid-argument",
            f"messages[1].{field}",
        )
        for field, value in (
            ("priority", 32768),
            ("delay", -1),
            ("ttl", 0),
            ("key", ""),
            ("key", "x" * 257),
            ("sender", "\n"),
            ("recipient", ""),
            ("content_type", "\u2603"),
        )
    ),
    *(
        (
            {"op": "settle", "queue": "q", "settlements": [{"receipt": "x", **fields}]},
            "invalid-argument",
            field,
        )
        for fields, field in (
            ({"outcome": "ack", "delay": 1}, "delay"),
            ({"outcome": "nack", "delay": -1}, "delay"),
            ({"outcome": "nack", "reason": "x" * 1001}, "reason"),
            ({"outcome": "extend", "duration": 0}, "duration"),
        )
    ),
]


def test_each_bad_one_is_refused_in_its_place(visit: Visit) -> None:
    async def main() -> None:
        async with visit() as client:
            before = (await client.get("/stats")).json()
            results = await carry_out(client, *(batch for batch, _, _ in BAD))
            for (batch, code, field), result in zip(BAD, results, strict=True):
                error = result["error"]
                assert (error["code"], error["data"]["field"]) == (code, field), (batch, error)
            assert (await client.get("/stats")).json() == before

    asyncio.run(main())


MALFORMED: list[Any] = [
    b"",
    b"\xff",
    b"\xc1",
    b"\x91" * 5000,
    msgspec.msgpack.encode({}),
    msgspec.msgpack.encode([1]),
    msgspec.msgpack.encode([{}]),
    msgspec.msgpack.encode([{"op": "queues"}])[:-1],
    msgspec.msgpack.encode([{"op": "queues"}]) + b"\x00",
    b"\x91\x81\xa2op\xa6que\xffes",
    *(
        msgspec.msgpack.encode([{"op": "queues"}, bad])
        for bad in (
            {"op": "nonsense", "queue": "q"},
            {"op": 1, "queue": "q"},
            {"op": "stats"},
            {"op": "stats", "queue": 1},
            {"op": "stats", "queue": "q", "more": 1},
            {"op": "queues", "queue": "q"},
            {"op": "take", "queue": "q", "limit": "1"},
            {"op": "take", "queue": "q", "limit": True},
            {"op": "take", "queue": "q", "limit": 1.5},
            {"op": "browse", "queue": "q", "status": "nonsense"},
            {"op": "publish", "queue": "q", "messages": {}},
            {"op": "publish", "queue": "q", "messages": [{"content": "text"}]},
            {"op": "publish", "queue": "q", "messages": [{**ONE, "headers": {"a": 1}}]},
            {"op": "publish", "queue": "q", "messages": [{**ONE, "surprise": 1}]},
            {"op": "settle", "queue": "q", "settlements": [{"receipt": "x", "outcome": "no"}]},
            {"op": "settle", "queue": "q", "settlements": [{"receipt": b"x", "outcome": "ack"}]},
            {"op": "follow", "queue": "q", "kinds": ["nonsense"]},
            {"op": "configure", "queue": "q", "changes": []},
        )
    ),
]


def test_what_is_no_batch_is_refused_as_a_whole(visit: Visit) -> None:
    async def main() -> None:
        async with visit(max_batch=3, max_batch_body=1000) as client:
            before = (await client.get("/stats")).json()
            for raw in MALFORMED:
                if len(raw) > 1000:
                    continue
                answer = await client.post("/operations", content=raw, headers=MSGPACK)
                problem = answer.json()
                assert (answer.status_code, problem["data"]["field"]) == (400, "body"), raw
            many = msgspec.msgpack.encode([{"op": "queues"}] * 4)
            answer = await client.post("/operations", content=many, headers=MSGPACK)
            assert (answer.status_code, answer.json()["data"]["value"]) == (400, 4)
            answer = await client.post("/operations", content=b"\x90" * 1001, headers=MSGPACK)
            assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")
            kind = {"content-type": "text/plain"}
            answer = await client.post("/operations", content=many, headers=kind)
            assert answer.status_code == 415
            assert (await client.post("/operations?x=1", content=b"\x90")).status_code == 400
            assert (await client.get("/operations")).status_code == 405
            assert await carry_out(client) == []
            assert (await client.get("/stats")).json() == before
        async with visit() as client:
            deep = b"\x91" * 5000
            answer = await client.post("/operations", content=deep, headers=MSGPACK)
            assert answer.status_code == 400

    asyncio.run(main())


def test_answers_end_early(visit: Visit) -> None:
    """What is too much for one answer is asked for again; nothing is leased in vain."""

    async def main() -> None:
        async with visit(max_answer=1000) as client:
            messages = [{**ONE, "content": b"%03d" % n + b"x" * 297} for n in range(40)]
            await carry_out(client, {"op": "publish", "queue": "q", "messages": messages})
            (page,) = await carry_out(client, {"op": "browse", "queue": "q"})
            assert len(page["ok"]["messages"]) == 3
            assert page["ok"]["more"]
            (taken,) = await carry_out(client, {"op": "take", "queue": "q", "limit": 40})
            assert len(taken["ok"]["leases"]) == 3
            (stats,) = await carry_out(client, {"op": "stats", "queue": "q"})
            assert (stats["ok"]["leased"], stats["ok"]["ready"]) == (3, 37)
            some = await carry_out(client, *[{"op": "take", "queue": "q"}] * 60)
            assert len(some) == 16
            assert all(len(each["ok"]["leases"]) == 1 for each in some)
            (follow,) = await carry_out(client, {"op": "follow", "queue": "q"})
            offset = follow["ok"]["offset"]
            await carry_out(client, {"op": "publish", "queue": "q", "messages": messages[:10]})
            told = []
            for _ in range(4):
                op = {"op": "follow", "queue": "q", "since": offset}
                (follow,) = await carry_out(client, op)
                told += [event["message"]["content"] for event in follow["ok"]["events"]]
                offset = follow["ok"]["offset"]
            assert told == [each["content"] for each in messages[:10]]

    asyncio.run(main())


def test_stirs(url: str, serving: Serving) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            app: App = create_app(broker, keep_alive=0.1)
            async with (
                serving(app) as address,
                httpx.AsyncClient(base_url=address, timeout=20) as client,
            ):
                bads: list[Any] = [
                    {},
                    {"queues": []},
                    {"queues": ["a b"]},
                    {"queues": 1},
                    {"queues": ["a"] * 10_001},
                    {"x": 1},
                    [],
                ]
                for bad in bads:
                    assert (await client.post("/stirs", json=bad)).status_code == 400, bad
                asked = {"queues": ["a", "b", "a"]}
                async with client.stream("POST", "/stirs", json=asked) as answer:
                    assert answer.headers["content-type"] == "application/x-ndjson"
                    lines = answer.aiter_lines()
                    first = json.loads(await anext(lines))
                    assert first == {"kind": "listening", "keep_alive": 0.1}
                    for name in ("a", "other", "b"):
                        queue = broker.queue(name)
                        await asyncio.gather(*(queue.publish("x") for _ in range(50)))
                    seen: list[dict[str, Any]] = []
                    while not any("b" in line.get("queues", ()) for line in seen):
                        seen.append(json.loads(await anext(lines)))
                    assert {name for line in seen for name in line.get("queues", ())} == {"a", "b"}
                    # 100 messages: they are told together.
                    assert sum(line["kind"] == "stirred" for line in seen) < 40
                    line = {"kind": "stirred"}
                    while line["kind"] != "alive":
                        line = json.loads(await anext(lines))
                    app.drain()
                    rest = [json.loads(line)["kind"] async for line in lines]
                    assert set(rest) <= {"alive", "stirred"}

    asyncio.run(main())


def test_a_client_that_leaves_takes_nothing_along(serving: Serving, tmp_path: Any) -> None:
    """Where the store takes its time, what was leased for one who left is released, uncounted."""

    async def main() -> None:
        async with supersoniq.connect(f"sqlite:///{tmp_path}/store.db") as broker:
            queue = broker.queue("q")
            execute = broker.engine._coalescer.execute
            begun, go = asyncio.Event(), asyncio.Event()
            async with serving(create_app(broker)) as address:
                await queue.publish("x")

                async def slow(batch: Any) -> Any:
                    begun.set()
                    await go.wait()
                    return await execute(batch)

                broker.engine._coalescer.execute = slow
                host, port = address.removeprefix("http://").split(":")
                body = msgspec.msgpack.encode([{"op": "take", "queue": "q"}])
                head = f"POST /operations HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n"
                _, writer = await asyncio.open_connection(host, int(port))
                writer.write(head.encode() + b"content-type: application/msgpack\r\n\r\n" + body)
                await writer.drain()
                await asyncio.wait_for(begun.wait(), 20)
                writer.close()
                await asyncio.sleep(0.05)  # by its end the loop has heard of it, however late it is
                go.set()
                broker.engine._coalescer.execute = execute
                async with asyncio.timeout(20):
                    while not (stats := await queue.stats()).released:  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
                assert (stats.ready, stats.leased, stats.released) == (1, 0, 1)

    asyncio.run(main())
