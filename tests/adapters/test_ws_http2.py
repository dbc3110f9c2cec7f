"""The same protocol where the WebSocket is a stream of an HTTP/2 connection (RFC 8441)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from wsproto.events import CloseConnection, TextMessage

import supersoniq
from supersoniq.adapters import create_app
from tests.adapters.sockets import until
from tests.servers.http2 import client, serving
from tests.servers.test_h2_websocket import Socket, websocket

JSON = "supersoniq.v1.json"


def app_of(broker: supersoniq.Broker) -> Any:
    return create_app(broker)


async def hear(ws: Socket, kind: str) -> dict[str, Any]:
    while True:
        event = await ws.receive()
        assert isinstance(event, TextMessage), event
        frame: dict[str, Any] = json.loads(event.data)
        if frame["type"] == kind:
            return frame


@pytest.mark.parametrize("url", ["memory://"])
@pytest.mark.parametrize("how", ["stream", "connection", "drain"])
def test_work_over_a_stream(url: str, how: str) -> None:
    async def main() -> None:
        async with supersoniq.connect(url) as broker:
            app = app_of(broker)
            queue = broker.queue(max_deliveries=1)
            async with serving(app) as server, client(server) as one:
                async with websocket(one, "/ws", "bearer.x", JSON) as ws:
                    assert one.answers[ws.number].fields[b"sec-websocket-protocol"] == JSON.encode()
                    assert (await hear(ws, "welcome"))["server"] == "supersoniq"
                    asked: list[dict[str, Any]] = [
                        {
                            "type": "publish",
                            "id": 1,
                            "messages": [{"content": n} for n in range(9)],
                        },
                        {"type": "subscribe", "id": 2, "mode": "work", "credit": 4},
                    ]
                    for frame in asked:
                        await ws.send(TextMessage(json.dumps(frame)))
                    messages = (await hear(ws, "deliver"))["messages"]
                    assert [each["content"] for each in messages] == [0, 1, 2, 3]
                    ack = {"receipt": messages[0]["receipt"], "outcome": "ack"}
                    frame = {"type": "settle", "id": 3, "settlements": [ack]}
                    await ws.send(TextMessage(json.dumps(frame)))
                    assert len((await hear(ws, "deliver"))["messages"]) == 1
                    assert (await queue.stats()).leased == 4
                    if how == "drain":
                        app.drain()
                        assert (await hear(ws, "bye"))["code"] == 1001
                        assert await ws.receive() == CloseConnection(1001, "going-away")
                    elif how == "stream":
                        one.h2.reset_stream(ws.number)
                        one.flush()
                    else:
                        one.writer.transport.abort()

                async def back() -> bool:
                    return (await queue.stats()).leased == 0

                await until(back)
                stats = await queue.stats()
                assert (stats.ready, stats.acked, stats.dead) == (8, 1, 0)

    asyncio.run(main())


def test_a_handshake_that_is_refused() -> None:
    async def main() -> None:
        async with (
            supersoniq.connect() as broker,
            serving(app_of(broker)) as server,
            client(server) as one,
            websocket(one, "/ws", "other") as ws,
        ):
            answer = one.answers[ws.number]
            assert answer.status == 400
            await one.answer(ws.number)
            assert json.loads(bytes(answer.body))["code"] == "invalid-argument"

    asyncio.run(main())
