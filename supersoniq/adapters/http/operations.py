"""The port itself over HTTP: batches of operations, and when to look again.

What the Python client speaks. A batch travels as one request, so that a hundred calls cost one
round trip and, behind it, one transaction; every operation in it stands and fails by itself. And
instead of a long poll for each consumer that waits, one stream tells in which queues something
stirred.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import msgspec

from supersoniq.adapters.http import decode
from supersoniq.adapters.http.exchange import Exchange, Gone, Reply, encode
from supersoniq.adapters.http.media import JSON, MSGPACK, NDJSON
from supersoniq.adapters.http.problems import Refusal
from supersoniq.api.engine import Engine
from supersoniq.clock import SystemClock
from supersoniq.core import checks
from supersoniq.core.errors import Closed, InvalidArgument, SupersoniqError
from supersoniq.core.messages import Lease
from supersoniq.core.ops import AnyOp, Browse, Delete, Follow, Followed, Look, Take, Taken
from supersoniq.wire.answers import Answer, Answers, BrowseOut, Fault, spelled
from supersoniq.wire.operations import AnyOpIn

__all__ = ["operations", "stirs"]

AT_ONCE = 16
"""Operations with answers of any size that are carried out before their sizes are looked at."""
GAP = 0.002
"""Seconds between two lines of a stream of stirs, at the least."""
TURNS = 3
"""Of the event loop, from a hang-up that the system knows of until a ``Presence`` does."""

_packed = msgspec.msgpack.Decoder(list[AnyOpIn])
_pack = msgspec.msgpack.Encoder().encode
_clock = SystemClock()
Step = AnyOp | SupersoniqError
"""An operation, or why it cannot be one."""


async def operations(exchange: Exchange) -> None:
    """``POST /operations``: carry out a batch; an answer each, in their order."""
    exchange.no_query()
    kind = exchange.media_type() or JSON
    if kind not in (JSON, MSGPACK):
        raise Refusal(415, f"takes {MSGPACK} or {JSON}, not {kind}", takes=[MSGPACK, JSON])
    raw = await exchange.body(exchange.limits.max_batch_body)
    steps = [_checked(each) for each in _asked(exchange, kind, raw)]
    work = _Work(exchange, MSGPACK if kind == MSGPACK else JSON)
    try:
        if work.engine.direct is not None:
            await work.carry_out(steps)  # at once: nobody can leave meanwhile
        else:
            await _watched(exchange, work, steps)
        answers = Answers(_clock.now(), work.answers)
        await exchange.answer(Reply(200, work.encode(answers), work.kind))
    except BaseException:
        work.abandon()
        raise


def _asked(exchange: Exchange, kind: str, raw: bytes) -> list[Any]:
    try:
        if kind == MSGPACK:
            asked = _packed.decode(raw)
        else:
            asked = msgspec.convert(decode.loads(raw, exchange.limits.max_depth), list[AnyOpIn])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidArgument("body", None, f"is no batch of operations: {error}") from None
    if len(asked) > exchange.limits.max_batch:
        rule = f"takes at most {exchange.limits.max_batch} operations at once"
        raise InvalidArgument("body", len(asked), rule)
    return asked


def _checked(asked: AnyOpIn) -> Step:
    try:
        return asked.op()
    except InvalidArgument as error:
        return error


async def _watched(exchange: Exchange, work: _Work, steps: list[Step]) -> None:
    """Carry them out; if the client leaves meanwhile, what was leased for it is released.

    Raises:
        Gone: it has left. What it asked for is done all the same.
    """
    with exchange.presence() as presence:
        await work.carry_out(steps)
        for _ in range(TURNS if work.leased else 0):
            await asyncio.sleep(0)
        if presence.gone:
            raise Gone


class _Work:
    """A batch being carried out."""

    def __init__(self, exchange: Exchange, kind: str) -> None:
        self.engine: Engine = exchange.service.engine
        self.kind = kind
        self.encode = _pack if kind == MSGPACK else encode
        self.answers: list[Answer] = []
        self.leased: list[Lease] = []
        self._room = exchange.limits.max_answer
        self._abandoned = False

    async def carry_out(self, steps: list[Step]) -> None:
        """As many as fit into one answer, at least one."""
        for wave in _waves(steps):
            if self._room <= 0:
                return  # the client sees that answers are missing, and asks again
            for op, result in zip(wave, await self._results(wave), strict=True):
                if isinstance(result, SupersoniqError) or isinstance(op, SupersoniqError):
                    self.answers.append(Answer(error=Fault.of(result)))
                else:
                    fitting = self._fitting(op, result)
                    raw = msgspec.Raw(self.encode(spelled(op, fitting)))
                    self.answers.append(Answer(ok=raw))

    def abandon(self) -> None:
        """The answer does not reach anybody: give back what was leased, now and later."""
        self._abandoned = True
        self.engine.release_soon(self.leased)

    async def _results(self, wave: Sequence[Step]) -> list[Any]:
        engine = self.engine
        if engine.closing:
            return [Closed("the broker") for _ in wave]
        if engine.direct is not None:
            return [self._direct(step) for step in wave]
        results: list[Any] = list(wave)
        done = asyncio.get_running_loop().create_future()
        left = len(wave)

        def arrived(place: int, result: Any) -> None:
            nonlocal left
            results[place] = result
            self._note(wave[place], result)
            left -= 1
            if not left and not done.done():
                done.set_result(None)

        for place, step in enumerate(wave):
            if isinstance(step, SupersoniqError):
                arrived(place, step)
            else:
                arrive = partial(arrived, place)
                engine.submit(step, arrive, arrive)
        await done
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, SupersoniqError):
                raise result
        return results

    def _direct(self, step: Step) -> Any:
        if isinstance(step, SupersoniqError):
            return step
        assert self.engine.direct is not None
        try:
            result = self.engine.direct(step)
        except SupersoniqError as error:
            return error
        self._note(step, result)
        return result

    def _note(self, step: Step, result: Any) -> None:
        if isinstance(result, Taken):
            if self._abandoned:
                self.engine.release_soon(result.leases)
            else:
                self.leased += result.leases
        elif isinstance(step, Delete) and result is None:
            self.engine.deletions += 1

    def _fitting(self, op: Step, result: Any) -> Any:
        """As much of a result as there is room for, but at least one message of it."""
        if isinstance(op, Take):
            fit = self._count([each.record.content for each in result.leases])
            self.engine.release_soon(result.leases[fit:])
            return Taken(result.leases[:fit], result.wake_in, result.length)
        if isinstance(op, Browse):
            fit = self._count([each.content for each in result])
            return BrowseOut(result[:fit], more=fit < len(result))
        if isinstance(op, Follow):
            told = [each.message for each in result.events]
            fit = self._count([b"" if message is None else message.content for message in told])
            if fit < len(told):
                return Followed(result.events[:fit], result.events[fit - 1].offset, 0)
        elif isinstance(op, Look):
            self._room -= len(result.content)
        return result

    def _count(self, contents: list[bytes]) -> int:
        for number, content in enumerate(contents):
            self._room -= len(content)
            if self._room < 0 and number:
                return number
        return len(contents)


def _waves(steps: list[Step]) -> Iterator[list[Step]]:
    """What may be carried out at the same time without knowing how large the answer gets."""
    wave: list[Step] = []
    large = 0
    for step in steps:
        if isinstance(step, Take | Browse | Look | Follow):
            large += 1
            if large > AT_ONCE:
                yield wave
                wave, large = [], 1
        wave.append(step)
    if wave:
        yield wave


class StirsRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Which queues to listen to."""

    queues: list[str]


