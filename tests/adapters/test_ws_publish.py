"""Publishing over a WebSocket, and contents as they come back."""

from __future__ import annotations

import asyncio
from typing import Any

import supersoniq
from tests.adapters.sockets import dial, served


def test_publish(url: str, protocol: str) -> None:
    async def main() -> None:
        async with (
            supersoniq.connect(url) as broker,
            served(broker) as address,
            dial(address, protocol) as client,
        ):
            answer = await client.done("publish", messages=[{"content": "one", "key": "k"}])
            (one,) = answer["published"]
            assert (one["duplicate"], one["durability"]) == (
                False,
                broker.backend.capabilities.durability,
            )
            drafts: list[dict[str, Any]] = [
                {"content": {"a": [1, None, "ü"]}, "priority": 3, "headers": {"x": "y"}},
                {"content": "one", "key": "k"},
                {"content": "late", "delay": 60, "recipient": "ada", "sender": "bob", "ttl": 99},
            ]
            many = (await client.done("publish", messages=drafts))["published"]
            assert [each["duplicate"] for each in many] == [False, True, False]
            assert many[1]["id"] == one["id"]
            assert (await client.done("publish", messages=[]))["published"] == []
            queue = broker.queue()
            seen = await queue.browse()
            assert [each.content for each in seen] == [
                b"one",
                '{"a":[1,null,"ü"]}'.encode(),
                b"late",
            ]
            assert seen[1].headers == {"x": "y"}
            assert (seen[2].status, seen[2].recipient) == ("scheduled", "ada")

            # All or none, and the error says which.
            drafts = [{"content": 1}, {"content": 2, "priority": 99_999}]
            problem = await client.refused("publish", messages=drafts)
            assert (problem["code"], problem["data"]["field"]) == (
                "invalid-argument",
                "messages[1].priority",
            )
            conflict = [{"content": 1}, {"content": "other", "key": "k"}]
            problem = await client.refused("publish", messages=conflict)
            assert (problem["code"], problem["retry"]) == ("key-conflict", False)
            assert (await queue.stats()).published == 3

    asyncio.run(main())


def test_contents_come_back_as_they_went(url: str) -> None:
    async def main() -> None:
        async with (
            supersoniq.connect(url) as broker,
            served(broker) as address,
            dial(address, "json") as text,
            dial(address, "msgpack") as binary,
        ):
            raw = bytes(range(256))
            await binary.done("publish", messages=[{"content": raw, "content_type": "image/png"}])
            await text.done("publish", messages=[{"content": "é", "content_type": "text/plain"}])
            await binary.done("publish", messages=[{"content": {"a": 1.5}}, {"content": "t"}])
            await text.done("subscribe", mode="work", credit=10)
            one, two, three, four = await text.take(4)
            assert one["content_base64"].startswith("AAEC")
            assert one["content_type"] == "image/png"
            assert (two["content"], three["content"], four["content"]) == ("é", {"a": 1.5}, "t")
            await text.done("unsubscribe", subscription=1)  # or it would get them again
            await text.settle([one, two, three, four], "release")
            await binary.done("subscribe", mode="work", credit=10)
            again = await binary.take(4)
            contents = [raw, "é".encode(), b'{"a":1.5}', b"t"]
            assert [each["content"] for each in again] == contents
            assert [each["content_type"] for each in again][2:] == [
                "application/json",
                "text/plain; charset=utf-8",
            ]
            await binary.settle(again)
            assert (await broker.queue().stats()).acked == 4

    asyncio.run(main())


def test_base64_on_request(url: str) -> None:
    async def main() -> None:
        async with (
            supersoniq.connect(url) as broker,
            served(broker) as address,
            dial(address) as client,
        ):
            await broker.queue().publish("x")
            await client.done("subscribe", mode="work", credit=1, content="base64")
            assert (await client.take(1))[0]["content_base64"] == "eA=="

    asyncio.run(main())


def test_pipelined_requests_are_all_answered_and_published_in_order(
    url: str, protocol: str
) -> None:
    async def main() -> None:
        async with (
            supersoniq.connect(url) as broker,
            served(broker, max_requests=10) as address,
            dial(address, protocol) as client,
        ):
            for n in range(300):
                await client.send(type="publish", id=f"p{n}", messages=[{"content": n}])
            answers = [await client.answer(f"p{n}") for n in range(300)]
            assert len({each["published"][0]["id"] for each in answers}) == 300
            await client.done("subscribe", mode="work", credit=1000)
            messages = await client.take(300)
            assert [client.content(each) for each in messages] == list(range(300))
            for each in messages:
                ack = {"receipt": each["receipt"], "outcome": "ack"}
                await client.send(type="settle", id=each["receipt"], settlements=[ack])
            for each in messages:
                answer = await client.answer(each["receipt"])
                assert answer["verdicts"] == [{"ok": True}]
            assert (await broker.queue().stats()).acked == 300

    asyncio.run(main())


def test_large_messages_come_in_several_frames(url: str) -> None:
    async def main() -> None:
        async with (
            supersoniq.connect(url) as broker,
            served(broker) as address,
            dial(address, "msgpack", max_size=None) as client,
        ):
            queue = broker.queue()
            for n in range(12):
                await queue.publish(bytes([n]) * 200_000)
            await client.done("subscribe", mode="work", credit=100)
            frames = [await client.next("deliver")]
            while sum(len(each["messages"]) for each in frames) < 12:
                frames.append(await client.next("deliver"))
            assert max(len(each["messages"]) for each in frames) == 1
            contents = [each["messages"][0]["content"] for each in frames]
            assert [each[0] for each in contents] == list(range(12))

    asyncio.run(main())
