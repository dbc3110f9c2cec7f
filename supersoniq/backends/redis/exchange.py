"""Calls of scripts on their way to the servers, and back.

What a round sends goes out together and comes back together. What is not finished then is given
back, to go out again: a queue that must be made first, time that has too much to catch up with, a
page that is not full yet, a script that the server does not know any more, a slot that is on
another node. Nothing else is ever sent twice.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any

import msgspec
from redis.exceptions import RedisError

from supersoniq.backends.redis import refusals, scripts
from supersoniq.backends.redis.flow import Corrupting, Taking
from supersoniq.backends.redis.link import Command, Link, Lost
from supersoniq.backends.redis.managing import Deleting
from supersoniq.backends.redis.nodes import Nodes, Redirection, redirection
from supersoniq.backends.redis.scripts import Script
from supersoniq.backends.redis.store import MOST_ROUNDS, Store
from supersoniq.backends.redis.wake import Ears, Token
from supersoniq.backends.redis.work import Header, Work
from supersoniq.clock import Clock
from supersoniq.core.errors import BackendUnavailable, OutcomeUnknown, SupersoniqError
from supersoniq.port import Result

__all__ = ["Exchange"]


class Exchange:
    """Sends calls, and understands the answers.

    Args:
        nodes: where the servers are.
        store: which the queues belong to.
        ears: are told what answers say of a queue.
        min_replicas: how many replicas must have a change before it counts as done.
        replica_patience: seconds to wait for them.
        clock: instead of the server's own.
    """

    def __init__(
        self,
        nodes: Nodes,
        store: Store,
        ears: Ears,
        *,
        min_replicas: int,
        replica_patience: float,
        clock: Clock | None,
    ) -> None:
        self._nodes = nodes
        self._store = store
        self._ears = ears
        self._min_replicas = min_replicas
        self._replica_patience = replica_patience
        self._clock = clock
        self._now = 0

    async def send(self, works: list[Work]) -> list[Work]:
        """Send calls, each to the server that has its queue; gives those to be sent again."""
        groups: dict[Link, list[Work]] = {}
        for work in works:
            try:
                link = work.asked or await self._nodes.link_of(self._store.keys_of(work.queue)[0])
            except BackendUnavailable as error:
                work.fail(refusals.like(error))
            else:
                groups.setdefault(link, []).append(work)
        if len(groups) == 1:
            ((link, group),) = groups.items()
            return await self._send_to(link, group)
        exchanges = (self._send_to(link, group) for link, group in groups.items())
        return [work for again in await asyncio.gather(*exchanges) for work in again]

    async def _send_to(self, link: Link, works: list[Work]) -> list[Work]:
        """Send calls to one server; gives those that are to be sent again."""
        commands: list[Command] = []
        places: list[int] = []
        for work in works:
            if work.asked is not None:
                commands.append(("ASKING",))
            places.append(len(commands))
            commands.append(self._command(work))
        waits = self._min_replicas and any(work.replicated and not work.reads for work in works)
        longer = 0.0
        if waits:
            longer = self._replica_patience
            commands.append(("WAIT", self._min_replicas, round(1000 * longer)))
        try:
            answers = await link.run_here(commands, longer)
        except BackendUnavailable as error:
            self._nodes.doubt(link)
            for work in works:
                work.fail(refusals.like(error))
            return []
        except Lost as error:
            self._nodes.doubt(link)
            for work in works:
                work.fail(_lost(str(error), work))
            return []
        again: list[Work] = []
        load: dict[str, Script] = {}
        for work, place in zip(works, places, strict=True):
            answer = answers[place]
            if refusals.is_unknown_script(answer):
                load[work.script.sha] = work.script
                again.append(work)
            elif (where := redirection(answer)) is not None:
                again += await self._send_on(work, where)
            elif isinstance(answer, RedisError):
                self._nodes.doubt(link)
                work.fail(refusals.meaning(answer, reads=work.reads))
            else:
                work.asked = None
                again += await self._take_in(work, answer)
        if waits and (isinstance(answers[-1], RedisError) or answers[-1] < self._min_replicas):
            self._too_few([work for work in works if work not in again], answers[-1])
        if load:
            try:
                await link.load(list(load.values()))
            except SupersoniqError as error:
                for work in again:
                    work.fail(refusals.like(error))
                return []
        return again

    async def _send_on(self, work: Work, where: Redirection) -> list[Work]:
        """A node of a Cluster does not have that queue: gives the work if it may be tried there."""
        work.sent_on += 1
        try:
            link = await self._nodes.redirected(where)
            if work.sent_on > MOST_ROUNDS:
                raise BackendUnavailable("the Cluster sends us from node to node")
        except BackendUnavailable as error:
            work.fail(refusals.like(error))
            return []
        work.asked = link if where.once else None
        return [work]

    def _command(self, work: Work) -> Command:
        keys = self._store.keys_of(work.queue)
        now: int | str = ""
        if self._clock is not None:
            now = self._now = max(self._now, self._clock.now())
        arguments = work.arguments()
        channel = scripts.channel_of(self._store.prefix, work.queue)
        return (
            "EVALSHA", work.script.sha, len(keys), *keys, now, channel, *work.birth, *arguments,
        )  # fmt: skip

    async def _take_in(self, work: Work, answer: Any) -> list[Work]:
        """Understand an answer; gives what is still to be done."""
        word, now, number, base, stirs, alarm, given = answer
        if word == b"missing":
            if not work.makes:
                work.missing()
                return []
            try:
                work.birth = await self._store.reserve(work.queue)
            except SupersoniqError as error:
                work.fail(refusals.like(error))
                return []
            return [work]
        if word == b"no memory":
            work.fail(refusals.no_memory)
            return []
        try:
            seal = await self._store.seal_of(work.queue, int(number), base.decode())
        except SupersoniqError as error:
            work.fail(refusals.like(error))
            return []
        token: Token | None = (seal.number, int(stirs))
        self._ears.hear(work.queue, token)
        if word == b"again":
            return [work]
        header = Header(now, seal, alarm)
        try:
            again: list[Work] = [] if work.take_in(header, given) else [work]
        except (ValueError, TypeError, KeyError, struct.error, msgspec.MsgspecError) as error:
            problem = f"what stands in the store makes no sense: {error!r}"
            unsure = BackendUnavailable(problem) if work.reads else OutcomeUnknown(problem)
            work.fail(refusals.like(unsure))
            return []
        if isinstance(work, Taking) and work.spoiled:
            found, work.spoiled = work.spoiled, []
            again.insert(0, Corrupting(work.queue, self._store.facts, found))
        if isinstance(work, Deleting):
            self._ears.hear(work.queue, None)
            await self._store.forget(work.queue, seal.number)
        return again

    def _too_few(self, works: list[Work], answer: Any) -> None:
        wanted, patience = self._min_replicas, self._replica_patience
        problem = (
            f"it is done, but {answer} of {wanted} replicas had it after {patience:g} s"
            if isinstance(answer, int)
            else f"it is done, but whether replicas have it cannot be told: {answer}"
        )
        for work in works:
            if work.replicated and not work.reads:
                done = [place for place in work.places if not _is_error(work.results[place])]
                for place in done:
                    work.results[place] = OutcomeUnknown(problem)


def _is_error(result: Result) -> bool:
    return isinstance(result, SupersoniqError)


def _lost(problem: str, work: Work) -> Callable[[], SupersoniqError]:
    if work.reads:
        return lambda: BackendUnavailable(f"the connection was lost: {problem}")
    return lambda: OutcomeUnknown(f"the connection was lost: {problem}")
