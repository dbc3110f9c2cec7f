"""What is behind both doors of the port, ``POST /operations`` and a WebSocket's ``operations``.

A batch is carried out wave by wave, and ends early when its answer grows too large. Whoever asked
may leave meanwhile: what was leased for it is then given back, also what is leased only afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import msgspec
from msgspec.structs import replace

from supersoniq.api.engine import Engine
from supersoniq.clock import SystemClock
from supersoniq.core.errors import Closed, InvalidArgument, SupersoniqError
from supersoniq.core.messages import Lease
from supersoniq.core.ops import AnyOp, Browse, Delete, Follow, Followed, Look, Take, Taken
from supersoniq.wire.answers import Answer, Answers, BrowseOut, Fault, spelled
from supersoniq.wire.operations import AnyOpIn

__all__ = ["CONTENTS", "GAP", "Batch", "Ear", "Step", "checked"]

AT_ONCE = 16
"""Operations with answers of any size that are carried out before their sizes are looked at."""
CONTENTS = Take | Browse | Look | Follow
"""Operations that give contents."""
GAP = 0.002
"""Seconds between two words on what stirred, at the least."""

_clock = SystemClock()
Step = AnyOp | SupersoniqError
"""An operation, or why it cannot be one."""


def checked(asked: AnyOpIn) -> Step:
    """What a client's operation asks for."""
    try:
        return asked.op()
    except InvalidArgument as error:
        return error


class Batch:
    """A batch being carried out.

    Args:
        engine: what carries it out.
        encode: makes bytes of a result.
        room: bytes of content in the answer, unless a single message is larger.
        refused: told of each error in it.
    """

    def __init__(
        self,
        engine: Engine,
        encode: Callable[[Any], bytes],
        room: int,
        refused: Callable[[SupersoniqError], None],
    ) -> None:
        self.engine = engine
        self.leased: list[Lease] = []
        """What was leased for it."""
        self.size = 0
        """Bytes of what came of it."""
        self._results: list[Answer] = []
        self._encode = encode
        self._room = room
        self._refused = refused
        self._abandoned = False

    @property
    def answers(self) -> Answers:
        """What came of it."""
        return Answers(_clock.now(), self._results)

    def begun(self, step: AnyOp) -> None:
        """An operation is about to be carried out."""

    def note(self, step: Step, result: Any) -> None:
        """An operation was carried out, or has failed; perhaps nobody waits for it any more."""
        if isinstance(result, Taken):
            if self._abandoned:
                self.engine.release_soon(result.leases)
            else:
                self.leased += result.leases
        elif isinstance(step, Delete) and result is None:
            self.engine.deletions += 1

    def given(self, taken: Taken) -> None:
        """So much of what was leased is in the answer."""

    async def carry_out(self, steps: list[Step]) -> None:
        """As many as fit into one answer, at least one."""
        for wave in _waves(steps):
            if self._room <= 0:
                return  # the client sees that answers are missing, and asks again
            wave = self._bounded(wave)
            for op, result in zip(wave, await self._wave(wave), strict=True):
                if isinstance(result, SupersoniqError) or isinstance(op, SupersoniqError):
                    self._refused(result)
                    self._results.append(Answer(error=Fault.of(result)))
                else:
                    fitting = self._fitting(op, result)
                    raw = self._encode(spelled(op, fitting))
                    self.size += len(raw)
                    self._results.append(Answer(ok=msgspec.Raw(raw)))

    def _bounded(self, wave: list[Step]) -> list[Step]:
        """The same, with takes that read no more than there may be room for."""
        takes = sum(isinstance(step, Take) for step in wave)
        share = max(self._room // max(takes, 1), 1)
        return [
            replace(step, max_bytes=min(step.max_bytes or share, share))
            if isinstance(step, Take) and step.limit > 1
            else step
            for step in wave
        ]

    def abandon(self) -> None:
        """The answer does not reach anybody: give back what was leased, now and later."""
        self._abandoned = True
        self.engine.release_soon(self.leased)

    async def _wave(self, wave: Sequence[Step]) -> list[Any]:
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
            self.note(wave[place], result)
            left -= 1
            if not left and not done.done():
                done.set_result(None)

        for place, step in enumerate(wave):
            if isinstance(step, SupersoniqError):
                arrived(place, step)
            else:
                arrive = partial(arrived, place)
                self.begun(step)
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
        self.begun(step)
        try:
            result = self.engine.direct(step)
        except SupersoniqError as error:
            result = error
        self.note(step, result)
        return result

    def _fitting(self, op: Step, result: Any) -> Any:
        """As much of a result as there is room for, but at least one message of it."""
        if isinstance(op, Take):
            fit = self._count([each.record.content for each in result.leases])
            self.engine.release_soon(result.leases[fit:])
            taken = Taken(result.leases[:fit], result.wake_in, result.length)
            self.given(taken)
            return taken
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
        if isinstance(step, CONTENTS):
            large += 1
            if large > AT_ONCE:
                yield wave
                wave, large = [], 1
        wave.append(step)
    if wave:
        yield wave


class Ear:
    """Which queues stirred since they were last told of: never more than there are."""

    def __init__(self) -> None:
        self.heard: set[str] = set()
        self._something = asyncio.Event()

    def attend(self, engine: Engine, queues: Collection[str]) -> Callable[[], None]:
        """Hear of those queues, until what this gives is called.

        Raises:
            SupersoniqError: the caller may not, and hears of none.
        """
        with ExitStack() as deaf:
            for name in queues:
                deaf.callback(engine.listen(name, partial(self.hear, name)))
            return deaf.pop_all().close

    def hear(self, queue: str) -> None:
        self.heard.add(queue)
        self._something.set()

    async def listen(self, patience: float | None = None) -> list[str]:
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
