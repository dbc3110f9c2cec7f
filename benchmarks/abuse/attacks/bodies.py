"""Requests whose content comes slowly, or that nobody wants."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

from benchmarks.abuse import doors, quic
from benchmarks.abuse.attacks import frames2
from benchmarks.abuse.trial import Attack, Scale

__all__ = ["ATTACKS"]

MIB = 1024 * 1024
GIB = b"1073741824"


async def early1(port: int, size: int) -> str:
    """HTTP/1.1."""
    reader, writer = await doors.connect(port, "http/1.1")
    sent = 0
    try:
        writer.write(doors.head1("POST", "/messages", f"content-length: {GIB.decode()}"))
        status, _ = await doors.answer1(reader)
        assert status == 413, status
        while sent < size:
            writer.write(bytes(65536))
            await writer.drain()
            sent += 65536
    except OSError:
        pass  # it was shown the door
    finally:
        doors.drop(writer)
    return f"413; {sent // MIB} MiB more were sent"


async def early2(port: int, size: int) -> str:
    """HTTP/2: more than any window allows, after the answer, on a stream that was declined."""
    async with doors.over2(port) as one:
        number = one.request("/messages", "POST", None, [(b"content-length", GIB)], end=False)
        answer = await one.answer(number, 60)
        assert answer.status == 413, answer.status
        sent = 0
        data = frames2.frame(frames2.DATA, 0, number, bytes(16384)) * 4
        try:
            while sent < size and not one.lost.is_set():
                one.writer.write(data)
                await one.writer.drain()
                await asyncio.sleep(0)
                sent += 65536
        except OSError:
            pass
        return f"413; {sent // MIB} MiB more were sent; GOAWAY {one.goaway}"


async def early3(port: int, size: int) -> str:
    """HTTP/3: what STOP_SENDING says is not heard."""
    async with quic.visiting(port) as one:
        one.never_stop()
        head = [*quic.request_head("POST", "/messages"), (b"content-length", GIB)]
        stream_id = one.open(head)
        answer = one.answer(stream_id)
        sent = 0
        while sent < size and one.ended is None:
            one.send(stream_id, bytes(65536))
            sent += 65536
            try:
                await quic.drained(one, stream_id, patience=2)
            except TimeoutError:
                break  # there is no window
        assert answer.status == 413, answer.status
        return f"413; {sent / MIB:.1f} MiB were sent, then there was no window"


async def early_413(door: str, port: int, scale: Scale) -> str:
    """Announce 1 GiB, hear that it is too large, and send it all the same."""
    way = {"h1": early1, "h2": early2, "h3": early3}[door]
    told = ""
    for _ in range(scale.pick(5, 1)):
        told = await way(port, scale.pick(256, 8) * MIB)
    return told


async def slow_body(door: str, port: int, scale: Scale) -> str:
    """Send a byte now and then, of many bodies at once, until each is answered with 408."""
    begun = time.monotonic()
    count = 100
    fields = [(b"content-length", b"1000"), (b"content-type", b"application/json")]
    async with AsyncExitStack() as stack:
        answered: list[int] = []
        if door == "h1":
            for _ in range(count):
                reader, writer = await doors.connect(port, "http/1.1")
                stack.callback(doors.drop, writer)
                writer.write(doors.head1("POST", "/messages", "content-length: 1000"))
                stack.enter_context(doors.dripping(writer.write, b"["))
                stack.enter_context(doors.hearing(reader, answered))
        elif door == "h2":
            one = await stack.enter_async_context(doors.over2(port))
            for _ in range(count):
                number = one.request("/messages", "POST", None, fields, end=False)
                drop = frames2.frame(frames2.DATA, 0, number, b"[")
                stack.enter_context(doors.dripping(one.writer.write, drop))
        else:
            three = await stack.enter_async_context(quic.visiting(port))
            for _ in range(count):
                stream_id = three.open([*quic.request_head("POST", "/messages"), *fields])
                stack.enter_context(
                    doors.dripping(lambda drop, at=stream_id: three.send(at, drop), b"[")  # type: ignore[misc]
                )

        def statuses() -> list[int]:
            if door == "h1":
                return answered
            answers = one.answers if door == "h2" else three.answers
            return [each.status for each in answers.values() if each.status]

        async with asyncio.timeout(90):
            while len(statuses()) < count:  # noqa: ASYNC110 - three kinds of connections
                await asyncio.sleep(0.1)
        assert set(statuses()) == {408}, set(statuses())
    return f"{count} answered with 408 within {time.monotonic() - begun:.0f} s"


HTTP = ("h1", "h2", "h3")
ATTACKS = [
    *(Attack("413 with the body still coming", door, early_413) for door in HTTP),
    *(Attack("slow body", door, slow_body, patient=True) for door in HTTP),
]
