"""Frames that are none, and connections that are not to be."""

from __future__ import annotations

import json
from typing import Any

import httpx
import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.typing import Origin, Subprotocol

import supersoniq
from supersoniq.adapters import create_app
from supersoniq.adapters.access import Origins
from supersoniq.adapters.ws.codec import CODECS, BadFrame, Unreadable
from supersoniq.adapters.ws.frames import Ping, Publish, Request
from supersoniq.core.messages import Entry
from tests import steady
from tests.adapters.sockets import dial, served

DEEP = "[" * 65 + "]" * 65
ENVELOPE: dict[str, Any] = {"content": "x"}

# A frame, the field that its error names.
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "type"),
    ({"type": "nothing"}, "type"),
    ({"type": 7}, "type"),
    ({"type": ["ping"]}, "type"),
    ({"type": "welcome"}, "type"),
    ({"type": "ping", "more": 1}, "more"),
    ({"type": "publish"}, "messages"),
    ({"type": "publish", "messages": ENVELOPE}, "messages"),
    ({"type": "publish", "messages": [ENVELOPE, 7]}, "messages[1]"),
    ({"type": "publish", "messages": [ENVELOPE, {}]}, "messages[1].content"),
    ({"type": "publish", "messages": [{"content": 1, "x": 2}]}, "messages[0].x"),
    ({"type": "publish", "messages": [{"content": 1, "delay": "1"}]}, "messages[0].delay"),
    ({"type": "publish", "messages": [{"content": 1, "delay": -1}]}, "messages[0].delay"),
    ({"type": "publish", "messages": [{"content": 1, "key": ""}]}, "messages[0].key"),
    ({"type": "publish", "messages": [{"content": 1, "headers": {"a": 1}}]}, "messages[0].headers"),
    ({"type": "publish", "queue": "a b", "messages": []}, "queue"),
    ({"type": "publish", "queue": None, "messages": []}, "queue"),
    ({"type": "publish", "messages": [ENVELOPE] * 101}, "messages"),
    ({"type": "settle"}, "settlements"),
    ({"type": "settle", "settlements": [{"receipt": "x"}]}, "settlements[0].outcome"),
    (
        {"type": "settle", "settlements": [{"receipt": "x", "outcome": "eat"}]},
        "settlements[0].outcome",
    ),
    (
        {"type": "settle", "settlements": [{"receipt": 1, "outcome": "ack"}]},
        "settlements[0].receipt",
    ),
    ({"type": "settle", "settlements": [{"receipt": "x", "outcome": "ack"}] * 101}, "settlements"),
    ({"type": "subscribe"}, "mode"),
    ({"type": "subscribe", "mode": "play"}, "mode"),
    ({"type": "subscribe", "mode": "work"}, "credit"),
    ({"type": "subscribe", "mode": "work", "credit": -1}, "credit"),
    ({"type": "subscribe", "mode": "work", "credit": 1.5}, "credit"),
    ({"type": "subscribe", "mode": "work", "credit": True}, "credit"),
    ({"type": "subscribe", "mode": "work", "credit": 21}, "credit"),
    ({"type": "subscribe", "mode": "work", "credit": 1, "lease": 0}, "lease"),
    ({"type": "subscribe", "mode": "work", "credit": 1, "recipient": ""}, "recipient"),
    ({"type": "subscribe", "mode": "work", "credit": 1, "since": 1}, "since"),
    ({"type": "subscribe", "mode": "work", "credit": 1, "content": "x"}, "content"),
    ({"type": "subscribe", "mode": "broadcast", "kinds": ["x"]}, "kinds"),
    ({"type": "subscribe", "mode": "broadcast", "kinds": "leased"}, "kinds"),
    ({"type": "subscribe", "mode": "broadcast", "lease": 1}, "lease"),
    ({"type": "credit", "subscription": 1}, "credit"),
    ({"type": "credit", "subscription": 1, "credit": 1}, "subscription"),
    ({"type": "unsubscribe", "subscription": "1"}, "subscription"),
    ({"type": "unsubscribe", "subscription": 1}, "subscription"),
]


