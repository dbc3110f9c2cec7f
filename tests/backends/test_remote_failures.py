"""What a network can do to a call, byte by byte, and what its caller is told."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import supersoniq
from supersoniq import (
    AuthenticationFailed,
    BackendUnavailable,
    Closed,
    IncompatibleStore,
    InvalidArgument,
    LeaseLost,
    OutcomeUnknown,
    Queue,
    SupersoniqError,
)
from supersoniq.backends.memory import MemoryBackend
from supersoniq.backends.remote import batch
from supersoniq.backends.sqlite import SqliteBackend
from supersoniq.core import ops
from supersoniq.core.errors import InvalidSetting, RateLimited
from supersoniq.core.states import Status
from supersoniq.testing.history import check
from supersoniq.testing.recorder import Recorder
from tests.backends.served import Cutter, House


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "SHORTEST", 0.001)


async def outcome(call: Awaitable[Any]) -> Any:
    try:
        return await call
    except SupersoniqError as error:
        return error


async def sizes(cutter: Cutter, call: Callable[[], Awaitable[Any]]) -> tuple[int, int]:
    """The bytes of a request and of its answer."""
    await call()
    cutter.arm()
    await call()
    return cutter.sent, cutter.answered


async def contents(queue: Queue) -> list[bytes]:
    return [message.content for message in await queue.browse(limit=10_000)]


def test_a_publish_cut_anywhere() -> None:
    """Without a key: not stored, or unknown; with one: stored once, and not called a duplicate."""

    async def main() -> None:
        async with (
            House(MemoryBackend()) as house,
            Cutter(house.port) as cutter,
            supersoniq.connect(cutter.url, patience=0) as plain,
            supersoniq.connect(cutter.url) as patient,
        ):
            here = house.broker.queue("q")
            for keyed, queue in ((False, plain.queue("q")), (True, patient.queue("q"))):

                async def publish(
                    text: str, keyed: bool = keyed, queue: Queue = queue
                ) -> supersoniq.Published:
                    return await queue.publish(text, key=f"k{text}" if keyed else None)

                sent, answered = await sizes(cutter, lambda: publish("0000"))
                assert min(sent, answered) > 100
                for n in range(1, sent + answered):
                    text = f"{n:04}"
                    before = len(await contents(here))
                    cutter.arm(**({"up": n} if n < sent else {"down": n - sent or None}))
                    told = await outcome(publish(text))
                    cutter.arm()
                    stored = [each.decode() for each in await contents(here)][before:]
                    if keyed:
                        assert isinstance(told, supersoniq.Published), (n, told)
                        assert not told.duplicate, n
                        assert stored == [text]
                    elif n < sent:
                        assert isinstance(told, OutcomeUnknown | BackendUnavailable), (n, told)
                        assert stored == []
                    elif n > sent:
                        assert isinstance(told, OutcomeUnknown), (n, told)
                        assert stored == [text]
                await here.purge()
            assert cutter.cuts > 600

    asyncio.run(main())


@pytest.mark.parametrize("kept", [0, 60])
def test_an_ack_cut_anywhere(kept: float) -> None:
    """Never ``LeaseLost``; where the message is kept, the repeated ack is as good as the first."""

    async def main() -> None:
        async with (
            House(MemoryBackend()) as house,
            Cutter(house.port) as cutter,
            supersoniq.connect(cutter.url) as broker,
        ):
            queue = broker.queue("q", keep_done=kept)

            async def one() -> supersoniq.Delivery:
                await house.broker.queue("q").publish("x")
                delivery = await queue.get(wait=5)
                assert delivery is not None
                return delivery

            deliveries = [await one(), await one()]
            sent, answered = await sizes(cutter, lambda: deliveries.pop().ack())
            done = 2
            unknown = 0
            for n in range(1, sent + answered, 1 if kept else 3):
                delivery = await one()
                cutter.arm(**({"up": n} if n < sent else {"down": n - sent or None}))
                told = await outcome(delivery.ack())
                cutter.arm()
                done += 1
                assert (await house.broker.queue("q").stats()).acked == done, n
                if n > sent and not kept:
                    assert isinstance(told, OutcomeUnknown), (n, told)
                    unknown += 1
                    with pytest.raises(LeaseLost):  # asked anew, it is told as it is
                        await delivery.ack()
                else:
                    assert told is None, (n, told)
            assert unknown > 30 or kept

    asyncio.run(main())


def test_a_history_with_many_cuts() -> None:
    """Publishes, leases and settlements over a way that breaks all the time: a correct history."""
    lines = io.StringIO()

    async def main() -> None:
        async with House(MemoryBackend()) as house, Cutter(house.port) as cutter:
            here = house.broker.queue("q", lease=0.3, max_deliveries=0)
            await here.configure()

            async def worker(name: str, broker: supersoniq.Broker) -> None:
                recorder = Recorder(lines, name)
                queue = broker.queue("q")
                for n in range(100):
                    text = f"{name}-{n}"
                    key = text if n % 2 else None
                    number = recorder.invoke("publish", messages=[{"content": text, "key": key}])
                    try:
                        stored = await queue.publish(text, key=key)
                        recorder.ok(number, ids=[stored.id], duplicates=[stored.duplicate])
                    except OutcomeUnknown:
                        pass
                    except BackendUnavailable as error:
                        recorder.refused(number, str(error))
                    number = recorder.invoke("take")
                    try:
                        delivery = await queue.get(wait=0)
                    except (OutcomeUnknown, BackendUnavailable) as error:
                        if isinstance(error, BackendUnavailable):
                            recorder.refused(number)
                        continue
                    leases = [] if delivery is None else [lease_of(delivery)]
                    recorder.ok(number, leases=leases)
                    if delivery is None:
                        continue
                    op = ("ack", "ack", "nack", "release")[n % 4]
                    number = recorder.invoke(op, id=delivery.id, receipt=delivery.receipt)
                    try:
                        await (delivery.nack(0) if op == "nack" else getattr(delivery, op)())
                        recorder.ok(number)
                    except (LeaseLost, BackendUnavailable) as error:
                        recorder.refused(number, str(error))
                    except OutcomeUnknown:
                        pass

            async def trouble() -> None:
                for step in range(10**9):
                    cuts = cutter.cuts
                    cutter.arm(**{("up", "down")[step % 2]: step * 37 % 700 + 1})
                    while cutter.cuts == cuts:  # noqa: ASYNC110  # it is a test
                        await asyncio.sleep(0.001)

            brokers = [supersoniq.connect(cutter.url, patience=(0, 5)[n % 2]) for n in range(4)]
            for broker in brokers:
                await broker.open()
            breaking = asyncio.ensure_future(trouble())
            await asyncio.gather(*(worker(f"w{n}", broker) for n, broker in enumerate(brokers)))
            breaking.cancel()
            await asyncio.gather(*(broker.close() for broker in brokers))
            assert cutter.cuts >= 200, cutter.cuts
            left = Recorder(lines, "last")
            ready: list[str] = []
            await asyncio.sleep(0.4)  # whatever is still leased lapses
            ready = [message.id for message in await here.browse(Status.READY, limit=10_000)]
            left.final(ready=ready, dead=[])

    asyncio.run(main())
    assert check(lines.getvalue().splitlines()) == []


def lease_of(delivery: supersoniq.Delivery) -> dict[str, Any]:
    return {
        "id": delivery.id,
        "receipt": delivery.receipt,
        "content": delivery.text(),
        "attempt": delivery.attempt,
        "deadline": delivery.deadline,
        "priority": delivery.priority,
    }


def test_whose_message_a_repeated_publish_finds() -> None:
    async def main() -> None:
        async with (
            House(MemoryBackend()) as house,
            Cutter(house.port) as cutter,
            supersoniq.connect(cutter.url) as broker,
        ):
            queue = broker.queue("q")
            first = await house.broker.queue("q").publish("x", key="k")
            await queue.stats()
            await asyncio.sleep(0.05)
            cutter.arm(down=10)
            again = await queue.publish("x", key="k")
            assert (again.id, again.duplicate) == (first.id, True)
            cutter.arm(down=10)
            both = await queue.publish_many([supersoniq.Draft("y", key="l")] * 2)
            assert [each.duplicate for each in both] == [False, True]
            assert both[0].id == both[1].id
            cutter.arm(down=10)
            with pytest.raises(supersoniq.KeyConflict):
                await queue.publish("other", key="k")
            assert cutter.cuts == 3
            assert len(await queue.browse()) == 2

    asyncio.run(main())


def test_a_key_that_may_be_forgotten_is_no_reason_to_try_again() -> None:
    async def main() -> None:
        async with (
            House(MemoryBackend()) as house,
            Cutter(house.port) as cutter,
            supersoniq.connect(cutter.url) as broker,
        ):
            for window in (0, 1, 29):
                queue = broker.queue("q", dedup_window=window)
                before = (await queue.stats()).published
                cutter.arm(down=10)
                with pytest.raises(OutcomeUnknown):
                    await queue.publish("x", key=f"k{window}")
                assert (await queue.stats()).published == before + 1

    asyncio.run(main())


def test_what_may_not_be_repeated_is_not() -> None:
    async def main() -> None:
        async with (
            House(MemoryBackend()) as house,
            Cutter(house.port) as cutter,
            supersoniq.connect(cutter.url) as broker,
        ):
            queue = broker.queue("q")
            ids = [(await queue.publish(f"{n}")).id for n in range(3)]
            for call in (
                lambda: queue.cancel(ids[0]),
                lambda: queue.publish_many([supersoniq.Draft("x", key="k"), "no key"]),
                lambda: queue.get(wait=0),
                lambda: queue.purge(),
                lambda: queue.pause(),
                lambda: broker.delete_queue("q"),
            ):
                before = cutter.connections
                cutter.arm(down=10)
                with pytest.raises(OutcomeUnknown):
                    await call()
                assert cutter.connections - before <= 1
            assert "q" not in await broker.queues()
            queue = broker.queue("r")
            await queue.configure()
            for look in (broker.queues, queue.stats, queue.policy):
                cutter.arm(down=10)
                await look()
            assert cutter.cuts == 9

    asyncio.run(main())


def test_a_server_that_is_not_there() -> None:
    async def main() -> None:
        async with House(MemoryBackend()) as house:
            url = house.url
            patient = supersoniq.connect(url, patience=0.4)
            hasty = supersoniq.connect(url, patience=0)
            await patient.open()
            await hasty.open()
            assert patient.backend.capabilities.durability == "memory"
        begun = time.monotonic()
        with pytest.raises(BackendUnavailable):
            await supersoniq.connect(url).open()
        with pytest.raises(BackendUnavailable):
            await hasty.queues()
        assert time.monotonic() - begun < 5
        with pytest.raises(BackendUnavailable):
            await patient.queue("q").publish("x")
        took = time.monotonic() - begun
        assert 0.1 < took < 10
        begun = time.monotonic()
        for _ in range(5):  # the patience was for the outage, not for each who comes
            with pytest.raises(BackendUnavailable):
                await patient.queue("q").publish("x")
        assert time.monotonic() - begun < 5
        await asyncio.gather(patient.close(), hasty.close())
        with pytest.raises(Closed):
            await patient.backend.execute([])

    asyncio.run(main())


def test_a_restart_is_sat_out(tmp_path: Path) -> None:
    """By one who waits, and by one who publishes meanwhile; nothing is lost or doubled."""

    async def main() -> None:
        def store() -> SqliteBackend:
            return SqliteBackend(tmp_path / "q.db", synchronous="normal")

        async with House(store()) as house, supersoniq.connect(house.url) as broker:
            queue = broker.queue("q")
            assert broker.backend.capabilities.durability == "os"
            waiting = asyncio.ensure_future(queue.get())
            watch = queue.watch()
            await watch.start()
            watching = asyncio.ensure_future(watch.next())
            await asyncio.sleep(0.1)
            await house.close()
            await asyncio.sleep(0.2)
            publishing = [
                asyncio.ensure_future(queue.publish(f"{n}", key=f"{n}")) for n in range(5)
            ]
            await asyncio.sleep(0.1)
            assert not waiting.done()
            async with House(store(), house.port) as again:
                stored = await asyncio.wait_for(asyncio.gather(*publishing), 5)
                assert len({each.id for each in stored}) == 5
                got = await asyncio.wait_for(waiting, 5)
                assert got is not None
                await got.ack()
                event = await asyncio.wait_for(watching, 5)
                assert event is not None
                watch.stop()
                # Whoever waits once more is woken by somebody who never left the house.
                rest = await queue.get_many(10)
                await queue.ack_many(rest)
                waiting = asyncio.ensure_future(queue.get())
                await asyncio.sleep(0.1)
                begun = time.monotonic()
                await again.broker.queue("q").publish("late")
                late = await asyncio.wait_for(waiting, 5)
                assert late is not None
                assert time.monotonic() - begun < 4
                stats = await queue.stats()
                assert (stats.published, stats.acked, stats.leased) == (6, 5, 1)
                await broker.close()

    asyncio.run(main())


def test_a_waiter_learns_of_a_long_outage() -> None:
    async def main() -> None:
        async with House(MemoryBackend()) as house, supersoniq.connect(house.url) as _:
            broker = await supersoniq.connect(house.url, patience=0.3).open()
            waiting = asyncio.ensure_future(broker.queue("q").get())
            await asyncio.sleep(0.1)
            await house.close()
            with pytest.raises(BackendUnavailable):
                await asyncio.wait_for(waiting, 5)
            await broker.close()

    asyncio.run(main())


ANSWERS: list[tuple[str, bytes, type[SupersoniqError]]] = [
    ("503 Service Unavailable", b"busy", BackendUnavailable),
    ("503 Service Unavailable", b'{"code":"closed","data":{"what":"x"}}', BackendUnavailable),
    ("500 Internal Server Error", b'{"code":"internal-error"}', OutcomeUnknown),
    ("502 Bad Gateway", b"<html>", OutcomeUnknown),
    ("504 Gateway Timeout", b"", OutcomeUnknown),
    ("400 Bad Request", b'{"code":"invalid-argument"}', InvalidArgument),
    ("408 Request Timeout", b"{}", BackendUnavailable),
    ("413 Content Too Large", b"", InvalidArgument),
    ("401 Unauthorized", b"", AuthenticationFailed),
    ("403 Forbidden", b"", supersoniq.PermissionDenied),
    ("429 Too Many Requests", b"", RateLimited),
    ("302 Found", b"", IncompatibleStore),
    ("404 Not Found", b"", InvalidArgument),
    ("200 OK", b"\xff\xfe", OutcomeUnknown),
    ("200 OK", b"\x82\xa2at\x00\xa7results\x91\x81\xa2ok\xa1x", OutcomeUnknown),
    ("999 What", b"", OutcomeUnknown),
]


@pytest.mark.parametrize(("status", "body", "kind"), ANSWERS)
def test_strange_answers(status: str, body: bytes, kind: type[SupersoniqError]) -> None:
    front = (
        b'{"name":"supersoniq","version":"9","durability":"disk","news":1,'
        b'"limits":{"max_batch_body":1000,"max_batch":10}}'
    )

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        first = head.startswith(b"GET")
        text = b"200 OK" if first else status.encode()
        data = front if first else body
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        writer.write(b"HTTP/1.1 %s\r\nconnection: close\r\n" % text)
        writer.write(b"content-length: %d\r\n\r\n%s" % (len(data), data))
        await writer.drain()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with supersoniq.connect(f"http://127.0.0.1:{port}/at/prefix", patience=0) as broker:
            assert broker.backend.capabilities.durability == "disk"
            (result,) = await broker.backend.execute([ops.Publish("q", ())])
            assert type(result) is kind, result
            with pytest.raises(InvalidArgument, match="1000 bytes"):
                await broker.engine.call(ops.Publish("q", [supersoniq.Draft("x" * 1000).entry]))
        server.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("front", "kind"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", IncompatibleStore),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", IncompatibleStore),
        (b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n", AuthenticationFailed),
        (b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n", BackendUnavailable),
        (b"SSH-2.0-OpenSSH_9\r\n", BackendUnavailable),
        (b"", BackendUnavailable),
    ],
)
def test_somebody_else_answers(front: bytes, kind: type[SupersoniqError]) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(front)
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(kind) as caught:
            await supersoniq.connect(url).open()
        assert type(caught.value) is kind
        server.close()

    asyncio.run(main())


def test_an_answer_that_does_not_come() -> None:
    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def main() -> None:
        async with House(MemoryBackend()) as house:
            silent = await asyncio.start_server(silence, "127.0.0.1", 0)
            port = silent.sockets[0].getsockname()[1]
            with pytest.raises(BackendUnavailable):
                await supersoniq.connect(f"http://127.0.0.1:{port}", timeout=0.1).open()
            silent.close()

            async with supersoniq.connect(house.url, timeout=0.2, patience=0) as broker:
                await broker.queues()

                async def slow(batch: Any) -> list[Any]:
                    await asyncio.sleep(1)
                    return [[]]

                house.broker.engine.direct = None
                house.broker.engine._coalescer._execute = slow
                with pytest.raises(OutcomeUnknown, match=r"0\.2 s"):
                    await broker.queues()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("http://", {}),
        ("http:///path", {}),
        ("http://host:99999", {}),
        ("http://user:word@host", {}),
        ("http://host/?q=1", {}),
        ("http://host/#f", {}),
        ("http://host/a b", {}),
        ("http://host/\r\nx: y", {}),
        ("http://h\N{SNOWMAN}.." + "x" * 70, {}),
        ("http://host", {"patience": -1}),
        ("http://host", {"patience": float("nan")}),
        ("http://host", {"patience": True}),
        ("http://host", {"timeout": 0}),
        ("http://host", {"timeout": "1"}),
        ("http://host", {"connect_timeout": float("inf")}),
        ("http://host", {"ca": "file.pem"}),
        ("https://host", {"ca": "/no/such/file.pem"}),
        ("https://host", {"ca": 7}),
        ("http://host", {"nonsense": 1}),
    ],
)
def test_settings_that_cannot_be(url: str, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting):
        supersoniq.connect(url, **options)


def test_the_extra_is_asked_for() -> None:
    import subprocess
    import sys

    program = (
        "import sys; sys.modules['httptools'] = None\n"
        "import supersoniq\n"
        "try: supersoniq.connect('https://host')\n"
        "except supersoniq.MissingExtra as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "pip install 'supersoniq[client]'" in done.stdout, done.stderr
