"""The port itself over a WebSocket: ``operations`` and ``listen``, which the Python client speaks.

A batch is one frame, its answers another; as many batches as the connection may have requests are
under way side by side. What was leased by them belongs to the connection, and goes when it does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from functools import partial
from typing import Any

from supersoniq.adapters.http.backlog import Place
from supersoniq.adapters.http.batches import CONTENTS, GAP, Batch, Ear, Step, checked
from supersoniq.adapters.ws.frames import Listen, Ok, Operations, StirsOut
from supersoniq.adapters.ws.replies import ITEM
from supersoniq.adapters.ws.session import Session
from supersoniq.core import checks
from supersoniq.core.errors import InvalidArgument, RateLimited, SupersoniqError
from supersoniq.core.messages import Lease
from supersoniq.core.ops import AnyOp, Settle, Taken

__all__ = ["listen", "operations"]


class Bound(Batch):
    """A batch whose leases belong to a connection.

    Args:
        session: the connection.
    """

    def __init__(self, session: Session) -> None:
        room = min(session.limits.max_body, session.outbox.space)
        refused = partial(session.service.refused, scope=session.scope)
        super().__init__(session.engine, session.codec.encode, room, refused)
        self._terms = session.terms
        self._given: list[tuple[list[Lease], int]] = []

    def begun(self, step: AnyOp) -> None:
        if isinstance(step, Settle):
            self._terms.begin(step)

    def note(self, step: Step, result: Any) -> None:
        super().note(step, result)
        if isinstance(step, Settle):
            self._terms.end(step, result if isinstance(result, list) else None)

    def given(self, taken: Taken) -> None:
        self._given.append((taken.leases, taken.length))

    def keep(self) -> None:
        """The answer is on its way: from now on the connection has what was leased."""
        for leases, length in self._given:
            self._terms.add(leases, length)


def operations(session: Session, asked: Operations, size: int) -> None:
    """``operations``: an answer each, in their order; fewer, if they would be too large."""
    most = session.limits.max_batch
    if len(asked.operations) > most:
        raise InvalidArgument("operations", len(asked.operations), f"takes at most {most} at once")
    steps = [checked(each) for each in asked.operations]
    size = max(size, ITEM * len(steps))
    session.replies.work(asked.id, size, _carry_out(session, asked.id, steps))


async def _carry_out(session: Session, id: int | str, steps: list[Step]) -> None:
    outbox = session.outbox
    if any(isinstance(step, CONTENTS) for step in steps):
        await outbox.room()
    wanted = await _try(session, id, steps)
    while wanted:
        await outbox.room()
        with await outbox.backlog.place(wanted, session.client) as place:
            if outbox.takes(place):
                wanted = await _try(session, id, steps, place)


async def _try(
    session: Session, id: int | str, steps: list[Step], place: Place | None = None
) -> int:
    """Carry it out and answer; gives bytes of the answer if there was no room for it."""
    batch = Bound(session)
    try:
        await batch.carry_out(steps)
        answers, size = batch.answers, batch.size
        # What changes nothing that does not change back may be done anew, when there is room.
        fits = session.outbox.backlog.admits(size, place)
        if fits or not all(isinstance(step, CONTENTS) for step in steps):
            session.replies.put(Ok(id=id, at=answers.at, results=answers.results))
            batch.keep()
            return 0
    except BaseException:
        batch.abandon()
        raise
    batch.abandon()
    return size


def listen(session: Session, asked: Listen, _size: int) -> None:
    """``listen``: from now on, ``stirs`` says in which of these queues to look again."""
    most = session.limits.max_batch
    if not 0 < len(asked.queues) <= most:
        raise InvalidArgument("queues", len(asked.queues), f"takes 1 to {most} queues")
    names = {checks.queue_name(name) for name in asked.queues}
    if session.subscriptions.crowded:
        raise RateLimited(1)
    number = session.subscriptions.next_number()
    session.subscriptions.keep(Listening(session, number, asked.id, names))


class Listening:
    """A subscription to what stirs.

    Args:
        session: its connection.
        number: its number there.
        id: of the request, answered as soon as nothing more goes unheard.
        queues: to listen to.
    """

    def __init__(self, session: Session, number: int, id: int | str, queues: Collection[str]):
        self.number = number
        self._session = session
        self._id = id
        self._queues = queues

    async def run(self) -> None:
        """Tell, until it is cancelled."""
        session, ear = self._session, Ear()
        try:
            stop = ear.attend(session.engine, self._queues)
        except SupersoniqError as error:
            session.subscriptions.active.pop(self.number, None)
            session.replies.refuse(error, self._id)
            return
        try:
            session.replies.put(Ok(id=self._id, subscription=self.number))
            while True:
                stirred = await ear.listen()
                await session.outbox.room()
                session.replies.put(StirsOut(subscription=self.number, queues=stirred))
                await asyncio.sleep(GAP)  # a busy queue is told of now and then
        finally:
            stop()