@pytest.mark.parametrize("protocol", ["json", "msgpack"])
def test_bad_frames_are_answered_and_change_nothing(url: str, protocol: str) -> None:
    async def main() -> None:
        async with (
            supersoniq.connect(url) as broker,
            served(broker, max_batch=100, max_credit=20) as address,
            dial(address, protocol) as client,
        ):
            for n, (frame, field) in enumerate(REFUSED):
                await client.send(**frame, id=n)
                answer = await client.hear()
                assert (answer["type"], answer.get("id")) == ("error", n), (frame, answer)
                problem = answer["problem"]
                assert problem["status"] == 400, (frame, problem)
                assert problem["data"]["field"].startswith(field), (frame, problem)
                assert problem["retry"] is False
            # An id that cannot be repeated is not.
            for bad in ({}, {"id": None}, {"id": ""}, {"id": -1}, {"id": 1.5}, {"id": "x" * 129}):
                await client.send(type="ping", **bad)
                answer = await client.hear()
                assert (answer["type"], "id" in answer) == ("error", False), (bad, answer)
                assert answer["problem"]["data"]["field"] == "id"
            assert (await client.done("ping"))["type"] == "ok"
            assert await broker.queues() in ([], ["default"])

    steady.run(main())


JSON_REFUSED = [
    b'{"type":"ping","id":5,"id":6}',
    b'{"id":5,"type":"publish","messages":[{"content":' + DEEP.encode() + b"}]}",
    b'{"id":5,"type":"publish","messages":[{"content":"\\ud800"}]}',
    b'{"id":5,"type":"publish","messages":[{"content":1,"\\ud800":1}]}',
    b'{"id":5,"type":"\\ud800"}',
]
JSON_UNREADABLE = [
    b"", b"x", b"{", b"[]", b"7", b"null", b'"x"', b"{}x", b'{"id":5,"x":NaN}', b"[" * 100_000,
    b'{"a":' * 100_000,
]  # fmt: skip
PACK_REFUSED = [
    msgspec.msgpack.encode({"id": 5, "type": "publish", "messages": [{"content": {1: 2}}]}),
    msgspec.msgpack.encode({"id": 5, "type": "publish", "messages": [{"content": [b"x"]}]}),
    msgspec.msgpack.encode({"id": 5, "type": "publish", "messages": [{"content": float("nan")}]}),
    msgspec.msgpack.encode(
        {"id": 5, "type": "publish", "messages": [{"content": msgspec.msgpack.Ext(5, b"x")}]}
    ),
    msgspec.msgpack.encode(
        {"id": 5, "type": "publish", "messages": [{"content": json.loads(DEEP)}]}
    ),
    msgspec.msgpack.encode({"id": 5, "type": "ping", 7: 8}),
]
PACK_UNREADABLE = [
    b"", b"\xc1", b"\x90", b"\x07", b"\xc0", b"\xa1x", b"\x81", b"\x80\x80", b"\x91" * 100_000,
    b"\xdf\xff\xff\xff\xff", b"\x81\x80\x80", b'{"type":"ping","id":1}',
]  # fmt: skip


def publish(frame: Request) -> list[Entry]:
    assert isinstance(frame, Publish), frame
    return [each.entry() for each in frame.messages]


@pytest.mark.parametrize("protocol", ["json", "msgpack"])
def test_whatever_comes_the_codec_says_what_it_is(protocol: str) -> None:
    codec = CODECS[f"supersoniq.v1.{protocol}"](64)
    refused, unreadable = {
        "json": (JSON_REFUSED, JSON_UNREADABLE),
        "msgpack": (PACK_REFUSED, PACK_UNREADABLE),
    }[protocol]
    for raw in refused:
        with pytest.raises((BadFrame, supersoniq.InvalidArgument)) as caught:
            publish(codec.read(raw))
        assert getattr(caught.value, "id", 5) in (5, 6), raw
    for raw in unreadable:
        with pytest.raises(Unreadable):
            codec.read(raw)
    encode = json.dumps if codec.text else msgspec.msgpack.encode
    made: Any = encode({"type": "ping", "id": 2**53})
    assert codec.read(made.encode() if codec.text else made) == Ping(id=2**53)


