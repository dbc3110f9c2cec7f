"""WebSocket messages that are half sent, over each carrier: together they take a bounded room."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from benchmarks.abuse import doors
from benchmarks.abuse.attacks.sockets import TEXT, close_code, frame
from supersoniq.backends.memory import MemoryBackend
from supersoniq.servers.arriving import KEPT, LITTLE, Arriving, HalfSent
from supersoniq.servers.websocket import WebSocket
from tests.backends.served import House
from tests.servers.program import certificate

KIB = 1024
PING = json.dumps({"type": "ping", "id": 7}).encode().ljust(200 * KIB)
WHOLE = frame(TEXT, PING)
PARTS = frame(TEXT, PING[: 50 * KIB], fin=False), frame(0, PING[50 * KIB :])


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("door", doors.CARRIERS)
@pytest.mark.parametrize("pieces", [(WHOLE,), PARTS], ids=["frame", "fragments"])
def test_those_that_take_longest_make_room(
    door: str, pieces: tuple[bytes, ...], tmp_path: Path
) -> None:
    async def main() -> None:
        chain = Path(certificate(tmp_path))
        house = House(MemoryBackend(), certificate=chain, max_arriving=650 * KIB)
        await house.open()
        try:
            await crowd(house)
        finally:
            await house.close()

    async def crowd(house: House) -> None:
        arriving = house.app.service.arriving
        sent = b"".join(pieces)
        half, rest = sent[: 190 * KIB], sent[190 * KIB :]
        async with AsyncExitStack() as stack:
            wires = []
            for count in range(1, 7):
                wire = await stack.enter_async_context(doors.wire(door, house.port))
                await wire.until(lambda w=wire: b"welcome" in w.received)  # type: ignore[misc]
                await wire.write(half)
                await until(lambda n=count: arriving.size >= min(n, 3) * 189 * KIB)  # type: ignore[misc]
                assert arriving.size <= 650 * KIB
                wires.append(wire)
            for wire in wires[:3]:
                await until(lambda w=wire: close_code(w.received) == 1013)  # type: ignore[misc]
            for wire in wires[3:]:
                assert close_code(wire.received) is None
                await wire.write(rest)
                await until(lambda w=wire: b'"id":7' in w.received)  # type: ignore[misc]
            assert arriving.size == 0
            await wires[-1].write(half)
            await until(lambda: arriving.size >= 189 * KIB)
        await until(lambda: arriving.size == 0)

    asyncio.run(main())


@pytest.mark.parametrize("door", ["h1", "h2"])
def test_over_tls_much_counts_with_what_is_kept_of_the_connection(
    door: str, tmp_path: Path
) -> None:
    async def main() -> None:
        house = House(MemoryBackend(), certificate=Path(certificate(tmp_path)))
        await house.open()
        arriving = house.app.service.arriving
        try:
            for size, counted in (200 * KIB, 200 * KIB), (300 * KIB, 300 * KIB + KEPT):
                async with doors.wire(door, house.port) as wire:
                    await wire.write(frame(TEXT, bytes(size), length=size + 1))
                    await until(lambda n=counted: 0 <= arriving.size - n <= KIB)  # type: ignore[misc]
                await until(lambda: arriving.size == 0)
        finally:
            await house.close()

    asyncio.run(main())


@pytest.mark.parametrize("door", doors.CARRIERS[1:])
def test_half_a_text_takes_what_was_sent_of_it_in_whatever_letters(
    door: str, tmp_path: Path
) -> None:
    """As characters, all of it would take four bytes for each because of a single one."""
    content = ("\N{GRINNING FACE}" + "x" * KIB) * 200
    publish = {"type": "publish", "id": 7, "queue": "q", "messages": [{"content": content}]}
    sent = frame(TEXT, json.dumps(publish, ensure_ascii=False).encode())
    at = sent.index("\N{GRINNING FACE}".encode(), 150 * KIB) + 2

    async def main() -> None:
        house = House(MemoryBackend(), certificate=Path(certificate(tmp_path)))
        await house.open()
        try:
            async with doors.wire(door, house.port) as wire:
                await wire.write(sent[:at])
                arriving = house.app.service.arriving
                await until(lambda: arriving.size > 149 * KIB)
                found = [each for each in gc.get_objects() if isinstance(each, WebSocket)]
                (half,) = (each for each in found if each._half in arriving._parts)
                assert sum(map(sys.getsizeof, half._parts)) < 170 * KIB
                await wire.write(sent[at:])
                await wire.until(lambda: b'"id":7' in wire.received)
            (message,) = await house.broker.queue("q").browse()
            assert message.content.decode() == content
        finally:
            await house.close()

    asyncio.run(main())


def test_what_is_whole_until_then_is_left_alone() -> None:
    async def main() -> None:
        cut: list[str] = []
        arriving = Arriving(3 * LITTLE)
        late = HalfSent(arriving, lambda: cut.append("late"))
        whole = HalfSent(arriving, lambda: cut.append("whole"))
        other = HalfSent(arriving, lambda: cut.append("other"))
        late.is_now(LITTLE)
        assert arriving.size == 0  # too little to count
        for each in (late, whole):
            each.is_now(LITTLE + 1)
        other.is_now(2 * LITTLE)
        other.is_now(3 * LITTLE)
        assert arriving.size == 3 * LITTLE
        whole.is_now(0)
        await asyncio.sleep(0)
        assert cut == ["late"]
        other.is_now(LITTLE + 1)  # the next one
        assert arriving.size == LITTLE + 1
        other.is_now(0)
        assert arriving.size == 0

    asyncio.run(main())
