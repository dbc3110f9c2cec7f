"""Those who ask for much and read nothing of it, and those who vanish on the way.

What they ask for is 200 MiB: pages of the largest messages there are, as many as that takes, and
all that has happened to them. Who reads nothing leaves the server 4 KiB in our kernel, or, where
the protocol has windows of its own, never opens them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from benchmarks.abuse import doors, quic
from benchmarks.abuse.trial import Attack, Scale

__all__ = ["ATTACKS"]

EVENTS = "/queues/big/events?since=0"
PAGE = "/queues/big/messages?limit=1000"
LARGE = 2**31 - 1


class Stalled(NamedTuple):
    """A connection whose client reads nothing."""

    over: Callable[[], bool]
    """Whether the server has ended all that was asked for."""
    vanish: Callable[[], None]


def paths(scale: Scale) -> list[str]:
    """200 MiB of answers, 16 MiB in each at most; or a taste of it."""
    return [PAGE] * scale.pick(13, 3) + [EVENTS]


@asynccontextmanager
async def ask1(port: int, scale: Scale) -> AsyncIterator[list[Stalled]]:
    """Over HTTP/1.1: a connection for each, since they would wait for each other."""
    async with AsyncExitStack() as stack:
        stalled = []
        for path in paths(scale):
            _, writer = await doors.connect(port, "http/1.1", receive_buffer=4096)
            stack.callback(doors.drop, writer)
            doors.deafen(writer)
            writer.write(doors.head1("GET", path))
            over, vanish = doors.cut(writer), lambda writer=writer: doors.drop(writer)
            stalled.append(Stalled(over, vanish))
        yield stalled


@asynccontextmanager
async def ask2(port: int, scale: Scale) -> AsyncIterator[list[Stalled]]:
    """Over HTTP/2, with windows wide open, and a socket that is not read."""
    async with doors.over2(port, {4: LARGE}, receive_buffer=4096) as one:
        assert one.pump is not None
        one.pump.cancel()
        doors.deafen(one.writer)
        one.h2.increment_flow_control_window(LARGE - 65535)
        for path in paths(scale):
            one.request(path)
        yield [Stalled(doors.cut(one.writer), lambda: doors.drop(one.writer))]


@asynccontextmanager
async def ask2_shut(port: int, scale: Scale) -> AsyncIterator[list[Stalled]]:
    """Over HTTP/2, with windows that stay shut: everything else is read."""
    async with doors.over2(port, {4: 0}) as one:
        answers = [one.answers[one.request(path)] for path in paths(scale)]

        def over() -> bool:
            return all(answer.done.is_set() for answer in answers)

        yield [Stalled(over, lambda: doors.drop(one.writer))]


@asynccontextmanager
async def ask3(port: int, scale: Scale) -> AsyncIterator[list[Stalled]]:
    """Over HTTP/3, with windows that stay as they are."""
    async with quic.visiting(port) as one:
        one.never_read()
        opened = [one.open(quic.request_head("GET", path), end=True) for path in paths(scale)]
        answers = [one.answer(stream_id) for stream_id in opened]

        def over() -> bool:
            return all(answer.over.is_set() for answer in answers)

        yield [Stalled(over, lambda: quic.vanish(one))]


ASK = {"h1": ask1, "h2": ask2, "h2 window 0": ask2_shut, "h3": ask3}


async def never_reads(door: str, port: int, scale: Scale) -> str:
    """Ask, read nothing, and wait to be cut."""
    begun = time.monotonic()
    async with ASK[door](port, scale) as stalled:
        if not scale.full:
            await asyncio.sleep(1)
            return "let go after 1 s"
        async with asyncio.timeout(150):  # idle ones have a minute, and then TLS its own patience
            while not all(each.over() for each in stalled):  # noqa: ASYNC110 - four kinds
                await asyncio.sleep(0.1)
    return f"cut after {time.monotonic() - begun:.0f} s"


async def vanishes(door: str, port: int, scale: Scale) -> str:
    """Ask, read nothing, and be gone: over QUIC without a word, over TCP with a reset."""
    copies = scale.pick(5, 1)
    for _ in range(copies):
        async with ASK[door](port, scale) as stalled:
            await asyncio.sleep(scale.pick(1.0, 0.3))
            for each in stalled:
                each.vanish()
    return f"{copies * len(paths(scale))} requests"


ATTACKS = [
    *(Attack("never reads 200 MiB", door, never_reads) for door in ASK),
    *(Attack("vanishes while stalled", door, vanishes) for door in ("h1", "h2", "h3")),
]