def test_refused_and_unreadable_frames_on_the_line(url: str) -> None:
    async def main() -> None:
        async with (
            supersoniq.connect(url) as broker,
            served(broker) as address,
        ):
            for protocol, refused, unreadable in (
                ("json", JSON_REFUSED, JSON_UNREADABLE),
                ("msgpack", PACK_REFUSED, PACK_UNREADABLE),
            ):
                async with dial(address, protocol) as client:
                    for raw in refused:
                        await client.socket.send(raw, text=client.text)
                        answer = await client.hear()
                        assert (answer["type"], answer["id"] in (5, 6)) == ("error", True), answer
                    await client.done("ping")
                for raw in unreadable[::3]:
                    async with dial(address, protocol) as client:
                        await client.socket.send(raw, text=client.text)
                        bye, code = await client.closed()
                        assert code == 4400
                        assert bye is not None
                        assert (bye["code"], bye["reason"], bye["retry"]) == (
                            4400,
                            "bad-frame",
                            False,
                        )
            assert (await broker.queue().stats()).published == 0

    steady.run(main())


@pytest.mark.parametrize(
    ("protocol", "frame", "code"),
    [
        ("json", b'{"type":"ping","id":1}', 4400),
        ("msgpack", '{"type":"ping","id":1}', 4400),
        ("json", '{"type":"ping","id":"' + "x" * 3000 + '"}', 1009),
        ("msgpack", b"x" * 3000, 1009),
    ],
)
def test_the_wrong_kind_and_too_much(protocol: str, frame: str | bytes, code: int) -> None:
    async def main() -> None:
        async with (
            supersoniq.connect() as broker,
            served(broker, max_body=2000) as address,
            dial(address) as other,
        ):
            async with dial(address, protocol) as client:
                await client.socket.send(frame)
                assert (await client.closed())[1] == code
            await other.done("ping")

    steady.run(main())


def test_text_that_is_no_utf_8() -> None:
    async def main() -> None:
        async with (
            supersoniq.connect() as broker,
            served(broker) as address,
            dial(address) as client,
        ):
            protocol = client.socket.protocol
            protocol.send_frame(Frame(Opcode.TEXT, b'{"type":"\xff"}'))
            client.socket.transport.writelines(protocol.data_to_send())
            assert (await client.closed())[1] == 1007

    steady.run(main())


def test_limits_of_one_connection(url: str) -> None:
    async def main() -> None:
        async with (
            supersoniq.connect(url) as broker,
            served(broker, max_subscriptions=3, max_credit=20, max_sockets=2) as address,
            dial(address) as client,
        ):
            work = {"mode": "work"}
            one = (await client.done("subscribe", **work, credit=15))["subscription"]
            problem = await client.refused("subscribe", **work, credit=6)
            assert problem["data"]["field"] == "credit"
            await client.done("subscribe", **work, credit=5)
            await client.done("subscribe", mode="broadcast")
            problem = await client.refused("subscribe", mode="broadcast")
            assert (problem["code"], problem["status"], problem["retry"]) == (
                "rate-limited", 429, True,
            )  # fmt: skip
            await client.refused("credit", subscription=one, credit=16)
            # What an ended subscription left unsettled still counts.
            await client.done("publish", messages=[{"content": n} for n in range(20)])
            held = await client.take(20)
            await client.done("unsubscribe", subscription=one)
            await client.refused("subscribe", **work, credit=1)
            await client.settle(held)
            await client.done("subscribe", **work, credit=15)
            async with dial(address):
                names = [Subprotocol("supersoniq.v1.json")]
                async with connect(address, subprotocols=names) as third:
                    assert json.loads(await third.recv())["type"] == "welcome"
                    bye = json.loads(await third.recv())
                    assert (bye["reason"], bye["retry"]) == ("too-many-connections", True)
                    with pytest.raises(ConnectionClosed) as caught:
                        await third.recv()
                    assert caught.value.rcvd is not None
                    assert caught.value.rcvd.code == 4429
            await client.done("ping")

    steady.run(main())


