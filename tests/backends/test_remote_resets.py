"""How a client over HTTP/3 learns that a server was killed, though nobody says goodbye."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import supersoniq
from supersoniq import BackendUnavailable, Broker, OutcomeUnknown
from supersoniq.backends.memory import MemoryBackend
from supersoniq.backends.remote import RemoteBackend, http3, racing, shared
from supersoniq.backends.remote.http import HttpTransport
from supersoniq.backends.remote.http3 import Http3
from supersoniq.backends.remote.shared import SharedLine
from tests.backends.cutting import DatagramCutter, cuttable, quiet
from tests.backends.served import House, reach, tls
from tests.ports import free_port
from tests.servers.http2 import authority
from tests.servers.program import certificate, running

AGES = 600.0


@pytest.fixture(autouse=True)
def silence_is_no_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it is not by its length that anything is noticed here."""
    monkeypatch.setattr(shared, "SILENCE", AGES)
    monkeypatch.setattr(http3, "DOUBT", AGES)


def link_of(broker: Broker) -> Http3:
    """The connection."""
    assert isinstance(broker.backend, RemoteBackend)
    assert isinstance(broker.backend.transport, HttpTransport)
    line = broker.backend.transport._line
    assert isinstance(line, SharedLine)
    link = line._once._made
    assert isinstance(link, Http3)
    return link


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what comes true, though nobody tells."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def lost(link: Http3) -> None:
    """Wait until it is."""
    await until(lambda: not link.usable)


def test_a_publisher_and_a_watcher_learn_of_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    """And of another one right after it. Who only waits learns of it when it pings."""

    async def main() -> None:
        async with (
            House(MemoryBackend(), certificate=tls()[1]) as house,
            reach(house.url, "3", ca=tls()[0]) as publisher,
            reach(house.url, "3", ca=tls()[0]) as watcher,
        ):
            queue, watch = publisher.queue("q"), watcher.queue("q").watch()
            await watch.start()
            assert isinstance(watcher.backend, RemoteBackend)
            stirs = watcher.backend._stirs
            assert stirs is not None
            for n in range(3):
                coming = asyncio.ensure_future(watch.next())
                monkeypatch.setattr(http3, "QUIET", AGES)
                await until(lambda: "q" in stirs._heard)
                old = [link_of(publisher), link_of(watcher)]
                monkeypatch.setattr(http3, "QUIET", 0.0)
                await house.die()
                old[1]._tick()  # as its timer does when it was quiet for as long
                await lost(old[1])
                assert not (await queue.publish(f"{n}", key=f"{n}")).duplicate
                for link in old:
                    assert "knows nothing of the connection" in (link._problem or "")
                event = await asyncio.wait_for(coming, 60)
                assert event is not None
                assert event.message is not None
                assert event.message.text() == f"{n}"
            watch.stop()

    asyncio.run(main())


def test_a_process_that_is_killed(tmp_path: Path) -> None:
    """With what was stored, by what was sent when nobody was there."""

    async def main() -> None:
        authority().cert_pem.write_to_path(ca := str(tmp_path / "ca.pem"))
        words = ("--certfile", certificate(tmp_path), "--port", str(free_port()))
        async with running(tmp_path, *words) as one:
            url = f"https://localhost:{one.port}"
            async with supersoniq.connect(url, http="3", ca=ca, patience=60) as broker:
                queue = broker.queue("q")
                await queue.publish("1", key="1")
                one.process.kill()
                await one.process.communicate()
                under_way = asyncio.ensure_future(queue.publish("2", key="2"))
                async with running(tmp_path, *words):
                    assert not (await asyncio.wait_for(under_way, 60)).duplicate
                    assert [each.text() for each in await queue.browse()] == ["1", "2"]

    asyncio.run(main())


def test_a_forged_reset_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(racing, "AGAIN", AGES)  # no connection beside one that is slow to stand

    async def main() -> None:
        async with cuttable("3") as (_house, cutter, broker):
            assert isinstance(cutter, DatagramCutter)
            queue = broker.queue("q")
            await queue.publish("1")
            link = link_of(broker)
            quic = link._quic
            await until(lambda: len(quic._peer_cid_available) == 7)  # they come a little later
            good = quic._peer_cid.stateless_reset_token
            others = [each.stateless_reset_token for each in quic._peer_cid_available]
            assert len(good) == 16
            (client,) = cutter._backs
            forged = [bytes(16), b"", good[:15], good[1:], good + b"\0", *others]
            forged += [good[:n] + bytes([good[n] ^ 1]) + good[n + 1 :] for n in range(16)]
            for token in forged:
                cutter._front.sendto(b"\x40" + os.urandom(24) + token, client)
            await queue.publish("2")
            assert link.usable
            assert cutter.connections == 1

            await quiet(cutter)
            cutter.arm()
            cutter._front.sendto(b"\x40" + os.urandom(24) + good, client)
            await lost(link)
            assert cutter.sent == 0  # not even a farewell
            await queue.publish("3")
            assert cutter.connections == 2

    asyncio.run(main())


def test_a_server_that_is_not_there_is_told_at_once() -> None:
    """By the system, as over TCP."""

    async def main() -> None:
        async with House(MemoryBackend(), certificate=tls()[1]) as house:
            await house.die(back=False)
            broker = reach(house.url, "3", ca=tls()[0], connect_timeout=AGES, patience=0)
            with pytest.raises(BackendUnavailable, match="refused"):
                await asyncio.wait_for(broker.open(), 30)

    asyncio.run(main())


def test_a_server_that_has_gone_is_noticed_by_what_the_system_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http3, "DOUBT", 0.1)

    async def main() -> None:
        async with (
            House(MemoryBackend(), certificate=tls()[1]) as house,
            reach(house.url, "3", ca=tls()[0], timeout=AGES, patience=0) as broker,
        ):
            await broker.queue("q").publish("1")
            await house.die(back=False)
            with pytest.raises(OutcomeUnknown, match="refused"):
                await asyncio.wait_for(broker.queue("q").publish("2"), 30)

    asyncio.run(main())


def test_a_false_alarm_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody can have the system say that nobody is there."""
    monkeypatch.setattr(http3, "DOUBT", 0.2)

    async def main() -> None:
        async with (
            House(MemoryBackend(), certificate=tls()[1]) as house,
            reach(house.url, "3", ca=tls()[0]) as broker,
        ):
            await broker.queue("q").publish("1")
            link = link_of(broker)
            for _ in range(100):
                link.unreachable(ConnectionRefusedError("refused"))
            assert link._doubt is not None
            await until(lambda: link._doubt is None)
            assert link.usable
            await broker.queue("q").publish("2")
            assert link_of(broker) is link

    asyncio.run(main())
