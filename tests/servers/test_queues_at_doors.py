"""How many queues there may be: whoever would make another one is told so, at every door."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from supersoniq import Policy, TooManyQueues, connect
from supersoniq.adapters import create_app
from supersoniq.adapters.http import serve as serving
from supersoniq.api.broker import Broker
from supersoniq.backends.memory import MemoryBackend
from supersoniq.backends.remote import RemoteBackend
from supersoniq.core.errors import InvalidSetting
from tests.adapters.calling import Caller
from tests.auth import tokens
from tests.backends.served import House, tls
from tests.servers.doors import HTTP, SOCKETS, Doors, doors

MOST = 2
FACTS = {"queue": "more", "limit": MOST}
CONTENT = {"content": "x"}
SENT = {"content": "aGVsbG8=", "content_type": "text/plain"}


def of(name: str) -> str:
    return tokens.good(sub=name, scope="publish:* browse:* manage:* consume:*")


async def at_http(all: Doors, door: str) -> None:
    ask, token = all.http(door).ask, of("anna")
    for method, path, body in (
        ("POST", "/queues/more/messages", CONTENT),
        ("POST", "/queues/more/messages", [CONTENT, CONTENT]),
        ("PUT", "/queues/more", {"lease": 5}),
    ):
        answer = await ask(method, path, token, body)
        assert answer.status == 403, (door, method, path)
        problem = answer.json
        assert (problem["code"], problem["retry"]) == ("too-many-queues", False)
        assert problem["data"] == FACTS
        assert "www-authenticate" not in answer.fields
    batch = [
        {"op": "publish", "queue": "more", "messages": [SENT]},
        {"op": "configure", "queue": "more", "changes": {}},
        {"op": "import", "queue": "more", "messages": []},
        {"op": "publish", "queue": "there", "messages": [SENT]},
    ]
    answer = await ask("POST", "/operations", token, batch)
    assert answer.status == 200, answer.body
    results = answer.json["results"]
    for each in results[:3]:
        assert (each["error"]["code"], each["error"]["data"]) == ("too-many-queues", FACTS)
    assert "ok" in results[3]
    assert (await ask("POST", "/queues/there/messages", token, CONTENT)).status == 201
    assert (await ask("PUT", "/queues/there", token, {"lease": 5})).status == 200


async def at_socket(all: Doors, door: str) -> None:
    async with all.socket(door, of("anna")) as talk:
        answer = await talk.ask("publish", queue="more", messages=[CONTENT])
        assert answer["problem"]["code"] == "too-many-queues"
        operation = {"op": "configure", "queue": "more", "changes": {}}
        answer = await talk.ask("operations", operations=[operation])
        assert answer["results"][0]["error"]["data"] == FACTS
        assert (await talk.ask("publish", queue="there", messages=[CONTENT]))["type"] == "ok"


def test_every_door() -> None:
    async def main() -> None:
        async with doors(auth=tokens.verifier()) as all:
            broker = all.house.broker
            broker.backend.max_queues = MOST
            for name in ("default", "there"):
                await broker.queue(name).configure()
            await asyncio.gather(
                *(at_http(all, door) for door in HTTP),
                *(at_socket(all, door) for door in SOCKETS),
            )
            assert await broker.queues() == ["default", "there"]
            meter = all.house.app.service.meter
            assert meter is not None
            each = {"too-many-queues": 6 * len(HTTP) + 2 * len(SOCKETS)}
            assert meter.tally.refused == each  # also of what was in batches

    asyncio.run(main())


def test_bodies_of_other_kinds() -> None:
    """Lines, and a body that is the content itself."""
    broker = Broker(MemoryBackend())
    broker.backend.max_queues = 1
    app = create_app(broker)
    caller = Caller(app)
    try:
        caller.run(broker.open)
        for kind, body in (("application/x-ndjson", json.dumps(CONTENT)), ("image/png", "x")):
            fields = [("content-type", kind)]
            path = "/queues/{}/messages"
            first = caller.call("POST", path.format("first"), fields, body.encode())
            assert first.status == 201
            more = caller.call("POST", path.format("more"), fields, body.encode())
            assert more.status == 403
            assert json.loads(more.body)["code"] == "too-many-queues"
        # The default queue cannot be made any more: the others are there all the same.
        assert caller.call("GET", "/stats").status == 200
        assert caller.call("POST", "/messages", [], b"x").status == 403
    finally:
        caller.run(broker.close)
        caller.close()


@pytest.mark.parametrize("door", ["1.1", "2", "3", "ws"])
def test_the_python_client(door: str) -> None:
    async def main() -> None:
        secure: dict[str, Any] = {"certificate": tls()[1]} if door == "3" else {}
        async with House(MemoryBackend(), **secure) as house:
            house.broker.backend.max_queues = 1
            options = {"ca": tls()[0]} if door == "3" else {}
            async with Broker(house.connect(door, **options)) as broker:
                await broker.queue("q").publish("x")
                with pytest.raises(TooManyQueues) as told:
                    await broker.queue("more").publish("x")
                assert told.value.data == {"queue": "more", "limit": 1}
                with pytest.raises(TooManyQueues):
                    await broker.queue("more", lease=5).configure()
                assert await broker.queues() == ["q"]
                with pytest.raises(InvalidSetting, match="does not bound"):
                    connect(house.url, max_queues=3)

    asyncio.run(main())


def test_a_server_has_a_bound(tmp_path: Path) -> None:
    """Its own, if neither it nor the broker was given one."""

    def bound(broker: Broker, **options: Any) -> int | None:
        serving.serve(broker, dry=True, **options)
        return broker.backend.max_queues

    assert bound(connect()) == serving.MAX_QUEUES == 10_000
    assert bound(connect(f"sqlite:///{tmp_path}/q.db")) == 10_000
    assert bound(connect(), max_queues=5) == 5
    assert bound(connect(max_queues=7)) == 7
    assert bound(connect(max_queues=7), max_queues=5) == 5
    remote = Broker(connect("http://127.0.0.1:1").backend)
    assert isinstance(remote.backend, RemoteBackend)
    assert bound(remote) is None
    with pytest.raises(InvalidSetting, match="does not bound"):
        bound(remote, max_queues=5)


@pytest.mark.parametrize("value", [0, -1, True, 1.5, "7", 2**41])
def test_what_cannot_be(value: Any) -> None:
    with pytest.raises(InvalidSetting, match="max_queues"):
        connect(max_queues=value)


def test_processes_of_one_file_count_each_others(tmp_path: Path) -> None:
    async def main() -> None:
        url = f"sqlite:///{tmp_path}/q.db"
        async with connect(url, max_queues=1) as one, connect(url) as other:
            await other.queue("theirs").publish("x")
            with pytest.raises(TooManyQueues):
                await one.queue("ours").publish("x")
            await other.queue("ours").publish("x")
            await one.queue("ours").publish("x")
            assert await one.queue("ours").policy() == Policy()

    asyncio.run(main())
