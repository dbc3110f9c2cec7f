"""Many uploads at once, by clients that do as they are told: all are stored, a few at a time."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from benchmarks.abuse import doors, quic
from supersoniq.backends.memory import MemoryBackend
from supersoniq.servers.h1 import H1Protocol
from supersoniq.servers.h2.limits import Limits
from supersoniq.servers.sips import SIP, Sips
from tests.adapters.uploads import Slow
from tests.backends.served import House
from tests.servers.http2 import Receive, Scope, Send, client, run, serving, until
from tests.servers.program import certificate

KIB = 1024
BODY = bytes(200 * KIB)
FIELDS = [(b"content-type", b"x/y"), (b"content-length", b"%d" % len(BODY))]


async def upload1(port: int, count: int) -> list[int]:
    """Of HTTP/1.1, each on a connection."""
    async with AsyncExitStack() as stack:
        head = doors.head1("POST", "/messages", f"content-length: {len(BODY)}")

        async def one() -> int:
            reader, writer = await doors.connect(port, "http/1.1")
            stack.callback(doors.drop, writer)
            writer.write(head.replace(b"application/json", b"x/y") + BODY)
            return (await doors.answer1(reader))[0]

        return await asyncio.gather(*(one() for _ in range(count)))


async def upload2(port: int, count: int) -> list[int]:
    """Of HTTP/2, all on one connection."""
    async with doors.over2(port) as one:
        begun = [one.request("/messages", "POST", None, FIELDS, end=False) for _ in range(count)]
        await asyncio.gather(*(one.upload(number, BODY) for number in begun))
        return [(await one.answer(number)).status for number in begun]


async def upload3(port: int, count: int) -> list[int]:
    """Of HTTP/3, all on one connection."""
    async with quic.visiting(port) as one:
        begun = [one.open([*quic.request_head("POST", "/messages"), *FIELDS]) for _ in range(count)]
        for stream_id in begun:
            one.send(stream_id, BODY, end=True)
        return [(await one.answer(stream_id).wait()).status for stream_id in begun]


@pytest.mark.parametrize(
    ("upload", "count"), [(upload1, 20), (upload2, 40), (upload3, 8)], ids=["h1", "h2", "h3"]
)
def test_all_are_stored_within_the_bound(upload: Any, count: int, tmp_path: Path) -> None:
    most = 0

    async def main() -> None:
        chain = Path(certificate(tmp_path))
        house = House(MemoryBackend(), certificate=chain, max_arriving=1000 * KIB)
        await house.open()
        arriving, admission = house.app.service.arriving, house.app.service.admission

        async def watch() -> None:
            nonlocal most
            while True:
                most = max(most, admission.large.taken)
                await asyncio.sleep(0)

        watching = asyncio.ensure_future(watch())
        try:
            assert await upload(house.port, count) == [201] * count
            assert (await house.broker.queue().stats()).published == count
            assert most == 400 * KIB, "two at a time"
            assert (arriving.size, arriving.reserved, admission.waiting) == (0, 0, 0)
        finally:
            watching.cancel()
            await house.close()

    asyncio.run(main())


def test_what_waits_over_http_1_is_read_a_little() -> None:
    async def main() -> None:
        store = Slow()
        house = House(store, max_arriving=400 * KIB)
        await house.open()
        try:
            wires = []
            for _ in range(4):
                reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
                head = doors.head1("POST", "/messages", f"content-length: {4 * len(BODY)}")
                writer.write(head.replace(b"application/json", b"x/y") + BODY * 4)
                wires.append((reader, writer))
            state = house._server.server_state
            admission = house.app.service.admission
            await until(lambda: admission.waiting == 3 * 16 * KIB)
            await asyncio.sleep(0.1)
            wait = [
                each
                for each in state.connections
                if isinstance(each, H1Protocol) and each.cycle.more_body
            ]
            assert len(wait) == 3
            assert all(isinstance(each._joining.transport.get_protocol(), Sips) for each in wait)
            held = [len(each.cycle.body) + each._slices.size for each in wait]
            assert max(held) <= 2 * SIP, held
            store.may.set()
            for reader, writer in wires:
                assert (await doors.answer1(reader))[0] == 201
                doors.drop(writer)
        finally:
            await house.close()

    run(main)


async def count(scope: Scope, receive: Receive, send: Send) -> None:
    """Says how many bytes came."""
    size = 0
    while True:
        message = await receive()
        size += len(message["body"])
        if not message["more_body"]:
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"%d" % size})


def test_what_waits_over_http_2_has_a_small_window_and_then_a_large_one() -> None:
    taken = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await taken.wait()
        await count(scope, receive, send)

    async def main() -> None:
        async with serving(app) as where, client(where) as one:
            begun = [one.request("/", "POST", end=False) for _ in range(50)]
            windows = [one.h2.local_flow_control_window(number) for number in begun]
            assert windows == [Limits().first_window] * 50
            sending = [asyncio.ensure_future(one.upload(number, BODY)) for number in begun]
            await until(
                lambda: {one.h2.local_flow_control_window(number) for number in begun} == {0}
            )
            one.h2.ping(b"and then")
            one.flush()
            await until(lambda: one.pongs)  # all of it has arrived, and opens no window
            assert {one.h2.local_flow_control_window(number) for number in begun} == {0}
            taken.set()
            await asyncio.gather(*sending)
            for number in begun:
                assert (await one.answer(number)).body == b"%d" % len(BODY)

    run(main)


def test_a_body_sent_before_the_window_is_known() -> None:
    async def main() -> None:
        async with serving(count) as where, client(where, raw=True) as one:
            one.h2.initiate_connection()
            number = one.request("/", "POST", bytes(65535))
            one.pump = asyncio.ensure_future(one._read())
            assert (await one.answer(number)).body == b"65535"

    run(main)


def test_the_next_stream_may_come_as_soon_as_an_answer_is_there() -> None:
    """The client is faster with it than the app with its return."""
    stay = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        await stay.wait()

    async def main() -> None:
        limits = Limits(streams=3, resets=1)
        async with serving(app, limits=limits) as where, client(where) as one:
            for _ in range(6):
                assert (await one.get()).status == 200
            refused = await one.answer(one.request())
            assert (refused.status, refused.reset) == (0, 7), "twice as many, and no more"
            stay.set()
            await until(lambda: not where.server.server_state.tasks)
            assert (await one.get()).status == 200

    run(main)
