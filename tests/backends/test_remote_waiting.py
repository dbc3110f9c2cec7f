"""How one who waits far away is woken, what that costs, and answers of any size."""

from __future__ import annotations

import asyncio
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
import trustme

import supersoniq
from supersoniq import BackendUnavailable, Draft
from supersoniq.adapters import create_app
from supersoniq.adapters.http.native import Server
from supersoniq.backends.memory import MemoryBackend
from supersoniq.backends.remote import RemoteBackend, stirs
from supersoniq.core import ops
from tests.backends.cutting import cuttable
from tests.backends.served import DOORS, House, reach
from tests.servers.http2 import until


def ear(broker: supersoniq.Broker) -> stirs.Stirs:
    assert isinstance(broker.backend, RemoteBackend)
    assert broker.backend._stirs is not None
    return broker.backend._stirs


@pytest.mark.parametrize("door", DOORS)
def test_waiting_is_cheap_and_wakes_at_once(door: str) -> None:
    async def main() -> None:
        async with cuttable(door) as (house, cutter, broker):
            here = house.broker.queue("q")
            queue = broker.queue("q")
            waiting = asyncio.ensure_future(queue.get())
            await asyncio.sleep(0.2)
            while True:  # until it listens
                cutter.arm()
                await asyncio.sleep(0.5)
                if cutter.sent == cutter.answered == 0:  # nobody asks while nothing happens
                    break
            took: list[float] = []
            for n in range(50):
                await asyncio.sleep(0.005)
                begun = time.perf_counter()
                await here.publish(f"{n}")
                delivery = await waiting
                took.append(time.perf_counter() - begun)
                assert delivery is not None
                await delivery.ack()
                waiting = asyncio.ensure_future(queue.get())
            assert sorted(took)[25] < 1, sorted(took)
            assert cutter.connections <= 3
            waiting.cancel()

    asyncio.run(main())


@pytest.mark.parametrize("door", DOORS)
def test_many_queues_share_a_stream(door: str) -> None:
    async def main() -> None:
        async with cuttable(door) as (house, cutter, broker):
            names = [f"{n}-{'x' * 120}" for n in range(200)]
            waiting = [asyncio.ensure_future(broker.queue(name).get()) for name in names[:100]]
            await asyncio.sleep(0.3)
            waiting += [asyncio.ensure_future(broker.queue(name).get()) for name in names[100:]]
            await asyncio.sleep(0.5)
            for name in names:
                await house.broker.queue(name).publish(name)
            got = await asyncio.wait_for(asyncio.gather(*waiting), 60)
            assert [each.text() for each in got if each is not None] == names
            assert cutter.connections < 10

    asyncio.run(main())


@pytest.mark.parametrize("door", DOORS)
def test_a_publish_while_the_stream_is_made_is_not_missed(door: str) -> None:
    """At any moment between the first look and the answer of the server."""

    async def main() -> None:
        async with House(MemoryBackend()) as house:
            for n in range(40):
                async with reach(house.url, door) as broker:
                    name = f"q{n}"
                    waiting = asyncio.ensure_future(broker.queue(name).get())
                    await asyncio.sleep(n * 0.0005)
                    await house.broker.queue(name).publish("x")
                    assert await asyncio.wait_for(waiting, 30) is not None

    asyncio.run(main())


@pytest.mark.parametrize("door", DOORS)
def test_streams_that_break_all_the_time(door: str) -> None:
    async def main() -> None:
        async with cuttable(door) as (house, cutter, broker):
            names = ["q"]
            for n in range(60):
                queue = broker.queue(names[-1])
                waiting = asyncio.ensure_future(queue.get(wait=30))
                await asyncio.sleep(0.02)
                cutter.arm(down=n * 3 % 40 + 1)
                await house.broker.queue(names[-1]).publish(f"{n}")
                try:
                    delivery = await asyncio.wait_for(waiting, 30)
                except supersoniq.OutcomeUnknown:
                    # It was not the stream that was cut. The message may be back before the next.
                    names.append(f"q{n}")
                    continue
                assert delivery is not None
                cutter.arm()
                await delivery.ack()
            assert cutter.cuts > 50

    asyncio.run(main())


def test_a_stream_that_nobody_needs_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stirs, "LINGER", 0.05)

    async def main() -> None:
        async with House(MemoryBackend()) as house, supersoniq.connect(house.url) as broker:
            queue = broker.queue("q")
            for _ in range(3):
                waiting = asyncio.ensure_future(queue.get())
                await until(lambda: ear(broker)._stream is not None)
                await house.broker.queue("q").publish("x")
                assert await asyncio.wait_for(waiting, 30) is not None
                await until(lambda: ear(broker)._stream is None)
            # Who finds something at once does not have the server told to listen. At once can take
            # its time where others keep the machine busy.
            monkeypatch.setattr(stirs.Stirs._soon, "__defaults__", (60.0,))
            await queue.publish_many(["x"] * 10)
            for _ in range(10):
                await queue.get()
            assert ear(broker)._stream is None

    asyncio.run(main())


@pytest.mark.parametrize("door", DOORS)
def test_answers_of_any_size(door: str) -> None:
    """What the server gives in pieces is put together, and no lease gets lost between them."""

    async def main() -> None:
        options: dict[str, Any] = {"max_answer": 2000, "max_batch": 50, "max_batch_body": 4000}
        async with (
            House(MemoryBackend(), **options) as house,
            reach(house.url, door) as broker,
        ):
            queue = broker.queue("q")
            contents = [f"{n:03}" + "x" * 297 for n in range(120)]
            stored = await asyncio.gather(*(queue.publish(content) for content in contents))
            page = await queue.browse(limit=100)
            assert [message.text() for message in page] == contents[:100]
            assert len(await queue.browse(after=page[-1].id)) == 20
            looks = await asyncio.gather(*(queue.message(each.id) for each in stored))
            assert [message.text() for message in looks] == contents
            with pytest.raises(supersoniq.InvalidArgument, match="4000 bytes"):
                await queue.publish_many([Draft("x" * 900)] * 5)
            got: list[str] = []
            while deliveries := await queue.get_many(50, wait=0):
                got += [delivery.text() for delivery in deliveries]
                await queue.ack_many(deliveries)
            assert got == contents
            results = await broker.backend.execute([ops.Stats("q")] * 120)
            assert [result.acked for result in results] == [120] * 120

    asyncio.run(main())


def test_over_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    ca, chain = tmp_path / "ca.pem", tmp_path / "chain.pem"
    authority.cert_pem.write_to_path(ca)
    certificate.private_key_and_cert_chain_pem.write_to_path(chain)

    async def main() -> None:
        house = House(MemoryBackend())
        house._server = Server(create_app(house.broker), certfile=chain, http3=False)
        async with house:
            url = f"https://localhost:{house.port}"
            async with supersoniq.connect(url, ca=ca) as broker:
                queue = broker.queue("q")
                waiting = asyncio.ensure_future(queue.get())
                await asyncio.sleep(0.1)
                await house.broker.queue("q").publish("x" * 1_000_000)
                delivery = await asyncio.wait_for(waiting, 30)
                assert delivery is not None
                assert len(delivery.content) == 1_000_000
                await delivery.ack()
            for unfit in (supersoniq.connect(url), supersoniq.connect(house.url)):
                with pytest.raises(BackendUnavailable):
                    await unfit.open()
            with pytest.raises(BackendUnavailable) as caught:
                await supersoniq.connect(f"https://127.0.0.1:{house.port}", ca=ca).open()
            assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)

    asyncio.run(main())
