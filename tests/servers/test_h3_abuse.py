"""Clients that do not keep to the rules: their fault is theirs, and the next client is served."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aioquic.buffer import encode_uint_var

from supersoniq.servers.h3.protocol import Protocol
from tests.servers.h3_client import Client, Fields, honest, request_head, serving, until, visiting

GET = request_head("GET", "/")


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Reads all, then answers; early at ``/early``."""
    while scope["path"] != "/early":
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        if not message["more_body"]:
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture(autouse=True)
def no_traceback(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What a peer does wrong is no error of ours."""
    yield
    for record in caplog.records:
        if record.name.startswith("supersoniq"):
            assert record.levelname in ("DEBUG", "INFO"), record.getMessage()


def without(name: bytes) -> Fields:
    return [field for field in GET if field[0] != name]


HEADS: dict[str, Fields] = {
    "non-ascii path": request_head("GET", "/\xff\xe9"),
    "no path": without(b":path"),
    "empty path": [*without(b":path"), (b":path", b"")],
    "no slash": request_head("GET", "path"),
    "space in path": request_head("GET", "/a b"),
    "no method": without(b":method"),
    "no authority": without(b":authority"),
    "no scheme": without(b":scheme"),
    "connect without path": [(b":method", b"CONNECT"), (b":authority", b"a:1")],
    "connect with path": request_head("CONNECT", "/"),
    "protocol unknown": [*request_head("CONNECT", "/"), (b":protocol", b"tea")],
    "protocol without connect": [*GET, (b":protocol", b"websocket")],
    "path twice": [*GET, (b":path", b"/")],
    "method twice": [*GET, (b":method", b"POST")],
    "pseudo field late": [(b"x-a", b"1"), *GET],
    "pseudo field unknown": [*GET, (b":tea", b"1")],
    "status in a request": [*GET, (b":status", b"200")],
    "upper case": [*GET, (b"X-A", b"1")],
    "space in a name": [*GET, (b"x a", b"1")],
    "line break": [*GET, (b"x-a", b"1\r\nx-b: 2")],
    "zero": [*GET, (b"x-a", b"\x00")],
    "connection": [*GET, (b"connection", b"close")],
    "transfer-encoding": [*GET, (b"transfer-encoding", b"chunked")],
    "length no number": [*GET, (b"content-length", b"+5")],
    "length negative": [*GET, (b"content-length", b"-5")],
    "lengths differ": [*GET, (b"content-length", b"5"), (b"content-length", b"6")],
    "hosts differ": [*GET, (b"host", b"elsewhere")],
    "fields too large": [*GET, (b"x-a", b"x" * 30_000)],
    "fields too many": [*GET, *((b"x-%d" % n, b"") for n in range(3000))],
}


def test_a_bad_head_costs_its_stream_only(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(app, tmp_path) as server, visiting(server) as client:
            client.never_stop()
            for name, head in HEADS.items():
                for end in (True, False):
                    stream_id = client.open(head, end=end)
                    answer = await client.answer(stream_id).wait()
                    assert answer.reset is None, name
                    assert answer.status in (400, 431, 501), name
                    if not end:
                        client.raw(stream_id, b"\x00\x04more", end=True)
                assert (await client.request("GET", "/")).status == 200
                assert client.ended is None
                await honest(server)

    asyncio.run(main())


@pytest.mark.parametrize("length", [b"3", b"9"])
def test_a_length_that_is_not_kept(tmp_path: Path, length: bytes) -> None:
    async def main() -> None:
        async with serving(app, tmp_path) as server, visiting(server) as client:
            stream_id = client.open([*request_head("POST", "/"), (b"content-length", length)])
            client.send(stream_id, b"xxxxx", end=True)
            assert (await client.answer(stream_id).wait()).reset == 0x10E
            assert (await client.request("GET", "/")).status == 200
            bad_trailers = client.open(request_head("POST", "/"))
            client.http.send_headers(bad_trailers, [(b":path", b"/")], True)
            client.transmit()
            assert (await client.answer(bad_trailers).wait()).reset == 0x10E
            assert (await client.request("GET", "/")).status == 200
            await honest(server)

    asyncio.run(main())


def connection_of(server: Any, client: Any) -> Protocol:
    """The server's side of a connection."""
    address = client._transport.get_extra_info("sockname")
    connections: list[Protocol] = list(server._listener.connections)
    (found,) = (each for each in connections if each.quic.get_peer_address() == address)
    return found


def frame(kind: int, content: bytes = b"") -> bytes:
    return encode_uint_var(kind) + encode_uint_var(len(content)) + content


def on_a_stream(data: bytes, end: bool = False) -> Callable[[Client], None]:
    return lambda client: client.raw(client._quic.get_next_available_stream_id(), data, end=end)


def on_control(data: bytes, end: bool = False) -> Callable[[Client], None]:
    return lambda client: client.raw(client.http._local_control_stream_id or 0, data, end=end)


def on_a_new_uni(data: bytes, end: bool = False) -> Callable[[Client], None]:
    def send(client: Client) -> None:
        client.raw(client._quic.get_next_available_stream_id(is_unidirectional=True), data, end=end)

    return send


BREAKS: dict[str, Callable[[Client], None]] = {
    "data first": on_a_stream(frame(0, b"x")),
    "settings on a stream": on_a_stream(frame(4)),
    "goaway on a stream": on_a_stream(frame(7, b"\x00")),
    "push promise": on_a_stream(frame(5, b"\x00\x00")),
    "http/2 frame": on_a_stream(frame(6, b"\x00")),
    "field block of nonsense": on_a_stream(frame(1, b"\xff" * 50)),
    "field block cut": on_a_stream(frame(1)),
    "field block empty": on_a_stream(frame(1, b"\0\0")),
    "dynamic table": on_a_stream(frame(1, b"\x05\x00\x80\x11")),
    "truncated frame": on_a_stream(b"\x01\x40", end=True),
    "truncated block": on_a_stream(frame(1, b"\x00" * 20)[:10], end=True),
    "settings twice": on_control(frame(4)),
    "data on control": on_control(frame(0, b"x")),
    "control stream ends": on_control(b"", end=True),
    "second control stream": on_a_new_uni(b"\x00" + frame(4)),
    "push stream": on_a_new_uni(b"\x01\x00"),
    "encoder nonsense": on_a_new_uni(b"\x02" + b"\xff" * 30),
    "decoder nonsense": on_a_new_uni(b"\x03" + b"\xff" * 30),
    "webtransport": on_a_new_uni(b"\x40\x54\x00hello", end=True),
    "webtransport stream": on_a_stream(b"\x40\x41\x00hello", end=True),
}


def test_broken_framing_costs_its_connection_at_most(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(app, tmp_path) as server:
            for send in BREAKS.values():
                async with visiting(server) as client:
                    assert (await client.request("GET", "/")).status == 200
                    send(client)
                    await asyncio.sleep(0.02)
                    await honest(server)

    asyncio.run(main())


def test_frames_that_are_unknown_or_endless_fill_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(app, tmp_path) as server, visiting(server) as client:
            stream_id = client._quic.get_next_available_stream_id()
            for _ in range(3):
                client.raw(stream_id, frame(0x21, bytes(100_000)))
            client.http.send_headers(stream_id, GET, True)
            assert (await client.answer(stream_id).wait()).status == 200
            # A MAX_PUSH_ID frame that says it has a GiB, and begins to send it.
            on_control(b"\x0d\xc0\x00\x00\x00\x40\x00\x00\x00" + bytes(2_000_000))(client)
            await asyncio.sleep(0.3)
            connection = connection_of(server, client)
            kept = sum(len(stream.buffer) for stream in connection.framing._stream.values())
            assert kept <= server.limits.window
            assert (await client.request("GET", "/")).status == 200
            await honest(server)

    asyncio.run(main())


STATES: dict[str, Callable[[Client], int]] = {}


def state(make: Callable[[Client], int]) -> Callable[[Client], int]:
    STATES[make.__name__] = make
    return make


@state
def nothing_sent(client: Client) -> int:
    stream_id = client._quic.get_next_available_stream_id()
    client._quic._get_or_create_stream_for_send(stream_id)
    return stream_id


@state
def half_a_head(client: Client) -> int:
    stream_id = client._quic.get_next_available_stream_id()
    client.raw(stream_id, b"\x01\x20\x00\x00\xd1")
    return stream_id


@state
def head_sent(client: Client) -> int:
    return client.open(request_head("POST", "/"))


@state
def half_a_body(client: Client) -> int:
    stream_id = client.open(request_head("POST", "/"))
    client.raw(stream_id, b"\x00\x40\xff" + b"x" * 60)
    return stream_id


@state
def all_sent(client: Client) -> int:
    return client.open(GET, end=True)


@state
def answered_early(client: Client) -> int:
    return client.open(request_head("POST", "/early"))


@state
def refused(client: Client) -> int:
    return client.open(without(b":path"))


@pytest.mark.parametrize("how", ["reset", "stop", "both"])
def test_cancelled_in_each_state(tmp_path: Path, how: str) -> None:
    async def visit(server: Any, name: str, pause: float) -> None:
        async with visiting(server) as client:
            client.never_stop()
            stream_id = STATES[name](client)
            await asyncio.sleep(pause)
            if how != "stop" and stream_id in client._quic._streams:
                client.reset(stream_id)
            if how != "reset" and stream_id in client._quic._streams:
                client.stop(stream_id)
            await asyncio.sleep(0.01)
            assert (await client.request("GET", "/")).status == 200
            assert client.ended is None
            await honest(server)

    async def main() -> None:
        async with serving(app, tmp_path) as server:
            before = len(asyncio.all_tasks())
            for name in STATES:
                for pause in (0.0, 0.03):
                    await visit(server, name, pause)
            await until(lambda: len(asyncio.all_tasks()) <= before, 2)

    asyncio.run(main())


def test_who_cancels_without_end_is_shown_out(tmp_path: Path) -> None:
    async def main() -> None:
        limits = {"cancels": 50, "cancels_per_second": 0.0, "max_streams": 20}
        async with serving(app, tmp_path, **limits) as server, visiting(server) as client:
            sent = 0
            async with asyncio.timeout(10):
                while client.ended is None:
                    if client.may_open():
                        client.reset(client.open(request_head("POST", "/")))
                        sent += 1
                    await asyncio.sleep(0.001)
            assert client.ended.error_code == 0x107
            assert 50 <= sent <= 80
            await honest(server)

    asyncio.run(main())


def test_noise_on_the_socket(tmp_path: Path) -> None:
    """Datagrams that are nothing, or begin like something."""

    async def main() -> None:
        chance = random.Random(7)
        async with serving(app, tmp_path) as server:
            noise = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            noise.connect(("127.0.0.1", server.port))
            begins = (b"", b"\xc0\0\0\0\1", b"\xc3\0\0\0\1\x08", b"\xd0\x6b\x33\x43\xcf", b"\x40")
            for n in range(1500):
                size = chance.choice((0, 1, 5, 30, 1200, 1400, 9000))
                noise.send(begins[n % len(begins)] + chance.randbytes(size))
                if n % 50 == 0:
                    await asyncio.sleep(0.005)
            noise.close()
            assert server.connections == 0
            await honest(server)

    asyncio.run(main())


def test_noise_on_streams(tmp_path: Path) -> None:
    async def main() -> None:
        chance = random.Random(11)
        async with serving(app, tmp_path) as server:
            for _ in range(15):
                async with visiting(server) as client:
                    for _ in range(10):
                        kind = chance.choice((0, 1, 4, 5, 0x21, 0x41))
                        data = chance.randbytes(chance.choice((0, 1, 8, 200, 5000)))
                        head = (
                            frame(1, b"\0\0\xd1\xd7\xc1\x50\x01x") if chance.random() < 0.5 else b""
                        )
                        on_a_stream(head + frame(kind, data), end=chance.random() < 0.5)(client)
                        await asyncio.sleep(0)
            await honest(server)

    asyncio.run(main())


def test_noise_in_place_of_packets(tmp_path: Path) -> None:
    """A client of good standing sends datagrams that were damaged, or are of another one."""

    async def main() -> None:
        chance = random.Random(3)
        async with serving(app, tmp_path) as server, visiting(server) as client:
            transport: Any = client._transport
            send = transport.sendto

            def damaged(data: bytes, address: Any = None) -> None:
                for _ in range(3):
                    changed = bytearray(data)
                    for _ in range(chance.randrange(1, 4)):
                        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
                    send(bytes(changed[: chance.randrange(1, len(changed) + 1)]), address)
                send(data, address)

            client._transport = type("", (), {"sendto": staticmethod(damaged)})()
            for _ in range(20):
                assert (await client.request("GET", "/")).status == 200
            client._transport = transport
            await honest(server)

    asyncio.run(main())


def test_nothing_ends_the_listener(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault of any kind, anywhere below, costs one connection."""

    async def main() -> None:
        async with serving(app, tmp_path) as server:
            for name, owner in (
                ("receive_datagram", "quic"),
                ("datagrams_to_send", "quic"),
                ("get_timer", "quic"),
                ("next_event", "quic"),
                ("_http", None),
                ("quic_event_received", None),
            ):
                async with visiting(server) as client:
                    assert (await client.request("GET", "/")).status == 200
                    protocol = connection_of(server, client)
                    target: Any = protocol.quic if owner else protocol
                    setattr(target, name, _fail)
                    stream_id = client.open(GET, end=True)
                    await asyncio.sleep(0.05)
                    assert client.answer(stream_id).status == 0
                    await honest(server)
            monkeypatch.setattr(Protocol, "__init__", _fail)
            with pytest.raises((TimeoutError, ConnectionError)):
                async with asyncio.timeout(0.3), visiting(server):
                    pass
            monkeypatch.undo()
            await honest(server)

    asyncio.run(main())
    assert any("ZeroDivisionError" in record.getMessage() for record in caplog.records)
    caplog.clear()


def _fail(*_args: object, **_named: object) -> Any:
    raise ZeroDivisionError
