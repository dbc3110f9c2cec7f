"""The Redis backend as the event loop sees it.

A batch becomes calls of scripts (``work``), one for each kind of operation and queue, which go
out together and come back together. What is not finished then goes out again: a queue that must be
made first, time that has too much to catch up with, a page that is not full yet, a script that the
server does not know any more. Nothing else is ever sent twice.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import struct
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from redis.asyncio import Connection
from redis.exceptions import RedisError

from supersoniq.backends.redis import refusals, scripts
from supersoniq.backends.redis.flow import Corrupting, Publishing, Settling, Taking
from supersoniq.backends.redis.link import Command, Link, Lost
from supersoniq.backends.redis.managing import MANAGING, Deleting, policy_data, terms_data
from supersoniq.backends.redis.nodes import Nodes, Redirection, redirection
from supersoniq.backends.redis.scripts import LAYOUT, Script
from supersoniq.backends.redis.server import LEVELS, inspect
from supersoniq.backends.redis.wake import Ears, Token
from supersoniq.backends.redis.work import Facts, Header, Work, base_of
from supersoniq.clock import Clock
from supersoniq.core import ops
from supersoniq.core.errors import (
    BackendUnavailable,
    Closed,
    IncompatibleStore,
    OutcomeUnknown,
    SupersoniqError,
)
from supersoniq.core.ids import Seal
from supersoniq.core.ops import AnyOp
from supersoniq.core.policy import Policy, changed
from supersoniq.port import Backend, Capabilities, Result, Stir

__all__ = ["PATIENCE", "RedisBackend"]

PATIENCE = 10.0
"""Seconds to wait for a server, unless asked otherwise."""
MOST_ROUNDS = 16
"""How often a Cluster may send a call on before it is given up."""
_GHOST = 3600
"""Seconds after which a name that was given out and never became a queue is struck out."""


class RedisBackend(Backend):
    """Queues in a Redis or Valkey server, shared by any number of processes.

    Args:
        nodes: where the servers are. ``connect`` makes them from a URL.
        name: of the server, for errors; without passwords.
        prefix: what all keys begin with: a store of its own for each.
        patience: seconds to wait for a connection, and for an answer.
        min_replicas: how many replicas must have a change before it counts as done; takes do not
            wait for them.
        replica_patience: seconds to wait for them; then the outcome is unknown.
        noeviction: vouches for the server's ``maxmemory-policy`` where it cannot be asked.
        clock: instead of the server's own; for tests.
    """

    capabilities = Capabilities(durability="memory", lasting=True, shared=True)

    def __init__(
        self,
        nodes: Nodes,
        name: str,
        *,
        prefix: str = "supersoniq",
        patience: float = PATIENCE,
        min_replicas: int = 0,
        replica_patience: float = 1.0,
        noeviction: bool = False,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self._nodes = nodes
        self._prefix = prefix
        self._patience = patience
        self._min_replicas = min_replicas
        self._replica_patience = replica_patience
        self._noeviction = noeviction
        self._clock = clock
        self._now = 0
        self._facts = Facts("memory", b"", {})
        self._ears = Ears(self._listener, lambda queue: scripts.channel_of(prefix, queue))
        self._running: set[asyncio.Task[list[Result]]] = set()
        self._keys: dict[str, tuple[str, ...]] = {}
        self._open = False
        self._pid = 0
        self._unsubscribe: Callable[[], None] = lambda: None

    # Opening and closing.

    async def open(self) -> None:
        """Connect, and look whether the server and what stands in it will do.

        Opening twice is fine.
        """
        if self._open:
            return
        try:
            found = [
                await inspect(link, noeviction=self._noeviction, min_replicas=self._min_replicas)
                for link in await self._nodes.all()
            ]
            await self._read_store()
        except BaseException:
            await self._nodes.close()
            raise
        durability = min(found, key=LEVELS.index)
        self._facts.durability = durability
        self.capabilities = Capabilities(durability=durability, lasting=True, shared=True)
        self._open, self._pid = True, os.getpid()
        if self._clock is not None:
            self._unsubscribe = self._clock.subscribe(self._ears.hear_all)

    async def _read_store(self) -> None:
        """Find out the store's secret, or make the store."""
        try:
            version, secret = await self._store("open", LAYOUT, secrets.token_bytes(32))
        except OutcomeUnknown as error:
            raise BackendUnavailable(error.problem) from error
        if not version.isdigit() or int(version) > LAYOUT:
            raise IncompatibleStore(
                f"{self.name} holds version {version.decode(errors='replace')} of its layout under"
                f" {self._prefix!r}; this is SupersoniQ for version {LAYOUT}: update it"
            )
        if secret != self._facts.secret:
            self._facts.secret = secret
            self._facts.seals.clear()

    async def close(self) -> None:
        """Finish what is in flight and disconnect. Closing twice is fine."""
        if not self._open:
            return
        self._open = False
        self._unsubscribe()
        if self._pid != os.getpid():
            return
        while self._running:
            await asyncio.wait(self._running)
        await self._ears.close()
        await self._nodes.close()

    def __del__(self) -> None:
        if self.__dict__.get("_open") and self._pid == os.getpid():
            warnings.warn(f"{self!r} was not closed", ResourceWarning, source=self, stacklevel=2)

    def __repr__(self) -> str:
        return f"RedisBackend({self.name!r})"

    def _check(self) -> None:
        if not self._open:
            raise Closed(f"the store {self.name}")
        if self._pid != os.getpid():
            raise BackendUnavailable(
                "the store was opened before this process was forked; open it anew in the child"
            )

    # Executing.

    async def execute(self, batch: Sequence[AnyOp]) -> list[Result]:
        """Execute operations, all of them in one exchange if nothing is out of the ordinary."""
        self._check()
        task = asyncio.ensure_future(self._execute(batch))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def _execute(self, batch: Sequence[AnyOp]) -> list[Result]:
        results: list[Result] = [None] * len(batch)
        works = self._plan(batch, results)
        while works:
            works = await self._round(works)
        for place, op in enumerate(batch):
            if isinstance(op, ops.Queues):
                results[place] = await self._queues()
        return results

    def _plan(self, batch: Sequence[AnyOp], results: list[Result]) -> list[Work]:
        """Settlements of a queue first, so that what they free is there to be taken."""
        facts = self._facts
        flows: dict[str, tuple[Settling | None, Publishing | None, Taking | None]] = {}
        alone: list[Work] = []
        for place, op in enumerate(batch):
            if isinstance(op, ops.Queues):
                continue
            settling, publishing, taking = flows.get(op.queue, (None, None, None))
            if isinstance(op, ops.Publish):
                publishing = publishing or Publishing(op.queue, results, facts)
                publishing.add(place, op)
            elif isinstance(op, ops.Take):
                taking = taking or Taking(op.queue, results, facts)
                taking.add(place, op)
            elif isinstance(op, ops.Settle):
                settling = settling or Settling(op.queue, results, facts)
                settling.add(place, op)
            else:
                try:
                    if isinstance(op, ops.Configure):
                        changed(Policy(), op.changes)
                    elif isinstance(op, ops.Import):
                        changed(Policy(), op.policy)
                except SupersoniqError as error:
                    results[place] = error
                else:
                    alone.append(MANAGING[type(op)](op.queue, results, facts, place, op))
                continue
            flows[op.queue] = (settling, publishing, taking)
        together = [work for flow in flows.values() for work in flow if work is not None]
        return [work for work in [*together, *alone] if work.places]

    async def _round(self, works: list[Work]) -> list[Work]:
        """Send calls, each to the server that has its queue; gives those to be sent again."""
        groups: dict[Link, list[Work]] = {}
        for work in works:
            try:
                link = work.asked or await self._nodes.link_of(self._keys_of(work.queue)[0])
            except BackendUnavailable as error:
                work.fail(_like(error))
            else:
                groups.setdefault(link, []).append(work)
        if len(groups) == 1:
            ((link, group),) = groups.items()
            return await self._exchange(link, group)
        exchanges = (self._exchange(link, group) for link, group in groups.items())
        return [work for again in await asyncio.gather(*exchanges) for work in again]

    async def _exchange(self, link: Link, works: list[Work]) -> list[Work]:
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
                work.fail(_like(error))
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
        if load and (failure := await self._load(link, list(load.values()))) is not None:
            for work in again:
                work.fail(failure)
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
            work.fail(_like(error))
            return []
        work.asked = link if where.once else None
        return [work]

    def _keys_of(self, queue: str) -> tuple[str, ...]:
        keys = self._keys.get(queue)
        if keys is None:
            if len(self._keys) > 10_000:
                self._keys.clear()
            keys = self._keys[queue] = scripts.keys_of(self._prefix, queue)
        return keys

    def _command(self, work: Work) -> Command:
        keys = self._keys_of(work.queue)
        now: int | str = ""
        if self._clock is not None:
            now = self._now = max(self._now, self._clock.now())
        arguments = work.arguments()
        channel = scripts.channel_of(self._prefix, work.queue)
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
                await self._reserve(work)
            except SupersoniqError as error:
                work.fail(_like(error))
                return []
            return [work]
        if word == b"no memory":
            work.fail(refusals.no_memory)
            return []
        seal = await self._seal(work, int(number), base.decode())
        if seal is None:
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
            work.fail(_like(unsure))
            return []
        if isinstance(work, Taking) and work.spoiled:
            found, work.spoiled = work.spoiled, []
            again.insert(0, Corrupting(work.queue, self._facts, found))
        if isinstance(work, Deleting):
            self._ears.hear(work.queue, None)
            await self._store_quietly("forget", work.queue, seal.number)
        return again

    async def _seal(self, work: Work, number: int, base: str) -> Seal | None:
        seal = self._facts.seal_of(number, base)
        if seal is None:
            # The store was made anew since this process opened it: somebody emptied the server.
            try:
                await self._read_store()
            except SupersoniqError as error:
                work.fail(_like(error))
                return None
            seal = self._facts.seal_of(number, base)
        if seal is None:
            problem = f"queue {work.queue!r} does not belong to the store at {self._prefix!r}"
            work.fail(lambda: BackendUnavailable(problem))
        return seal

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

    # The store.

    async def _reserve(self, work: Work) -> None:
        """Get a number for a queue that is to be made."""
        for _ in range(3):
            secret = self._facts.secret
            number = await self._store("reserve", secret, work.queue)
            if number >= 0:
                policy = Policy()
                base = base_of(Seal(secret, number).prefix(0))
                work.birth = (number, base, policy_data(policy), terms_data(policy))
                return
            await self._read_store()
        raise BackendUnavailable("the store is made anew all the time")

    async def _queues(self) -> Result:
        try:
            row = await self._store("list")
            names: dict[str, tuple[bytes, int]] = {}
            for at in range(0, len(row), 2):
                if row[at].startswith(b"="):
                    number, _, given_out = row[at + 1].partition(b" ")
                    names[row[at][1:].decode()] = (number, int(given_out))
            if not names:
                return []
            there, now = await self._present(list(names))
        except SupersoniqError as error:
            return error
        for name in names.keys() - there:
            if now - names[name][1] > _GHOST:
                await self._store_quietly("forget", name, names[name][0])
        return sorted(there)

    async def _present(self, names: Sequence[str]) -> tuple[set[str], int]:
        """Which of those names are queues, and the time in seconds."""
        asked: dict[Link, list[str]] = {}
        for name in names:
            link = await self._nodes.link_of(self._keys_of(name)[0])
            asked.setdefault(link, []).append(name)
        there: set[str] = set()
        now = 0
        for link, group in asked.items():
            commands: list[Command] = [("EXISTS", self._keys_of(name)[0]) for name in group]
            try:
                answers = await link.run([*commands, ("TIME",)])
            except Lost as error:
                self._nodes.doubt(link)
                raise BackendUnavailable(f"the connection was lost: {error}") from error
            for answer in answers:
                if isinstance(answer, RedisError):
                    self._nodes.doubt(link)
                    raise refusals.meaning(answer, reads=True)()
            there.update(name for name, found in zip(group, answers, strict=False) if found)
            now = int(answers[-1][0])
        return there, now

    async def _store(self, *arguments: Any) -> Any:
        """Call the script for what all queues have in common."""
        script = scripts.store_script()
        key = scripts.store_key(self._prefix)
        command: Command = ("EVALSHA", script.sha, 1, key, *arguments)
        link, asked = await self._nodes.link_of(key), False
        answer: Any = None
        for _ in range(MOST_ROUNDS):
            try:
                answer = (await link.run([("ASKING",), command] if asked else [command]))[-1]
            except (Lost, BackendUnavailable) as error:
                self._nodes.doubt(link)
                # Whatever it did, it is nothing that doing again, or not at all, could harm.
                raise BackendUnavailable(f"the connection was lost: {error}") from error
            if (where := redirection(answer)) is not None:
                link, asked = await self._nodes.redirected(where), where.once
            elif not refusals.is_unknown_script(answer):
                break
            elif (failure := await self._load(link, [script])) is not None:
                raise failure()
        if isinstance(answer, RedisError):
            self._nodes.doubt(link)
            raise refusals.meaning(answer, reads=True)()
        return answer

    async def _store_quietly(self, *arguments: Any) -> None:
        try:
            await self._store(*arguments)
        except SupersoniqError:
            pass  # Names that are left over are seen to by whoever lists them.

    async def _load(
        self, link: Link, unknown: Sequence[Script]
    ) -> Callable[[], SupersoniqError] | None:
        """Make scripts known to the server; gives what makes the error if it will not have them."""
        try:
            commands: list[Command] = [("SCRIPT", "LOAD", script.text) for script in unknown]
            answers = await link.run(commands)
        except (Lost, BackendUnavailable) as error:
            return _like(BackendUnavailable(f"the connection was lost: {error}"))
        for answer in answers:
            if isinstance(answer, RedisError):
                return refusals.meaning(answer, reads=True)
        return None

    # Listening.

    def listen(self, queue: str, stir: Stir) -> Callable[[], None]:
        """Have ``stir`` called when something in the queue may have become ready."""
        self._check()
        return self._ears.listen(queue, stir)

    async def _listener(self) -> Connection:
        link = await self._nodes.link_of(scripts.store_key(self._prefix))
        try:
            async with asyncio.timeout(self._patience):
                return await link.another()
        except (RedisError, OSError, TimeoutError):
            self._nodes.doubt(link)
            raise


def _is_error(result: Result) -> bool:
    return isinstance(result, SupersoniqError)


def _like(error: SupersoniqError) -> Callable[[], SupersoniqError]:
    """Makes errors like this one: a shared one would gather all callers' tracebacks."""
    return lambda: type(error)(**error.data)


def _lost(problem: str, work: Work) -> Callable[[], SupersoniqError]:
    if work.reads:
        return lambda: BackendUnavailable(f"the connection was lost: {problem}")
    return lambda: OutcomeUnknown(f"the connection was lost: {problem}")
