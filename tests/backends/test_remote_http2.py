"""What HTTP/2 can do to a request: refuse it, leave it out by a GOAWAY, hold it back, reset it.

And what HTTP/3 has in common with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import h2.config
import h2.connection
import h2.events
import msgspec
import pytest

import supersoniq
from supersoniq import BackendUnavailable, OutcomeUnknown
from supersoniq.backends.memory import MemoryBackend
from supersoniq.backends.remote import RemoteBackend, shared
from supersoniq.backends.remote.http import HttpTransport
from supersoniq.core import ops
from supersoniq.core.errors import InvalidArgument, SupersoniqError
from tests.backends.cutting import cuttable
from tests.backends.served import House, reach, tls

FRONT = (
    b'{"name":"supersoniq","version":"9","durability":"disk",'
    b'"limits":{"max_batch_body":10000000,"max_batch":10}}'
)
DONE = msgspec.msgpack.encode({"at": 1, "results": [{"ok": 7}]})


class Peer(asyncio.Protocol):
    """A server that greets, and then answers as it is told.

    Args:
        script: is given the peer and the number of a stream with a whole request.
    """

    def __init__(self, script: Callable[[Peer, int], None]) -> None:
        self.script = script
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self.transport: asyncio.Transport
        self.got = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.h2.initiate_connection()
        self.flush()

    def data_received(self, data: bytes) -> None:
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                path = dict(event.headers or []).get(b":path")
                if path == b"/":
                    self.answer(event.stream_id or 0, 200, FRONT)
            elif isinstance(event, h2.events.DataReceived):
                self.got += len(event.data or b"")
                self.h2.acknowledge_received_data(
                    event.flow_controlled_length or 0, event.stream_id or 0
                )
            elif isinstance(event, h2.events.StreamEnded) and event.stream_id != 1:
                self.script(self, event.stream_id or 0)
        self.flush()

    def answer(self, stream: int, status: int, body: bytes = b"", *, end: bool = True) -> None:
        self.h2.send_headers(stream, [(":status", str(status))])
        self.h2.send_data(stream, body, end_stream=end)

    def goaway(self, last: int) -> None:
        self.flush()
        body = last.to_bytes(4) + bytes(4)
        self.transport.write(len(body).to_bytes(3) + bytes((7, 0, 0, 0, 0, 0)) + body)

    def flush(self) -> None:
        if data := self.h2.data_to_send():
            self.transport.write(data)


async def against(script: Callable[[Peer, int], None], timeout: float) -> Any:
    """What an operation gives if it is answered like that."""
    peers: list[Peer] = []

    def peer() -> Peer:
        peers.append(Peer(script))
        return peers[-1]

    server = await asyncio.get_running_loop().create_server(peer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        async with supersoniq.connect(url, http="2", patience=0, timeout=60) as broker:
            assert isinstance(broker.backend, RemoteBackend)
            assert isinstance(broker.backend.transport, HttpTransport)
            broker.backend.transport._timeout = timeout
            (result,) = await broker.backend.execute([ops.Purge("q")])
            return result
    finally:
        server.close()
        for each in peers:
            each.transport.abort()
        await asyncio.sleep(0)


def fine(peer: Peer, stream: int) -> None:
    peer.h2.send_headers(stream, [(":status", "103")])
    peer.answer(stream, 200, DONE)


def with_trailers(peer: Peer, stream: int) -> None:
    peer.answer(stream, 200, DONE, end=False)
    peer.h2.send_headers(stream, [("x-sum", "1")], end_stream=True)


def refuses(peer: Peer, stream: int) -> None:
    peer.h2.reset_stream(stream, 7)


def resets(peer: Peer, stream: int) -> None:
    peer.h2.reset_stream(stream, 2)


def breaks_off(peer: Peer, stream: int) -> None:
    peer.answer(stream, 200, DONE[:5], end=False)
    peer.h2.reset_stream(stream, 8)


def leaves_out(peer: Peer, stream: int) -> None:
    peer.goaway(stream - 2)


def goes_but_answers(peer: Peer, stream: int) -> None:
    peer.goaway(stream)
    peer.answer(stream, 200, DONE)


def goes_and_does_not_answer(peer: Peer, stream: int) -> None:
    peer.goaway(stream)
    peer.transport.close()


def garbage(peer: Peer, stream: int) -> None:
    peer.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def cut(peer: Peer, stream: int) -> None:
    peer.transport.abort()


def too_large(peer: Peer, stream: int) -> None:
    peer.answer(stream, 413, b"{}")


def says_nothing(peer: Peer, stream: int) -> None: ...


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (fine, int),
        (with_trailers, int),
        (goes_but_answers, int),
        (refuses, BackendUnavailable),
        (leaves_out, BackendUnavailable),
        (resets, OutcomeUnknown),
        (breaks_off, OutcomeUnknown),
        (goes_and_does_not_answer, OutcomeUnknown),
        (garbage, OutcomeUnknown),
        (cut, OutcomeUnknown),
        (too_large, InvalidArgument),
        (says_nothing, OutcomeUnknown),
    ],
)
def test_strange_answers(script: Callable[[Peer, int], None], kind: type) -> None:
    result = asyncio.run(against(script, timeout=0.5 if script is says_nothing else 60))
    assert type(result) is kind, result


def test_a_peer_that_falls_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "SILENCE", 0.1)

    def falls(peer: Peer, stream: int) -> None:
        peer.transport.pause_reading()

    result = asyncio.run(against(falls, timeout=60))
    assert isinstance(result, OutcomeUnknown)
    assert "not a word" in str(result)


@pytest.mark.parametrize("connect_timeout", [0.1, 0.5])
def test_a_peer_that_never_shakes_hands(
    connect_timeout: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is pinged before a connection stands, nor once it was given up."""
    monkeypatch.setattr(shared, "SILENCE", 0.2)
    wrong: list[dict[str, Any]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: wrong.append(context))
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server:
            with pytest.raises(BackendUnavailable, match=f"within {connect_timeout:g} s"):
                await reach(url, "2", ca=tls()[0], connect_timeout=connect_timeout).open()
            await asyncio.sleep(0.5)

    asyncio.run(main())
    assert wrong == []


