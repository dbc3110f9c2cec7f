"""What a network that loses datagrams, or goes away between two of them, does to HTTP/3's calls."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from typing import Any

import pytest

import supersoniq
from supersoniq import BackendUnavailable, LeaseLost, OutcomeUnknown, Queue, SupersoniqError
from tests.backends.cutting import DatagramCutter, cuttable, quiet, way

pytestmark = pytest.mark.usefixtures("in_a_hurry", "soon_lost")

LARGE = "x" * 9000
"""Takes several datagrams."""


async def outcome(call: Any) -> Any:
    try:
        return await call
    except SupersoniqError as error:
        return error


async def stands(queue: Queue) -> None:
    """Wait until there is a connection."""
    while isinstance(await outcome(queue.policy()), SupersoniqError):
        pass


async def datagrams(cutter: DatagramCutter, queue: Queue) -> tuple[int, int]:
    """How many a publish takes, to the server and back."""
    await stands(queue)
    await quiet(cutter)
    cutter.arm()
    await queue.publish(LARGE)
    return cutter.sent, cutter.answered


def test_a_publish_cut_anywhere() -> None:
    """Without a key: not stored, or unknown; with one: stored once, and not called a duplicate."""

    async def main() -> None:
        async with way("3") as to, to.reach(patience=0) as plain, to.reach() as patient:
            here = to.house.broker.queue("q")
            cutter = to.cutter
            assert isinstance(cutter, DatagramCutter)
            sent, answered = await datagrams(cutter, plain.queue("q"))
            assert sent > 6
            cuts = [{"up": n} for n in range(1, sent + 1)]
            cuts += [{"down": n} for n in range(1, answered + 1)]
            told: dict[str, Any] = {}

            async def unknown() -> set[int]:
                """How often those were stored of whom nobody knew."""
                stored = Counter(each.text() for each in await here.browse(limit=1000))
                return {stored[text] for text in told if isinstance(told[text], OutcomeUnknown)}

            ways = (False, plain.queue("q")), (True, patient.queue("q"))
            # Acknowledgements come between, at times of their own: so more than once if need be.
            for turn, (keyed, queue) in itertools.product(range(5), ways):
                if turn and await unknown() == {0, 1}:
                    break
                for cut in cuts:
                    await stands(queue)
                    text = f"{keyed} {turn} {cut} {LARGE}"
                    cutter.arm(**cut)
                    told[text] = await outcome(
                        queue.publish(text, key=text[:24] if keyed else None)
                    )
                    cutter.arm()
            # What was under way when its caller gave up may have been stored a little later.
            stored = Counter(each.text() for each in await here.browse(limit=1000))
            for text, what in told.items():
                if isinstance(what, supersoniq.Published):
                    assert not what.duplicate
                    assert stored[text] == 1
                elif isinstance(what, OutcomeUnknown):
                    assert stored[text] <= 1
                else:
                    assert isinstance(what, BackendUnavailable)
                    assert stored[text] == 0
                assert isinstance(what, supersoniq.Published) or text.startswith("False")
            assert await unknown() == {0, 1}
            assert cutter.cuts >= len(cuts)

    asyncio.run(main())


@pytest.mark.parametrize("kept", [0, 60])
def test_an_ack_cut_anywhere(kept: float) -> None:
    """Never ``LeaseLost``; where the message is kept, the repeated ack is as good as the first."""

    async def main() -> None:
        async with cuttable("3") as (house, cutter, broker):
            assert isinstance(cutter, DatagramCutter)
            here, queue = house.broker.queue("q"), broker.queue("q", keep_done=kept)
            unknown = 0
            # What goes by in between, such as acknowledgements, can be what is cut.
            for cut in ({"up": 1}, {"up": 2}, {"down": 1}, {"down": 2}) * 5:
                if unknown and cut == {"up": 1}:
                    break
                await stands(queue)
                await here.publish("x")
                delivery = await queue.get(wait=60)
                assert delivery is not None
                await quiet(cutter)
                done = (await here.stats()).acked
                cutter.arm(**cut)
                told = await outcome(delivery.ack())
                cutter.arm()
                acked = (await here.stats()).acked - done
                if told is None:
                    assert acked == 1
                else:
                    assert isinstance(told, OutcomeUnknown), told
                    assert acked == 1
                    assert not kept
                    unknown += 1
                    with pytest.raises(LeaseLost):
                        await delivery.ack()
            assert unknown or kept

    asyncio.run(main())
