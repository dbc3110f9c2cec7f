"""What only the WebSocket has: its leases end with it, HTTP is there where it is not, and its peer
may say anything at any time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

import supersoniq
from supersoniq import BackendUnavailable, IncompatibleStore, LeaseLost, OutcomeUnknown
from supersoniq.backends.memory import MemoryBackend
from supersoniq.backends.remote import RemoteBackend, socket
from supersoniq.backends.remote.websocket import SocketTransport
from supersoniq.core import ops
from supersoniq.core.errors import InvalidArgument, SupersoniqError
from tests.backends.served import Cutter, House, reach, tls

WELCOME = {
    "type": "welcome",
    "server": "supersoniq",
    "version": "9",
    "durability": "disk",
    "limits": {"max_frame": 1000, "max_batch": 10, "max_batch_body": 1000, "news": 1},
    "news": [1],
}
pack = msgspec.msgpack.encode


def transport(broker: supersoniq.Broker) -> SocketTransport:
    assert isinstance(broker.backend, RemoteBackend)
    assert isinstance(broker.backend.transport, SocketTransport)
    return broker.backend.transport


async def until(reached: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await reached():  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.001)


# Leases.


@pytest.mark.parametrize("how", ["closed", "cut"])
def test_leases_end_with_the_connection(how: str) -> None:
    """At once and uncounted; what was settled stays settled."""

    async def main() -> None:
        async with (
            House(MemoryBackend()) as house,
            Cutter(house.port) as cutter,
            reach(cutter.url, "ws") as broker,
        ):
            here, queue = house.broker.queue("q"), broker.queue("q")
            await here.publish_many([b"%d" % n for n in range(4)])
            first, second, *_ = await queue.get_many(4)
            await first.ack()
            await second.extend(60)
            assert (await here.stats()).leased == 3
            if how == "closed":
                await broker.backend.close()
            else:
                house.cut()

            async def back() -> bool:
                return (await here.stats()).ready == 3

            await until(back)
            again = await here.get_many(4)
            assert [each.attempt for each in again] == [1, 1, 1]
            if how == "cut":
                with pytest.raises(LeaseLost):
                    await second.ack()

    asyncio.run(main())


def test_a_lease_whose_answer_is_lost_is_released() -> None:
    async def main() -> None:
        async with (
            House(MemoryBackend()) as house,
            Cutter(house.port) as cutter,
            reach(cutter.url, "ws", patience=0) as broker,
        ):
            here = house.broker.queue("q")
            queue = broker.queue("q")
            assert await queue.get(wait=0) is None
            await here.publish("x")
            cutter.arm(down=5)
            with pytest.raises(OutcomeUnknown):
                await queue.get(wait=0)

            async def back() -> bool:
                return (await here.stats()).released == 1

            await until(back)
            assert (await here.stats()).ready == 1

    asyncio.run(main())


# One connection for everything.


def test_all_goes_over_one_connection() -> None:
    async def main() -> None:
        async with (
            House(MemoryBackend()) as house,
            Cutter(house.port) as cutter,
            reach(cutter.url, "ws") as broker,
        ):
            waiting = [asyncio.ensure_future(broker.queue(f"q{n}").get()) for n in range(20)]
            await asyncio.sleep(0.05)
            for n in range(20):
                await broker.queue(f"q{n}").publish(f"{n}")
            got = await asyncio.wait_for(asyncio.gather(*waiting), 10)
            assert [each.text() for each in got if each] == [f"{n}" for n in range(20)]
            batches = [broker.backend.execute([ops.Stats(f"q{n % 20}")] * 5) for n in range(100)]
            for results in await asyncio.gather(*batches):
                assert [each.published for each in results] == [1] * 5
            assert cutter.connections == 1

    asyncio.run(main())


def test_what_is_too_large_for_a_frame_is_posted() -> None:
    async def main() -> None:
        async with (
            House(MemoryBackend(), max_body=20_000, max_batch_body=100_000) as house,
            Cutter(house.port) as cutter,
            reach(cutter.url, "ws") as broker,
        ):
            queue = broker.queue("q")
            await queue.publish("small")
            assert cutter.connections == 1
            await queue.publish_many(["x" * 5000] * 10)
            assert cutter.connections == 2
            with pytest.raises(InvalidArgument, match="100000 bytes"):
                await queue.publish_many(["x" * 5000] * 30)
            # Its answers come in frames of a bounded size, and are put together here.
            assert len(await queue.browse(limit=100)) == 11
            got: list[supersoniq.Delivery] = []
            while some := await queue.get_many(11, wait=0):
                got += some
            assert len(got) == 11
            await queue.ack_many(got)
            assert (await queue.stats()).acked == 11
            assert cutter.connections == 2

    asyncio.run(main())


def test_over_tls() -> None:
    async def main() -> None:
        ca, certificate = tls()
        async with House(MemoryBackend(), certificate=certificate) as house:
            async with reach(house.url, "ws", ca=ca) as broker:
                await broker.queue("q").publish("x")
                assert transport(broker).leases_stay is False
            with pytest.raises(BackendUnavailable):
                await reach(house.url, "ws").open()

    asyncio.run(main())


def test_what_is_under_way_is_answered_before_the_server_leaves() -> None:
    async def main() -> None:
        async with House(MemoryBackend()) as house, reach(house.url, "ws", patience=0) as broker:
            await broker.queues()
            engine = house.broker.engine
            begun, go_on = asyncio.Event(), asyncio.Event()
            execute = house.broker.backend.execute

            async def slow(batch: Any) -> list[Any]:
                begun.set()
                await go_on.wait()
                return await execute(batch)

            engine.direct = None
            engine._coalescer._execute = slow
            publish = ops.Publish("q", [supersoniq.Draft("x").entry])
            before = asyncio.ensure_future(broker.backend.execute([publish]))
            await begun.wait()
            house.app.drain()
            await asyncio.sleep(0)
            after = asyncio.ensure_future(broker.backend.execute([publish]))
            await asyncio.sleep(0.05)
            assert not after.done()
            go_on.set()
            (stored,) = await before
            assert [each.durability for each in stored] == ["memory"]
            # It was sent when nothing was read any more: it is known not to be done.
            (refused,) = await after
            assert isinstance(refused, BackendUnavailable)
            assert (await house.broker.queue("q").stats()).published == 1

    asyncio.run(main())


def test_under_a_prefix() -> None:
    paths: list[str] = []

    async def handle(connection: ServerConnection) -> None:
        assert connection.request is not None
        paths.append(connection.request.path)
        await connection.send(pack(WELCOME))
        await connection.wait_closed()

    async def main() -> None:
        protocols = [Subprotocol("supersoniq.v1.msgpack")]
        async with serve(handle, "127.0.0.1", 0, subprotocols=protocols) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            async with supersoniq.connect(f"ws://127.0.0.1:{port}/at/prefix/"):
                pass

    asyncio.run(main())
    assert paths == ["/at/prefix/ws"]


# Where there is no WebSocket.


async def _without(
    head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int
) -> None:
    """A proxy that knows no WebSockets."""
    first = await reader.readuntil(b"\r\n\r\n")
    if b"/ws " in first:
        writer.write(head)
        await writer.drain()
        writer.close()
        return
    far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
    far_writer.write(first)

    async def pump(one: asyncio.StreamReader, other: asyncio.StreamWriter) -> None:
        while data := await one.read(65536):
            other.write(data)
        other.close()

    await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 426 Upgrade Required\r\ncontent-length: 3\r\n\r\nno!",
        b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n",
    ],
)
def test_http_where_there_is_none(head: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with House(MemoryBackend()) as house:
            proxy = await asyncio.start_server(
                lambda reader, writer: _without(head, reader, writer, house.port), "127.0.0.1", 0
            )
            url = f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
            async with reach(url, "ws") as broker:
                queue = broker.queue("q")
                assert broker.backend.capabilities.leases_stay
                waiting = asyncio.ensure_future(queue.get())
                await asyncio.sleep(0.05)
                await house.broker.queue("q").publish("x")
                delivery = await asyncio.wait_for(waiting, 5)
                assert delivery is not None
                await delivery.ack()
            proxy.close()

    with caplog.at_level(logging.WARNING, "supersoniq"):
        asyncio.run(main())
    told = [each.getMessage() for each in caplog.records if each.name == "supersoniq"]
    assert len(told) == 1
    assert "going on over HTTP" in told[0]


def test_a_proxy_that_begins_to_refuse_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was under way is unknown; the rest goes on over HTTP."""

    async def main() -> None:
        async with House(MemoryBackend()) as house, reach(house.url, "ws") as broker:
            queue = broker.queue("q")
            await queue.publish("1")
            monkeypatch.setattr("supersoniq.adapters.ws.endpoint._subprotocol", _nobody)
            house.cut()
            await queue.publish("2", key="2")
            assert transport(broker).leases_stay
            assert (await queue.stats()).published == 2

    asyncio.run(main())