async def stirs(exchange: Exchange) -> None:
    """``POST /stirs``: a line whenever something in one of these queues may be ready or told.

    Until the client leaves or the server stops.
    """
    exchange.no_query()
    asked = decode.convert(await exchange.json(), StirsRequest)
    names = {checks.queue_name(name) for name in asked.queues}
    if not 0 < len(names) <= exchange.limits.max_batch:
        rule = f"takes 1 to {exchange.limits.max_batch} queues"
        raise InvalidArgument("queues", len(names), rule)
    engine = exchange.service.engine
    ear = _Ear()
    deaf = [engine.listen(name, partial(ear.hear, name)) for name in names]
    try:
        await exchange.while_present(_tell(exchange, ear))
        await exchange.piece(b"", last=True)
    finally:
        for stop in deaf:
            stop()


class _Ear:
    """Which queues stirred since they were last told of: never more than there are."""

    def __init__(self) -> None:
        self.heard: set[str] = set()
        self._something = asyncio.Event()

    def hear(self, queue: str) -> None:
        self.heard.add(queue)
        self._something.set()

    async def listen(self, patience: float) -> list[str]:
        """The queues that have stirred, as soon as one has; none if none does so in time."""
        if not self.heard:
            try:
                async with asyncio.timeout(patience):
                    await self._something.wait()
            except TimeoutError:
                return []
        stirred = list(self.heard)
        self.heard.clear()
        self._something.clear()
        return stirred


async def _tell(exchange: Exchange, ear: _Ear) -> None:
    fields = [(b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]
    await exchange.begin(NDJSON, fields)
    pause = exchange.limits.keep_alive
    await exchange.piece(encode({"kind": "listening", "keep_alive": pause}) + b"\n")
    while True:
        stirred = await ear.listen(pause)
        if not stirred:
            await exchange.piece(b'{"kind":"alive"}\n')
            continue
        await exchange.piece(encode({"kind": "stirred", "queues": stirred}) + b"\n")
        await asyncio.sleep(GAP)  # a busy queue is told of now and then, not at every message