def test_who_says_nothing_is_closed() -> None:
    async def main() -> None:
        async with (
            supersoniq.connect() as broker,
            served(broker, hello_timeout=0.15) as address,
            dial(address) as silent,
            dial(address) as client,
        ):
            await client.done("ping")
            bye, code = await silent.closed()
            assert code == 4408
            assert bye is not None
            assert bye["reason"] == "too-slow"
            await client.done("ping")

    steady.run(main())


def test_who_may_connect(caplog: pytest.LogCaptureFixture) -> None:
    async def status(address: str, *names: str, origin: str | None = None) -> int:
        refused: InvalidStatus | None = None
        try:
            async with connect(
                address,
                subprotocols=[Subprotocol(name) for name in names],
                origin=None if origin is None else Origin(origin),
            ) as one:
                assert one.subprotocol in CODECS
        except InvalidStatus as error:
            refused = error
        if refused is None:
            return 101
        problem = json.loads(refused.response.body or b"")
        assert problem["status"] == refused.response.status_code
        return refused.response.status_code

    async def main() -> None:
        allowed = ["https://app.example.com", "http://localhost:3000"]
        async with supersoniq.connect() as broker:
            async with served(broker, allow_origins=allowed) as address:
                name = "supersoniq.v1.json"
                here = address.removesuffix("/ws").replace("ws://", "http://")
                for origin in (None, here, *allowed, "HTTPS://app.example.com"):
                    assert await status(address, name, origin=origin) == 101, origin
                for origin in (
                    "https://evil.example", "null", "http://127.0.0.1", here + "1", "", "http://[",
                    "https://app.example.com.evil.example", here.replace("http:", "x:"),
                ):  # fmt: skip
                    assert await status(address, name, origin=origin) == 403, origin
                assert await status(address, "other", "supersoniq.v1.msgpack") == 101
                assert await status(address, "other") == 400
                assert await status(address, "bearer.token") == 400
                async with httpx.AsyncClient() as client:
                    answer = await client.get(here + "/ws")
                    assert answer.status_code == 426
                    assert answer.headers["upgrade"] == "websocket"
                with pytest.raises(InvalidStatus):
                    await connect(address.replace("/ws", "/nothing"))
            async with served(broker, allow_origins=["*"]) as address:
                assert await status(address, name, origin="https://any.example") == 101
            for bad in ("https://a.example", ["a.example"], ["https://a.example/x"], [7], [""]):
                with pytest.raises(supersoniq.InvalidSetting, match="allow_origins"):
                    create_app(broker, allow_origins=bad)  # type: ignore[arg-type]

    steady.run(main())
    assert not [each for each in caplog.records if each.levelname == "ERROR"]


@pytest.mark.parametrize(
    ("origin", "host", "scheme", "same"),
    [
        ("https://app.example", "app.example", "ws", True),  # a proxy ended TLS
        ("https://app.example:443", "app.example", "wss", True),
        ("https://app.example", "app.example:8443", "wss", False),
        ("http://app.example:80", "APP.example", "ws", True),
        ("http://[::1]:8000", "[::1]:8000", "ws", True),
        ("http://app.example:99999", "app.example:99999", "ws", False),
        ("http://app.example", "", "ws", False),
        ("file://", "app.example", "ws", False),
    ],
)
def test_what_is_the_same_host(origin: str, host: str, scheme: str, same: bool) -> None:
    headers = [(b"origin", origin.encode()), (b"host", host.encode())]
    scope: dict[str, Any] = {"headers": headers, "scheme": scheme}
    if same:
        Origins().admit(scope)
    else:
        with pytest.raises(supersoniq.PermissionDenied):
            Origins().admit(scope)