def _nobody(_scope: Any) -> None:
    raise supersoniq.PermissionDenied("not today")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n", BackendUnavailable),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", IncompatibleStore),
        (b"HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n", supersoniq.AuthenticationFailed),
        (b"SSH-2.0-OpenSSH_9\r\n\r\n", BackendUnavailable),
        (b"", BackendUnavailable),
    ],
)
def test_somebody_else_answers(answer: bytes, kind: type[SupersoniqError]) -> None:
    async def shake(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(shake, "127.0.0.1", 0)
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(kind) as caught:
            await supersoniq.connect(url).open()
        assert type(caught.value) is kind
        server.close()

    asyncio.run(main())


# A peer that says anything.

Script = Callable[[ServerConnection, Any], Awaitable[None]]


async def against(script: Script, **options: Any) -> Any:
    """What an operation gives if the server answers it like that."""

    async def handle(connection: ServerConnection) -> None:
        await connection.send(pack(WELCOME))
        async for frame in connection:
            await script(connection, msgspec.msgpack.decode(frame))  # type: ignore[arg-type]

    protocols = [Subprotocol("supersoniq.v1.msgpack")]
    async with serve(handle, "127.0.0.1", 0, subprotocols=protocols, close_timeout=0.1) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with supersoniq.connect(f"ws://127.0.0.1:{port}", patience=0, **options) as broker:
            assert broker.backend.capabilities.durability == "disk"
            (result,) = await broker.backend.execute([ops.Purge("q")])
            return result


def problem(status: int, code: str) -> Script:
    async def script(connection: ServerConnection, asked: Any) -> None:
        told = {"status": status, "code": code, "detail": "so", "data": {}, "retry": False}
        await connection.send(pack({"type": "error", "id": asked["id"], "problem": told}))

    return script


def frame(**fields: Any) -> Script:
    async def script(connection: ServerConnection, asked: Any) -> None:
        await connection.send(pack({"id": asked["id"], **fields}))

    return script


def raw(data: bytes | str) -> Script:
    async def script(connection: ServerConnection, asked: Any) -> None:
        await connection.send(data)

    return script


async def closes(connection: ServerConnection, asked: Any) -> None:
    await connection.close(1001)


async def breaks_off(connection: ServerConnection, asked: Any) -> None:
    connection.transport.abort()


async def says_goodbye(connection: ServerConnection, asked: Any) -> None:
    bye = {"type": "bye", "code": 4429, "reason": "x", "detail": "full", "unanswered": 0}
    await connection.send(pack(bye))
    await connection.close(4429)


async def owes_an_answer(connection: ServerConnection, asked: Any) -> None:
    await connection.send(pack({"type": "bye", "code": 1001, "reason": "x", "unanswered": 1}))
    await connection.close(1001)


async def in_pieces(connection: ServerConnection, asked: Any) -> None:
    whole = pack({"type": "ok", "id": asked["id"], "at": 1, "results": [{"ok": 7}]})
    await connection.send(pack({"type": "news", "id": "other", "what": 1}))
    await connection.send(pack({"type": "ok", "id": 99}))
    await connection.send(whole[i : i + 1] for i in range(len(whole)))


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (problem(503, "closed"), BackendUnavailable),
        (problem(500, "internal-error"), OutcomeUnknown),
        (problem(504, "outcome-unknown"), OutcomeUnknown),
        (problem(403, "permission-denied"), supersoniq.PermissionDenied),
        (problem(400, "invalid-argument"), InvalidArgument),
        (frame(type="ok"), OutcomeUnknown),
        (frame(type="what"), OutcomeUnknown),
        (frame(type="ok", results=7), OutcomeUnknown),
        (frame(type="ok", at=1, results=[{"ok": "x"}]), OutcomeUnknown),
        (raw(b"\xc1"), OutcomeUnknown),
        (raw(b""), OutcomeUnknown),
        (raw("text"), OutcomeUnknown),
        (closes, OutcomeUnknown),
        (breaks_off, OutcomeUnknown),
        (says_goodbye, BackendUnavailable),
        (owes_an_answer, OutcomeUnknown),
        (in_pieces, int),
    ],
)
def test_strange_answers(script: Script, kind: type) -> None:
    result = asyncio.run(against(script))
    assert type(result) is kind, result


