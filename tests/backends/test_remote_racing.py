"""Connections over datagrams: attempts side by side, since nobody says that one was lost."""

from __future__ import annotations

import asyncio
import gc
import socket
from typing import Any

import pytest
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, QuicEvent

from supersoniq import BackendUnavailable
from supersoniq.backends.remote import http3, racing
from supersoniq.backends.remote.http3 import Carrier, Http3
from supersoniq.backends.remote.racing import race
from tests.backends.cutting import DatagramCutter, cuttable
from tests.backends.served import reach, tls


class Made:
    """A connection."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.closed = False

    def close(self) -> None:
        """Note that it was."""
        self.closed = True


class Dials:
    """Attempts, by address: each waits until it may stand, or fails.

    Args:
        fail: addresses that are refused at once.
    """

    def __init__(self, *fail: str) -> None:
        self.begun: list[str] = []
        self.made: list[Made] = []
        self.cancelled = 0
        self.stand: dict[str, asyncio.Event] = {}
        self._fail = fail

    async def __call__(self, where: str) -> Made:
        """Try one."""
        self.begun.append(where)
        if where in self._fail:
            raise OSError(f"{where} refused")
        try:
            await self.stand.setdefault(where, asyncio.Event()).wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        self.made.append(Made(where))
        return self.made[-1]

    async def wait_for(self, count: int) -> None:
        """Until so many have begun."""
        async with asyncio.timeout(60):
            while len(self.begun) < count:  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.001)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(racing, "AGAIN", 0.01)
    monkeypatch.setattr(racing, "HEAD_START", 0.01)


def test_who_is_slow_may_still_win() -> None:
    async def main() -> None:
        dials = Dials()
        won = asyncio.ensure_future(race(dials, ["a", "b"]))
        await dials.wait_for(5)
        assert dials.begun[:5] == ["a", "b", "a", "b", "a"]
        dials.stand["b"].set()
        made = await won
        await asyncio.sleep(0)
        assert len(dials.made) == dials.begun.count("b")  # all of b's stood at once
        assert [each for each in dials.made if not each.closed] == [made]
        assert dials.cancelled == dials.begun.count("a")

    asyncio.run(main())


def test_a_refused_address_is_passed_over_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(racing, "HEAD_START", 60.0)

    async def main() -> None:
        dials = Dials("a")
        won = asyncio.ensure_future(race(dials, ["a", "b"]))
        await dials.wait_for(2)
        dials.stand["b"].set()
        assert (await won).where == "b"

    asyncio.run(main())


def test_all_refused_is_told_at_once() -> None:
    async def main() -> None:
        dials = Dials("a", "b")
        with pytest.raises(OSError, match="b refused"):
            await race(dials, ["a", "b"])
        assert dials.begun == ["a", "b"]

    asyncio.run(main())


def test_given_up_it_leaves_nothing() -> None:
    async def main() -> None:
        dials = Dials()
        won = asyncio.ensure_future(race(dials, ["a"]))
        await dials.wait_for(3)
        for each in dials.stand.values():
            each.set()
        won.cancel()
        with pytest.raises(asyncio.CancelledError):
            await won
        await asyncio.sleep(0)
        assert all(each.closed for each in dials.made)
        assert len(dials.made) + dials.cancelled == len(dials.begun)

    asyncio.run(main())


def test_a_dial_that_falls_silent_does_not_take_all_patience(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Though ``connect_timeout`` is as long as it."""
    begin = Http3.begin

    async def main() -> None:
        async with cuttable("3") as (_house, cutter, broker):
            assert isinstance(cutter, DatagramCutter)
            queue = broker.queue("q")
            await queue.policy()

            def lose(link: Http3, *args: Any) -> Any:
                """What was sent is lost, and so is the answer to who comes next."""
                monkeypatch.setattr(Http3, "begin", begin)
                cutter.fall_silent()
                cutter.arm(down=1)
                reply = begin(link, *args)
                link.lose("as it is")
                return reply

            monkeypatch.setattr(Http3, "begin", lose)
            stored = await queue.publish("x", key="k")
            assert not stored.duplicate
            assert cutter.cuts == 1
            assert cutter.connections >= 3

    asyncio.run(main())


def test_a_dial_that_is_given_up_is_not_complained_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """By asyncio, of a future at which nobody has looked."""
    told: list[dict[str, Any]] = []
    configuration = http3._configuration
    ended: list[Carrier] = []
    received = Carrier.quic_event_received

    def fast(*args: Any) -> QuicConfiguration:
        made = configuration(*args)
        made.initial_rtt = 0.001  # three of which it is still there after its end
        return made

    def noting(self: Carrier, event: QuicEvent) -> None:
        received(self, event)
        if isinstance(event, ConnectionTerminated):
            ended.append(self)

    monkeypatch.setattr(http3, "_configuration", fast)
    monkeypatch.setattr(Carrier, "quic_event_received", noting)

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            url = f"https://127.0.0.1:{silent.getsockname()[1]}"
            patience = 0.25
            while not ended:  # nor has it begun, if the machine stood still meanwhile
                patience *= 2
                with pytest.raises(BackendUnavailable):
                    await reach(url, "3", ca=tls()[0], connect_timeout=patience).open()
                for _ in range(500):
                    if not ended:
                        await asyncio.sleep(0.002)

    asyncio.run(main())
    ended.clear()
    gc.collect()
    assert told == []