@pytest.mark.parametrize("door", ["2", "3"])
def test_large_requests_and_answers(door: str) -> None:
    """Beyond every window, both ways."""

    async def main() -> None:
        ca, certificate = tls()
        async with (
            House(MemoryBackend(), certificate=certificate) as house,
            reach(house.url, door, ca=ca) as broker,
        ):
            queue = broker.queue("q")
            contents = [bytes([n]) * 1_000_000 for n in range(6 if door == "2" else 2)]
            await queue.publish_many(contents)
            got: list[supersoniq.Delivery] = []
            while some := await queue.get_many(10, wait=0):
                got += some
            assert [each.content for each in got] == contents
            await queue.ack_many(got)

    asyncio.run(main())


def test_one_connection_for_all_and_who_gives_up_hinders_nobody() -> None:
    async def main() -> None:
        async with cuttable("2") as (house, cutter, broker):
            assert isinstance(broker.backend, RemoteBackend)
            transport = broker.backend.transport
            assert isinstance(transport, HttpTransport)
            waiting = asyncio.ensure_future(broker.queue("q").get())
            sending = [asyncio.ensure_future(transport.send([])) for _ in range(40)]
            await asyncio.sleep(0)
            for each in sending[::2]:
                each.cancel()
            done = await asyncio.gather(*sending, return_exceptions=True)
            assert [each.results for each in done[1::2] if not isinstance(each, BaseException)] == [
                [] for _ in sending[1::2]
            ]
            await asyncio.sleep(0.05)
            await house.broker.queue("q").publish("x")
            assert await asyncio.wait_for(waiting, 60) is not None
            assert cutter.connections == 1

    asyncio.run(main())


def test_streams_that_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next connection has streams again."""
    monkeypatch.setattr(h2.connection.H2Connection, "HIGHEST_ALLOWED_STREAM_ID", 9)

    async def main() -> None:
        async with cuttable("2") as (_house, cutter, broker):
            queue = broker.queue("q")
            for n in range(20):
                await queue.publish(f"{n}")
            assert (await queue.stats()).published == 20
            assert cutter.connections > 3

    asyncio.run(main())


@pytest.mark.parametrize("door", ["2", "3"])
def test_a_server_that_is_restarted(door: str) -> None:
    """With somebody who waits, who is woken over the new connection."""

    async def main() -> None:
        ca, certificate = tls()
        async with House(MemoryBackend(), certificate=certificate) as house:
            broker = await reach(house.url, door, ca=ca, patience=60).open()
            await broker.queue("q").publish("lost with the memory")
            waiting = asyncio.ensure_future(broker.queue("r").get())
            await asyncio.sleep(0.05)
        async with House(MemoryBackend(), house.port, certificate=certificate) as again:
            stored = await broker.queue("q").publish("x", key="x")
            assert not stored.duplicate
            await again.broker.queue("r").publish("y")
            delivery = await asyncio.wait_for(waiting, 60)
            assert delivery is not None
            await delivery.ack()
            await broker.close()

    asyncio.run(main())


@pytest.mark.parametrize("door", ["2", "3"])
def test_nobody_there_and_nobody_to_be_trusted(door: str) -> None:
    async def main() -> None:
        ca, certificate = tls()
        async with House(MemoryBackend(), certificate=certificate) as house:
            url = house.url
            with pytest.raises(BackendUnavailable):
                await reach(url, door, connect_timeout=3).open()
            other = url.replace("localhost", "127.0.0.1")
            with pytest.raises(BackendUnavailable):
                await reach(other, door, ca=ca, connect_timeout=3).open()
        with pytest.raises(BackendUnavailable):
            await reach(url, door, ca=ca, connect_timeout=0.3).open()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("module", "version", "extra"), [("h2", "2", "http2"), ("aioquic", "3", "http3")]
)
def test_the_extra_is_asked_for(
    module: str, version: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    for name in [
        each for each in sys.modules if each.startswith("supersoniq.backends.remote.http")
    ]:
        if name[-1].isdigit():
            monkeypatch.delitem(sys.modules, name)
    for name in [each for each in sys.modules if each.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(supersoniq.MissingExtra) as caught:
        supersoniq.connect("https://host", http=version)
    assert f"pip install 'supersoniq[{extra}]'" in str(caught.value)
    assert isinstance(caught.value, SupersoniqError)