def test_a_frame_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "LARGEST", 1000)
    result = asyncio.run(against(raw(b"x" * 1001)))
    assert isinstance(result, OutcomeUnknown)
    assert "1001" in str(result) or "exceeds" in str(result)


def test_a_peer_that_falls_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found by a ping that is not answered, long before the request's own time is over."""
    monkeypatch.setattr(socket, "SILENCE", 0.1)

    async def falls(connection: ServerConnection, asked: Any) -> None:
        connection.transport.pause_reading()

    result = asyncio.run(against(falls, timeout=60))
    assert isinstance(result, OutcomeUnknown)
    assert "not a word" in str(result)


def test_an_idle_connection_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "SILENCE", 0.03)

    async def main() -> None:
        async with (
            House(MemoryBackend()) as house,
            Cutter(house.port) as cutter,
            reach(cutter.url, "ws") as broker,
        ):
            await asyncio.sleep(0.5)
            await broker.queues()
            assert cutter.connections == 1

    asyncio.run(main())


def test_callers_that_give_up() -> None:
    """What is sent is done all the same, nobody else is hindered, and no lease is left behind."""

    async def main() -> None:
        async with House(MemoryBackend()) as house, reach(house.url, "ws") as broker:
            here, queue = house.broker.queue("q"), broker.queue("q")
            await here.publish_many([b"x"] * 50)
            for n in range(50):
                giving = asyncio.ensure_future(queue.get(wait=0 if n % 2 else None))
                staying = asyncio.ensure_future(queue.stats())
                for _ in range(n % 7):
                    await asyncio.sleep(0)
                giving.cancel()
                await asyncio.gather(giving, return_exceptions=True)
                await staying

            async def settled() -> bool:
                stats = await here.stats()
                held = len(broker.engine.held)
                return stats.leased == held

            await until(settled)
            # One who waits at the transport itself takes the connection along, and its leases.
            sending = asyncio.ensure_future(transport(broker).send([b"\x80"]))
            await asyncio.sleep(0)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            assert (await queue.stats()).published == 50

            async def released() -> bool:
                return (await here.stats()).leased == 0

            await until(released)

    asyncio.run(main())
