"""The client on uvloop, which many web servers run on: through every door, with TLS and without."""

from __future__ import annotations

import asyncio

import pytest

from supersoniq.backends.remote import socket as websocket
from tests.backends.served import hosted, reach, tls

uvloop = pytest.importorskip("uvloop", reason="there is no uvloop for this system")


@pytest.mark.parametrize(
    ("door", "secure"),
    [
        ("1.1", False),
        ("2", False),
        ("ws", False),
        ("1.1", True),
        ("2", True),
        ("ws", True),
        ("3", True),
    ],
)
def test_a_message_goes_through(door: str, secure: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    # Over TLS its last words would outlive this loop, which uvloop complains of.
    monkeypatch.setattr(websocket, "LINGER", 0)
    ca, chain = tls()

    async def main(url: str) -> str:
        async with reach(url, door, **({"ca": ca} if secure else {})) as broker:
            queue = broker.queue("q")
            await queue.publish("hello")
            delivery = await queue.get(wait=10)
            assert delivery is not None
            await delivery.ack()
            assert (await queue.stats()).acked == 1
            text = delivery.text()
        await asyncio.sleep(0.01)
        return text

    certificate = chain if secure else None
    with (
        hosted(certificate=certificate) as url,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        assert runner.run(main(url)) == "hello"
